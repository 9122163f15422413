/** `ghostdb ui`: the cluster in a browser. */

import { readFileSync } from "node:fs"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Monitor from "../../../cluster/Monitor.js"
import type * as Probe from "../../../cluster/Probe.js"
import * as NodesFile from "../../../discovery/NodesFile.js"
import { GhostDB } from "../../../GhostDB.js"
import type { GhostDBService } from "../../../model/GhostDBService.js"
import type { Json } from "../../../model/Json.js"
import * as Ring from "../../../ring/Ring.js"
import * as RingPlan from "../../../ring/RingPlan.js"
import { type Connection, withCluster } from "../../connection.js"
import { signal, UsageError } from "../../exit.js"
import { firstInexact } from "../../line/numbers.js"
import { takeSnapshot } from "../../takeSnapshot.js"
import { print, printNote } from "../../terminal/output.js"
import * as Server from "./server.js"
import type { Lookup, Plan, Started } from "./wire.js"

/** What `ghostdb ui` is asked for. */
export interface UiOptions {
  readonly connection: Connection
  readonly host: string
  readonly interval: Duration.Duration
  readonly port: number
  /** Whether the page may put, delete and flush. */
  readonly write: boolean
}

/** The page as the build makes it, beside this module. */
const readPage = Effect.try({
  try: () => readFileSync(new URL("./ui.html", import.meta.url), "utf8"),
  catch: () => new UsageError({ message: "the page is not here: npm run build makes it" })
})

const textIn = (body: unknown, name: string): string => {
  const value = typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined
  return typeof value === "string" ? value : ""
}

const addressesIn = (body: unknown, name: string) => {
  const text = textIn(body, name)
  return text === ""
    ? Either.right<ReadonlyArray<string>>([])
    : Either.map(
        NodesFile.validate(
          text.split(/[,\s]+/).filter((part) => part !== ""),
          name
        ),
        ({ nodes }) => nodes
      )
}

const replicasTried = [1, 10, 50, 100, 200] as const

const planHandler =
  (monitor: Monitor.Monitor, connection: Connection): Server.Handler =>
  (body) =>
    Effect.gen(function* () {
      const state = yield* monitor.state
      const nodes = [...state.nodes.keys()]
      const before = Ring.make(nodes, { replicas: connection.replicas })
      const added = yield* addressesIn(body, "add")
      const removed = yield* addressesIn(body, "remove")
      const stranger = removed.find((node) => !nodes.includes(node))
      if (stranger !== undefined) return yield* new UsageError({ message: `${stranger} is not among the nodes` })
      const text = textIn(body, "replicas")
      const replicas = text === "" ? connection.replicas : Number(text)
      if (!Number.isInteger(replicas) || replicas < 1 || replicas > 65536) {
        return yield* new UsageError({ message: "replicas is a whole number from 1 to 65536" })
      }
      const left = [...nodes, ...added].filter((node) => !removed.includes(node))
      if (left.length === 0) return yield* new UsageError({ message: "no node would be left" })
      const after = Ring.make(left, { replicas })
      const plan: Plan = {
        ...RingPlan.compare(before, after),
        placement: Monitor.placement(state),
        imbalance: RingPlan.imbalance(after),
        evenness: RingPlan.evenness(
          left,
          [...new Set([...replicasTried, replicas])].sort((a, b) => a - b)
        )
      }
      return plan
    })

/** Which node is asked for a key, and why it is that one. In a raft cluster that is the leader, or any node. */
const placeOf = (state: Monitor.MonitorState, key: string, replicas: number) => {
  const isDead = (node: string) => state.nodes.get(node)?.status === "dead"
  const owners = Ring.owners(Ring.make(state.nodes.keys(), { replicas }), key)
  const live = owners.filter((node) => !isDead(node))
  if (Monitor.placement(state) === "replicated") {
    const leader = live.find((node) => state.nodes.get(node)?.leads === true) ?? null
    return { owner: null, standIn: null, leader, asked: leader ?? live[0] }
  }
  const [owner = ""] = owners
  return { owner, standIn: live.find((node) => node !== owner) ?? null, leader: null, asked: live[0] }
}

const lookupHandler =
  (monitor: Monitor.Monitor, probe: Probe.Probe, replicas: number): Server.Handler =>
  (body) =>
    Effect.gen(function* () {
      const key = textIn(body, "key")
      const { asked, ...place } = placeOf(yield* monitor.state, key, replicas)
      if (asked === undefined) return yield* new UsageError({ message: "no node answers" })
      const found = yield* Effect.flatMap(probe.ping(asked), ({ dialect }) => probe.get(asked, dialect, key)).pipe(
        Effect.mapError(({ detail, reason }) => new UsageError({ message: `${asked}: ${reason} ${detail}`.trimEnd() }))
      )
      const lookup: Lookup = {
        ...place,
        asked,
        found: Option.isSome(found),
        value: Option.match(found, { onNone: () => "", onSome: (value) => JSON.stringify(value, null, 2) })
      }
      return lookup
    })

const parseValue = (text: string): Effect.Effect<Json, UsageError> =>
  Effect.flatMap(
    Effect.try({
      try: (): Json => JSON.parse(text),
      catch: () => new UsageError({ message: "the value is not JSON: text goes in quotes" })
    }),
    (value) => {
      const inexact = firstInexact(text)
      return inexact === undefined
        ? Effect.succeed(value)
        : new UsageError({ message: `the number ${inexact.written} would be stored as ${inexact.stored}` })
    }
  )

const writeHandlers = (db: GhostDBService): Readonly<Record<string, Server.Handler>> => ({
  put: (body) =>
    Effect.gen(function* () {
      const ttl = Number(textIn(body, "ttl") || "-1")
      if (!Number.isSafeInteger(ttl) || (ttl < 1 && ttl !== -1)) {
        return yield* new UsageError({ message: "the TTL is whole seconds, or -1 for never" })
      }
      return { result: yield* db.put(textIn(body, "key"), yield* parseValue(textIn(body, "value")), ttl) }
    }),
  delete: (body) => Effect.map(db.delete(textIn(body, "key")), (result) => ({ result })),
  flush: () => Effect.map(db.flush, (result) => ({ result }))
})

const refused: Server.Handler = () => new UsageError({ message: "writing needs ghostdb ui --write" })

const broadcastEvery = "250 millis"

/** `ghostdb ui` */
export const ui = (options: UiOptions) =>
  withCluster(options.connection, { interval: options.interval }, (monitor, probe) =>
    Effect.gen(function* () {
      const { connection } = options
      const started: Started = { nodes: NodesFile.redact(connection.nodes), writes: options.write }
      const write = options.write ? writeHandlers(yield* GhostDB) : { put: refused, delete: refused, flush: refused }
      let latest = ""
      const server = yield* Server.serve({
        host: options.host,
        port: options.port,
        page: yield* readPage,
        handlers: {
          ...write,
          ring: planHandler(monitor, connection),
          lookup: lookupHandler(monitor, probe, connection.replicas)
        },
        greeting: () => Server.event("started", started) + latest
      })
      yield* print(server.url)
      yield* printNote("open it in a browser; Ctrl-C ends it")
      // One poller, however many pages are open.
      return yield* Stream.runForEach(monitor.changes, (state) =>
        Effect.gen(function* () {
          latest = Server.event("snapshot", takeSnapshot(state, yield* Clock.currentTimeMillis))
          server.broadcast(latest)
          yield* Effect.sleep(broadcastEvery)
        })
      )
    })
  ).pipe(
    Effect.raceFirst(signal),
    Effect.flatMap(() => printNote("ended"))
  )
