/** The commands on the whole cluster whose answer is a few lines. */
import { stripVTControlCharacters } from "node:util"
import * as Prompt from "@effect/cli/Prompt"
import * as Terminal from "@effect/platform/Terminal"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as NodesFile from "../../discovery/NodesFile.js"
import { GhostDB } from "../../GhostDB.js"
import { NoMoreServers } from "../../model/GhostDBError.js"
import {
  allAnswered,
  type Connection,
  configuredNodes,
  topologyNow,
  totalEntries,
  withClient,
  withProbe
} from "../connection.js"
import { NegativeAnswer, NoAnswer, UsageError } from "../exit.js"
import { faultText } from "../terminal/faults.js"
import { count, escapeControls, hasColour, print, printTable, toJson, write } from "../terminal/output.js"
import { Standard } from "../terminal/Standard.js"

/** Asks on standard error, where a redirected standard output does not take the question with it. */
const confirm = (message: string) =>
  Effect.flatMap(Standard, ({ error }) =>
    Effect.updateService(Prompt.run(Prompt.confirm({ message })), Terminal.Terminal, (terminal) => ({
      ...terminal,
      display: (text) => write(error, hasColour(error) ? text : stripVTControlCharacters(text))
    }))
  )

/** `ghostdb flush` */
export const flush = ({
  connection,
  json,
  yes
}: {
  readonly connection: Connection
  readonly json: boolean
  readonly yes: boolean
}) =>
  Effect.gen(function* () {
    if (!yes) {
      const { error, input } = yield* Standard
      if (input.isTTY !== true || error.isTTY !== true) {
        return yield* new UsageError({ message: "flush empties every node: --yes says so where no one can be asked" })
      }
      const sure = yield* confirm(
        `Empty every node that ${escapeControls(NodesFile.redact(connection.nodes))} names, for all its clients?`
      )
      if (!sure) return yield* new NegativeAnswer({ message: "nothing was flushed" })
    }
    const result = yield* withClient(connection, GhostDB.flush)
    const failures = result === "FLUSHED" ? [] : yield* notFlushing(connection)
    yield* print(json ? toJson(result === "FLUSHED" ? { result } : { result, failures }) : result)
    if (result === "ERR_FLUSH") {
      const nodes = failures.map(({ node, reason }) => `${node} (${reason})`).join(", ")
      const message = nodes === "" ? "not every node flushed; asked again, all have" : `not flushed: ${nodes}`
      return yield* new NegativeAnswer({ message })
    }
  })

/** Which nodes do not flush when each is asked by itself, and why. A raft follower's entries are its leader's. */
const notFlushing = (connection: Connection) =>
  withProbe(connection, (probe, { nodes }) =>
    Effect.map(
      Effect.forEach(
        nodes,
        (node) =>
          Effect.flatMap(probe.ping(node), ({ dialect }) => probe.flush(node, dialect)).pipe(
            Effect.match({
              onFailure: (fault) => (fault.reason === "NotLeader" ? [] : [{ node, reason: faultText(fault) }]),
              onSuccess: (result) => (result === "FLUSHED" ? [] : [{ node, reason: `answers ${result}` }])
            })
          ),
        { concurrency: "unbounded" }
      ),
      (failures) => failures.flat()
    )
  )

/** What the commands on the whole cluster share. */
interface OnCluster {
  readonly connection: Connection
  readonly json: boolean
}

/** `ghostdb size` */
export const size = ({ connection, json, node }: OnCluster & { readonly node: Option.Option<string> }) =>
  Effect.gen(function* () {
    const nodes = yield* configuredNodes
    const asked = Option.match(node, { onNone: () => nodes, onSome: (one) => [one] })
    const stranger = asked.find((one) => !nodes.includes(one))
    if (stranger !== undefined) return yield* new UsageError({ message: `${stranger} is not in the nodes file` })
    const failures = new Map<string, NoMoreServers>()
    const sizes = yield* Effect.forEach(
      asked,
      (one) =>
        Effect.catchAll(GhostDB.nodeSize(one), (error) => {
          failures.set(one, error)
          return Effect.succeedNone
        }),
      { concurrency: "unbounded" }
    )
    if (failures.size === asked.length) {
      return yield* new NoMoreServers({ failures: [...failures.values()].flatMap((error) => error.failures) })
    }
    const entries = asked.map((one, i) => ({ node: one, entries: Option.getOrNull(sizes[i] ?? Option.none()) }))
    const total = totalEntries(
      yield* topologyNow,
      entries.flatMap((one) => one.entries ?? [])
    )
    yield* json
      ? print(toJson({ nodes: entries, total: total ?? null }))
      : printTable(
          [{ title: "NODE" }, { title: "ENTRIES", align: "right" }],
          [
            ...entries.map((one) => [one.node, count(one.entries ?? undefined)]),
            ...(entries.length > 1 ? [[{ text: "total", style: "dim" } as const, count(total)]] : [])
          ]
        )
    yield* allAnswered([...failures.keys()], asked.length)
  }).pipe((self) => withClient(connection, self))

/** `ghostdb leader` */
export const leader = ({ connection, json }: OnCluster) =>
  Effect.gen(function* () {
    const found = yield* GhostDB.leader
    if (Option.isNone(found) && (yield* GhostDB.ping).length === 0) {
      return yield* new NoAnswer({ message: `none of ${(yield* configuredNodes).length} nodes answers` })
    }
    if (json) yield* print(toJson({ leader: Option.getOrNull(found) }))
    else if (Option.isSome(found)) yield* print(found.value)
    if (Option.isNone(found)) return yield* new NegativeAnswer({ message: json ? "" : "no leader" })
  }).pipe((self) => withClient(connection, self))
