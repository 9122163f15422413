/**
 * A GhostDB node in memory: entries, LRU eviction, expiry, metrics, and the three dialects; no network. It is the node
 * of the in-memory test layer, and what a `NodeServer` serves.
 *
 * A TTL is exact and absolute here: an entry is gone the moment its seconds have passed since it was written, by the
 * Effect `Clock`. Real servers are lazy and sliding: an expired entry stays readable until a crawler passes (every 5
 * minutes by default), and each read starts its TTL anew.
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Dialect } from "../model/Dialect.js"
import * as CacheEntries from "./CacheEntries.js"
import { type CommandCounts, freshCounts, freshOutcomes, rowsText, systemRow, timestamp } from "./NodeMetrics.js"
import * as RaftGroup from "./RaftGroup.js"
import type { NodeCommand, NodeDialect, NodeReply } from "./ServerDialect.js"
import { makeGobj } from "./ServerDialectGobj.js"
import { makeV1 } from "./ServerDialectV1.js"

export type { CommandCounts } from "./NodeMetrics.js"
export type { NodeReply } from "./ServerDialect.js"

/** How a {@link CacheNode} behaves. */
export interface CacheNodeOptions {
  /** The dialect of requests and replies. Default: `v2`. */
  readonly dialect?: Dialect | undefined
  /** The most entries that the node holds; one more evicts the least recently used. Default: 65536. */
  readonly keyspaceSize?: number | undefined
  /**
   * The time between two rows of metrics. Default: 5 minutes, as on real servers. No timer runs: the rows due are added
   * when the next request comes, so that a row of an idle time has the memory of that later moment.
   */
  readonly metricsInterval?: Duration.DurationInput | undefined
  /** How many of the latest rows of each kind of metrics are kept. Default: 288, a day of the default interval. */
  readonly metricsHistory?: number | undefined
  /**
   * Copies the real servers' oddities, for tests of clients. Default: false.
   *
   * - A malformed request is answered as there: v1 echoes it with status 400; v2 and raft, and v1 where only the TTL is
   *   wrong, carry it out with empty fields and a TTL of 0, and put an error document before the reply in the same
   *   body. Without `replica` it changes nothing and gets one clear error: status 400 and a `Message` in v1,
   *   `INVALID_REQUEST_ERR` in v2 and raft.
   * - Application metrics lack what the real servers fail to record: `TotalRequests`, `AddRequests`, `Stored`,
   *   `Removed` and `Flushed` stay 0.
   */
  readonly replica?: boolean | undefined
  /** The raft cluster that a `raft` node is a member of. Default: one of its own, which it leads. */
  readonly raftGroup?: RaftGroup.RaftGroup | undefined
  /** The host by which `getLeader` names this node; the port is 11000, or the next that is free. Default: `127.0.0.1`. */
  readonly raftHost?: string | undefined
}

/** An entry as it stands in a node. */
export interface CacheEntry {
  readonly key: string
  /** The value's JSON text, written as GhostDB's servers write it; in v1 the string that the client sent. */
  readonly value: string
  /** Milliseconds since the epoch, by the Effect `Clock`; `Infinity` is never. */
  readonly expiresAt: number
}

/** A GhostDB node in memory. */
export interface CacheNode {
  readonly dialect: Dialect
  /** Answers one request: a command's name as it stands in the URL, and the request's body. */
  readonly handle: (command: string, body: string) => Effect.Effect<NodeReply>
  /** {@link handle}, at once and at a time that the caller gives. Never throws, whatever the body holds. */
  readonly unsafeHandle: (command: string, body: string, nowMillis: number) => NodeReply
  /** The entries that have not expired, the least recently used first. Looking does not count as use. */
  readonly entries: Effect.Effect<ReadonlyArray<CacheEntry>>
  /** The number of entries that have not expired. */
  readonly size: Effect.Effect<number>
  /** Requests since the node was made or last reset, refused ones included. */
  readonly commandCounts: Effect.Effect<CommandCounts>
  /** Whether it leads its raft cluster; `false` in other dialects. */
  readonly isLeader: Effect.Effect<boolean>
  /** Drops all entries, of this node alone. */
  readonly clear: Effect.Effect<void>
  /** Drops entries, counters and rows of metrics, as when a server's process is restarted. */
  readonly reset: Effect.Effect<void>
  /** Its server has stopped: a raft cluster goes on without it. What it holds stays. */
  readonly stop: Effect.Effect<void>
  /** Its server is back: the node is {@link reset}, or with `keep` as it was. A raft cluster brings it up to date. */
  readonly start: (options?: { readonly keep?: boolean | undefined }) => Effect.Effect<void>
  /** It is {@link stop | stopped} for good: a raft cluster doesn't count it any more. */
  readonly leave: Effect.Effect<void>
}

