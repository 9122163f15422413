/** The commands on keys, and those whose answer is a few lines. */

import { stripVTControlCharacters } from "node:util"
import * as Prompt from "@effect/cli/Prompt"
import * as Terminal from "@effect/platform/Terminal"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { GhostDB } from "../../GhostDB.js"
import { defaults } from "../../model/GhostDBConfig.js"
import { NoMoreServers } from "../../model/GhostDBError.js"
import type { Json } from "../../model/Json.js"
import type { Ttl } from "../../model/Ttl.js"
import { allAnswered, type Connection, configured, connected, shown, topologyNow, totalEntries } from "../connection.js"
import { Negative, Unanswered, UsageError } from "../exit.js"
import {
  bytes,
  type Cell,
  count,
  hasColour,
  json,
  print,
  printTable,
  visible,
  visibleLines,
  write
} from "../terminal/output.js"

/** What the commands on a key share. */
interface OnKey {
  readonly connection: Connection
  readonly json: boolean
  readonly key: string
}

/** `ghostdb get` */
export const get = ({ connection, json: asJson, key, string }: OnKey & { readonly string: boolean }) =>
  connected(connection, GhostDB.get(key)).pipe(
    Effect.flatMap(
      Option.match({
        onNone: () =>
          Effect.zipRight(
            asJson ? print(json({ key, found: false })) : Effect.void,
            new Negative({ message: asJson ? "" : `no value for ${json(key)}` })
          ),
        onSome: (value) => {
          if (asJson) return print(json({ key, found: true, value }))
          const terminal = process.stdout.isTTY === true
          if (string && typeof value === "string")
            return terminal ? print(visibleLines(value)) : write(process.stdout, value)
          return print(json(value, terminal ? 2 : undefined))
        }
      })
    )
  )

/** More than a request may have: it is not read any further. */
const maxInput = defaults.maxRequestBytes * 4

const input = Effect.suspend(() =>
  process.stdin.isTTY === true
    ? new UsageError({ message: "no value: it is the argument behind the key, or comes from standard input" })
    : NodeStream.toUint8Array(() => process.stdin, {
        maxBytes: maxInput,
        onFailure: () => new UsageError({ message: `standard input cannot be read, or is over ${bytes(maxInput)}` })
      }).pipe(
        Effect.flatMap((content) =>
          Effect.try({
            try: () => new TextDecoder("utf-8", { fatal: true }).decode(content),
            catch: () => new UsageError({ message: "standard input is not UTF-8 text" })
          })
        )
      )
)

const parse = (text: string): Effect.Effect<Json, UsageError> =>
  Effect.try({
    try: (): Json => JSON.parse(text),
    catch: (error) =>
      new UsageError({
        message: `the value is not JSON: ${error instanceof Error ? error.message : String(error)}; --string stores text as it is`
      })
  })

/** `ghostdb put` and `ghostdb add` */
export const store =
  (command: "put" | "add") =>
  ({
    connection,
    json: asJson,
    key,
    string,
    ttl,
    value
  }: OnKey & { readonly string: boolean; readonly ttl: Ttl; readonly value: Option.Option<string> }) =>
    Effect.gen(function* () {
      const text = yield* Option.match(value, { onNone: () => input, onSome: Effect.succeed })
      const stored = string ? text : yield* parse(text)
      const result = yield* connected(
        connection,
        Effect.flatMap(GhostDB, (db) => db[command](key, stored, ttl))
      )
      yield* print(asJson ? json({ key, result }) : result)
      if (result === "NOT_STORED") {
        return yield* new Negative({
          message: command === "put" ? `the request is over ${bytes(defaults.maxRequestBytes)}, or was refused` : ""
        })
      }
    })

/** `ghostdb delete` */
export const remove = ({ connection, json: asJson, key }: OnKey) =>
  Effect.gen(function* () {
    const result = yield* connected(connection, GhostDB.delete(key))
    yield* print(asJson ? json({ key, result }) : result)
    if (result === "NOT_FOUND") return yield* new Negative({ message: "" })
  })

/** Asks on standard error, where a redirected standard output does not take the question with it. */
const confirm = (message: string) =>
  Effect.updateService(Prompt.run(Prompt.confirm({ message })), Terminal.Terminal, (terminal) => ({
    ...terminal,
    display: (text) => write(process.stderr, hasColour(process.stderr) ? text : stripVTControlCharacters(text))
  }))

/** `ghostdb flush` */
export const flush = ({
  connection,
  json: asJson,
  yes
}: {
  readonly connection: Connection
  readonly json: boolean
  readonly yes: boolean
}) =>
  Effect.gen(function* () {
    if (!yes) {
      if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) {
        return yield* new UsageError({ message: "flush empties every node: --yes says so where no one can be asked" })
      }
      const sure = yield* confirm(
        `Empty every node that ${visible(shown(connection.nodes))} names, for all its clients?`
      )
      if (!sure) return yield* new Negative({ message: "nothing was flushed" })
    }
    const result = yield* connected(connection, GhostDB.flush)
    yield* print(asJson ? json({ result }) : result)
    if (result === "ERR_FLUSH")
      return yield* new Negative({ message: "not every node did flush: ping tells which answer" })
  })

/** What the commands on the whole cluster share. */
interface OnCluster {
  readonly connection: Connection
  readonly json: boolean
}

/** `ghostdb ping` */
export const ping = ({ connection, json: asJson }: OnCluster) =>
  Effect.gen(function* () {
    const nodes = yield* configured
    const answering = new Set(yield* GhostDB.ping)
    const rows = nodes.map(
      (node): ReadonlyArray<Cell> => [
        node,
        answering.has(node) ? { text: "answers", style: "green" } : { text: "no answer", style: "red" }
      ]
    )
    yield* asJson
      ? print(json({ nodes: nodes.map((node) => ({ node, answers: answering.has(node) })) }))
      : printTable([{ title: "NODE" }, { title: "PING" }], rows)
    if (answering.size === 0) return yield* new Unanswered({ message: `none of ${nodes.length} nodes answers` })
    yield* allAnswered(
      nodes.filter((node) => !answering.has(node)),
      nodes.length
    )
  }).pipe((self) => connected(connection, self))

/** `ghostdb size` */
export const size = ({ connection, json: asJson, node }: OnCluster & { readonly node: Option.Option<string> }) =>
  Effect.gen(function* () {
    const nodes = yield* configured
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
    yield* asJson
      ? print(json({ nodes: entries, total: total ?? null }))
      : printTable(
          [{ title: "NODE" }, { title: "ENTRIES", align: "right" }],
          [
            ...entries.map((one) => [one.node, count(one.entries ?? undefined)]),
            ...(entries.length > 1 ? [[{ text: "total", style: "dim" } as const, count(total)]] : [])
          ]
        )
    yield* allAnswered([...failures.keys()], asked.length)
  }).pipe((self) => connected(connection, self))

/** `ghostdb leader` */
export const leader = ({ connection, json: asJson }: OnCluster) =>
  Effect.gen(function* () {
    const found = yield* GhostDB.leader
    if (Option.isNone(found) && (yield* GhostDB.ping).length === 0) {
      return yield* new Unanswered({ message: `none of ${(yield* configured).length} nodes answers` })
    }
    if (asJson) yield* print(json({ leader: Option.getOrNull(found) }))
    else if (Option.isSome(found)) yield* print(found.value)
    if (Option.isNone(found)) return yield* new Negative({ message: asJson ? "" : "no leader" })
  }).pipe((self) => connected(connection, self))