const now = Effect.clockWith((clock) => Effect.sync(() => clock.unsafeCurrentTimeMillis()))

/**
 * Makes a node.
 *
 * Dies when `keyspaceSize` or `metricsHistory` is not a whole number of at least 1, or `metricsInterval` is not longer
 * than nothing.
 *
 * @example
 * import { Effect } from "effect"
 * import { CacheNode } from "effect-ghostdb"
 *
 * const program = Effect.gen(function* () {
 *   const node = yield* CacheNode.make({ keyspaceSize: 100 })
 *   yield* node.handle("put", '{"Gobj":{"Key":"AMZN","Value":{"price":3107.3},"TTL":300}}')
 *   return yield* node.entries
 * })
 */
export const make = (options: CacheNodeOptions = {}): Effect.Effect<CacheNode> =>
  Effect.gen(function* () {
    const {
      dialect = "v2",
      keyspaceSize = 65536,
      metricsHistory = 288,
      metricsInterval = Duration.minutes(5),
      raftGroup,
      raftHost = "127.0.0.1",
      replica = false
    } = options
    for (const [name, value] of Object.entries({ keyspaceSize, metricsHistory })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        return yield* Effect.dieMessage(`${name} is a whole number of at least 1, not ${value}`)
      }
    }
    const interval = Duration.toMillis(metricsInterval)
    if (interval <= 0) return yield* Effect.dieMessage("metricsInterval is longer than nothing")
    const wire = makeDialect(dialect, replica)

    const entries = CacheEntries.make(keyspaceSize)
    const membership =
      dialect === "raft" ? (raftGroup ?? (yield* RaftGroup.make())).join(entries, raftHost, yield* now) : undefined
    let counts = freshCounts()
    let outcomes = freshOutcomes()
    let systemRows: ReadonlyArray<string> = []
    let applicationRows: ReadonlyArray<string> = []
    let nextRow = (yield* now) + interval

    /** The one place where a request changes entries. Tells whether it did. */
    const apply = (write: CacheEntries.Write, now: number): boolean =>
      membership === undefined ? entries.apply(write, now) : membership.commit(write, now)

    const execute = (command: NodeCommand, body: string, now: number): NodeReply => {
      switch (command) {
        case "get": {
          const request = wire.decode(body, false)
          const refused = wire.refuse(request, false)
          if (refused !== undefined) return refused
          const entry = entries.use(request.key, now)
          if (entry === undefined) {
            outcomes.miss++
            return wire.miss(request)
          }
          return wire.hit(request, entry.value)
        }
        case "put":
        case "add": {
          const request = wire.decode(body, true)
          const refused = wire.refuse(request, true)
          if (refused !== undefined) return refused
          const { key, ttl, value } = request
          const entry: CacheEntries.Entry = {
            value,
            expiresAt: ttl === -1 ? Number.POSITIVE_INFINITY : now + ttl * 1000
          }
          if (!apply({ _tag: command === "put" ? "Put" : "Add", key, entry }, now)) {
            outcomes.notStored++
            return wire.notStored
          }
          outcomes.stored++
          return command === "put" ? wire.put(request) : wire.stored
        }
        case "delete": {
          const request = wire.decode(body, false)
          const refused = wire.refuse(request, false)
          if (refused !== undefined) return refused
          if (!apply({ _tag: "Delete", key: request.key }, now)) {
            outcomes.notFound++
            return wire.notFound
          }
          outcomes.removed++
          return wire.removed
        }
        case "flush":
          apply({ _tag: "Flush" }, now)
          outcomes.flushed++
          return wire.flushed
        case "ping":
          return wire.pong
        case "nodeSize":
          return wire.nodeSize(entries.size(now))
        case "systemMetrics":
          return wire.metrics(rowsText(systemRows))
        case "applicationMetrics":
          return wire.metrics(rowsText(applicationRows))
        case "getLeader":
          return wire.leader(membership?.leader() ?? "")
      }
    }

    /** On a raft server these, and whatever it does not know, go through the cluster's log, which only a leader has. */
    const leaderOnly = (command: NodeCommand | undefined): boolean =>
      command !== "get" && command !== "ping" && command !== "systemMetrics" && command !== "getLeader"

    const answer = (name: string, command: NodeCommand | undefined, body: string, now: number): NodeReply => {
      counts[command ?? "unknown"]++
      if (membership?.isLeader() === false && leaderOnly(command) && name !== "getAppMetrics") return wire.notLeader
      return command === undefined ? wire.unknownCommand(name) : execute(command, body, now)
    }

    const applicationRow = (nowMillis: number): string =>
      JSON.stringify({
        Timestamp: timestamp(nowMillis),
        TotalRequests: replica ? 0 : counts.get + counts.put + counts.add + counts.delete + counts.flush,
        GetRequests: counts.get,
        PutRequests: counts.put,
        AddRequests: replica ? 0 : counts.add,
        DeleteRequests: counts.delete,
        FlushRequests: counts.flush,
        CacheMiss: outcomes.miss,
        Stored: replica ? 0 : outcomes.stored,
        NotStored: outcomes.notStored,
        Removed: replica ? 0 : outcomes.removed,
        NotFound: outcomes.notFound,
        Flushed: replica ? 0 : outcomes.flushed,
        ErrFlush: 0
      })

    /** Adds the rows that are due. No request came in between, so the counters are what they were at each row's time. */
    const recordRows = (nowMillis: number): void => {
      const due = Math.floor((nowMillis - nextRow) / interval) + 1
      const kept = Math.min(due, metricsHistory)
      const times = Array.from({ length: kept }, (_, i) => nextRow + (due - kept + i) * interval)
      systemRows = [...systemRows, ...times.map(systemRow())].slice(-metricsHistory)
      applicationRows = [...applicationRows, ...times.map(applicationRow)].slice(-metricsHistory)
      nextRow += due * interval
    }

    const unsafeHandle = (name: string, body: string, nowMillis: number): NodeReply => {
      membership?.settle(nowMillis)
      if (nowMillis >= nextRow) recordRows(nowMillis)
      const command = wire.commands.get(name)
      const reply = answer(name, command, body, nowMillis)
      const error = replica ? wire.errorDocument(command, body) : ""
      return error === "" ? reply : { ...reply, body: error + reply.body }
    }

    /** Looks at the node, or changes it, as it is now. */
    const atNow = <A>(f: (nowMillis: number) => A): Effect.Effect<A> =>
      Effect.map(now, (nowMillis) => {
        membership?.settle(nowMillis)
        return f(nowMillis)
      })

    const start = (keep: boolean) =>
      atNow((nowMillis) => {
        if (!keep) {
          membership?.stop(nowMillis)
          entries.replace([])
          counts = freshCounts()
          outcomes = freshOutcomes()
          systemRows = []
          applicationRows = []
          nextRow = nowMillis + interval
        }
        membership?.start(keep, nowMillis)
      })

    return {
      dialect,
      handle: (command, body) => Effect.map(now, (nowMillis) => unsafeHandle(command, body, nowMillis)),
      unsafeHandle,
      entries: atNow((nowMillis) =>
        entries.list(nowMillis).map(([key, { expiresAt, value }]) => ({
          key,
          value: dialect === "v1" ? String(JSON.parse(value)) : value,
          expiresAt
        }))
      ),
      size: atNow(entries.size),
      commandCounts: Effect.sync(() => ({ ...counts })),
      isLeader: atNow(() => membership?.isLeader() === true),
      clear: atNow(() => entries.replace([])),
      reset: start(false),
      stop: atNow((nowMillis) => membership?.stop(nowMillis)),
      start: ({ keep = false } = {}) => start(keep),
      leave: atNow((nowMillis) => membership?.leave(nowMillis))
    }
  })

/** The dialect as a node speaks it; `replica` as in {@link CacheNodeOptions}. */
export const makeDialect = (dialect: Dialect, replica: boolean): NodeDialect =>
  dialect === "v1" ? makeV1(replica) : makeGobj(dialect, replica)
