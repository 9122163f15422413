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
import * as Option from "effect/Option"
import type { Dialect } from "../model/Dialect.js"
import { jsonText, stringOf } from "../model/Exchange.js"
import { DurationLike } from "../model/Ttl.js"
import * as CacheEntries from "./CacheEntries.js"
import * as NodeMetrics from "./NodeMetrics.js"
import * as RaftGroup from "./RaftGroup.js"
import type { NodeCommand, NodeReply, NodeRequest, ServerDialect } from "./ServerDialect.js"
import { makeGobj } from "./ServerDialectGobj.js"
import { makeV1 } from "./ServerDialectV1.js"

export type { CommandCounts } from "./NodeMetrics.js"
export type { NodeCommand, NodeReply } from "./ServerDialect.js"

/**
 * How a {@link CacheNode} behaves.
 *
 * @category options
 * @since 0.1.0
 */
export interface CacheNodeOptions {
  /** The dialect of requests and replies. Default: `v2`. */
  readonly dialect?: Dialect | undefined
  /** The most entries that the node holds; one more evicts the least recently used. Default: 65536. */
  readonly keyspaceSize?: number | undefined
  /**
   * The most memory that keys and values take, in bytes; what exceeds it evicts the least recently used, and a value that
   * is larger by itself is not stored. An entry counts 128 bytes, two for each character of its key and of a short value,
   * and the bytes of a long value, which lies outside the JavaScript heap. Default: 256 MiB.
   */
  readonly maxMemory?: number | undefined
  /**
   * The time between two rows of metrics. Default: 5 minutes, as on real servers. No timer runs: the rows due are added
   * when the next request comes, so that a row of an idle time has the memory of that later moment.
   */
  readonly metricsInterval?: DurationLike | undefined
  /** How many of the latest rows of each kind of metrics are kept. Default: 288, a day of the default interval. */
  readonly metricsHistory?: number | undefined
  /**
   * Copies the real servers' oddities, for tests of clients. Default: false.
   *
   * - A malformed request is answered as there: v1 echoes it with status 400; v2 and raft, and v1 where only the TTL is
   *   wrong, carry it out with empty fields and a TTL of 0, and put an error document before the reply in the same
   *   body. Without `emulateQuirks` it changes nothing and gets one clear error: status 400 and a `Message` in v1,
   *   `INVALID_REQUEST_ERR` in v2 and raft.
   * - Application metrics lack what the real servers fail to record: `TotalRequests`, `AddRequests`, `Stored`,
   *   `Removed` and `Flushed` stay 0.
   */
  readonly emulateQuirks?: boolean | undefined
  /** The raft cluster that a `raft` node is a member of. Default: one of its own, which it leads. */
  readonly raftGroup?: RaftGroup.RaftGroup | undefined
  /** The host by which `getLeader` names this node; the port is 11000, or the next that is free. Default: `127.0.0.1`. */
  readonly raftHost?: string | undefined
}

/**
 * An entry as it stands in a node.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheEntry {
  readonly key: string
  /** The value's JSON text, written as GhostDB's servers write it; in v1 the string that the client sent. */
  readonly value: string
  /** Milliseconds since the epoch, by the Effect `Clock`; `Infinity` is never. */
  readonly expiresAt: number
}

/**
 * A GhostDB node in memory.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheNode {
  readonly dialect: Dialect
  /** The address by which `getLeader` names this node; undefined in dialects other than `raft`. */
  readonly raftAddress: string | undefined
  /** Answers one request: a command's name as it stands in the URL, and the request's body. */
  readonly handle: (command: string, body: string) => Effect.Effect<NodeReply>
  /** @internal {@link handle}, at once and at a time that the caller gives. Never throws, whatever the body holds. */
  readonly unsafeHandle: (command: string, body: string, nowMillis: number) => NodeReply
  /** The entries that have not expired, the least recently used first. Looking does not count as use. */
  readonly entries: Effect.Effect<ReadonlyArray<CacheEntry>>
  /** The number of entries that have not expired. */
  readonly size: Effect.Effect<number>
  /** Requests since the node was made or last reset, rejected ones included. */
  readonly commandCounts: Effect.Effect<NodeMetrics.CommandCounts>
  /** Whether it leads its raft cluster and reaches a majority of it; `false` in other dialects. */
  readonly isLeader: Effect.Effect<boolean>
  /** Drops all entries, of this node alone. */
  readonly clear: Effect.Effect<void>
  /** Drops entries, counters and rows of metrics, as when a server's process is restarted. */
  readonly reset: Effect.Effect<void>
  /** Its server has stopped: a raft cluster continues without it. What it holds stays. */
  readonly stop: Effect.Effect<void>
  /** Its server is back: the node is {@link reset}, or with `keep` as it was. A raft cluster brings it up to date. */
  readonly start: (options?: { readonly keep?: boolean | undefined }) => Effect.Effect<void>
  /** It is {@link stop | stopped} for good: a raft cluster no longer counts it. */
  readonly leave: Effect.Effect<void>
}

/**
 * Makes a node.
 *
 * Dies when `keyspaceSize`, `maxMemory` or `metricsHistory` is not a whole number of at least 1, or `metricsInterval` is not
 * positive.
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
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: CacheNodeOptions = {}): Effect.Effect<CacheNode> =>
  Effect.gen(function* () {
    const { dialect, emulateQuirks, interval, keyspaceSize, maxMemory, metricsHistory } = yield* validate(options)
    const wire = makeDialect(dialect, emulateQuirks)
    const startedAt = yield* now
    const entries = CacheEntries.make({ keyspaceSize, maxMemory })
    const membership =
      dialect === "raft"
        ? (options.raftGroup ?? (yield* RaftGroup.make())).join(entries, options.raftHost ?? "127.0.0.1", startedAt)
        : standalone(entries)
    const metrics = NodeMetrics.make({ interval, history: metricsHistory, emulateQuirks, now: startedAt })
    const execute = makeHandlers({ wire, entries, membership, metrics })

    const answer = (name: string, command: NodeCommand | undefined, body: string, now: number): NodeReply => {
      metrics.count(command)
      if (dialect === "raft" && !membership.isLeader() && isLeaderOnly(name, command)) return wire.notLeader
      return command === undefined ? wire.unknownCommand(name) : execute[command](body, now)
    }

    const unsafeHandle = (name: string, body: string, nowMillis: number): NodeReply => {
      membership.settle(nowMillis)
      metrics.recordDue(nowMillis)
      const command = wire.commands.get(name)
      const reply = answer(name, command, body, nowMillis)
      const error = emulateQuirks ? wire.errorDocument(command, body) : ""
      return error === "" ? reply : { ...reply, body: error + reply.body }
    }

    /** Reads the node, or changes it, as of now. */
    const atNow = <A>(f: (nowMillis: number) => A): Effect.Effect<A> =>
      Effect.map(now, (nowMillis) => {
        membership.settle(nowMillis)
        return f(nowMillis)
      })

    const start = (keep: boolean) =>
      atNow((nowMillis) => {
        if (!keep) {
          membership.stop(nowMillis)
          entries.replace([])
          metrics.reset(nowMillis)
        }
        membership.start(keep, nowMillis)
      })

    return {
      dialect,
      raftAddress: dialect === "raft" ? membership.address : undefined,
      handle: (command, body) => Effect.map(now, (nowMillis) => unsafeHandle(command, body, nowMillis)),
      unsafeHandle,
      entries: atNow((nowMillis) =>
        entries.list(nowMillis).map(([key, { expiresAt, value }]) => {
          const json = stringOf(value)
          return { key, value: dialect === "v1" ? String(JSON.parse(json)) : json, expiresAt }
        })
      ),
      size: atNow(entries.size),
      commandCounts: Effect.sync(metrics.commandCounts),
      isLeader: atNow(membership.isLeader),
      clear: atNow(() => entries.replace([])),
      reset: start(false),
      stop: atNow(membership.stop),
      start: ({ keep = false } = {}) => start(keep),
      leave: atNow(membership.leave)
    }
  })

const now = Effect.clockWith((clock) => Effect.sync(() => clock.unsafeCurrentTimeMillis()))

/** Applies the defaults; an impossible option is a defect. */
const validate = ({
  dialect = "v2",
  emulateQuirks = false,
  keyspaceSize = 65536,
  maxMemory = 256 * 1024 * 1024,
  metricsHistory = 288,
  metricsInterval = Duration.minutes(5)
}: CacheNodeOptions) => {
  for (const [name, value] of Object.entries({ keyspaceSize, maxMemory, metricsHistory })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      return Effect.dieMessage(`${name} must be a whole number of at least 1, not ${value}`)
    }
  }
  const interval = Option.getOrElse(DurationLike.parse(metricsInterval), () => 0)
  if (interval <= 0)
    return Effect.dieMessage('metricsInterval must be a Duration or its text, as "5 minutes", longer than 0')
  return Effect.succeed({ dialect, emulateQuirks, keyspaceSize, maxMemory, metricsHistory, interval })
}

const makeDialect = (dialect: Dialect, emulateQuirks: boolean): ServerDialect =>
  dialect === "v1" ? makeV1(emulateQuirks) : makeGobj(dialect, emulateQuirks)

/** The membership of a node that is in no raft group. */
const standalone = (entries: CacheEntries.CacheEntries): RaftGroup.Membership => ({
  address: "",
  settle: () => {},
  isLeader: () => false,
  leader: () => "",
  commit: entries.apply,
  stop: () => {},
  start: () => {},
  leave: () => {}
})

/** On a raft server these, and unknown commands, go through the cluster's log, which only the leader can write. */
const isLeaderOnly = (name: string, command: NodeCommand | undefined): boolean =>
  command !== "get" &&
  command !== "ping" &&
  command !== "systemMetrics" &&
  command !== "getLeader" &&
  name !== "getAppMetrics"

type Handler = (body: string, now: number) => NodeReply

/** The effect and the reply of each command. */
const makeHandlers = ({
  entries,
  membership,
  metrics,
  wire
}: {
  readonly entries: CacheEntries.CacheEntries
  readonly membership: RaftGroup.Membership
  readonly metrics: NodeMetrics.NodeMetrics
  readonly wire: ServerDialect
}): { readonly [Command in NodeCommand]: Handler } => {
  const withRequest =
    (needsValue: boolean, run: (request: NodeRequest, now: number) => NodeReply): Handler =>
    (body, now) => {
      const request = wire.decode(body, needsValue)
      return wire.validate(request, needsValue) ?? run(request, now)
    }

  const store = (_tag: "Put" | "Add", reply: (request: NodeRequest) => NodeReply): Handler =>
    withRequest(true, (request, now) => {
      const { key, ttl, value } = request
      const entry = { value: jsonText(value), expiresAt: ttl === -1 ? Number.POSITIVE_INFINITY : now + ttl * 1000 }
      const done = membership.commit({ _tag, key, entry }, now)
      metrics.record(done ? "stored" : "notStored")
      return done ? reply(request) : wire.notStored
    })

  return {
    get: withRequest(false, (request, now) => {
      const entry = entries.use(request.key, now)
      if (entry !== undefined) return wire.hit(request, stringOf(entry.value))
      metrics.record("miss")
      return wire.miss(request)
    }),
    put: store("Put", wire.put),
    add: store("Add", () => wire.stored),
    delete: withRequest(false, ({ key }, now) => {
      const done = membership.commit({ _tag: "Delete", key }, now)
      metrics.record(done ? "removed" : "notFound")
      return done ? wire.removed : wire.notFound
    }),
    flush: (_, now) => {
      membership.commit({ _tag: "Flush" }, now)
      metrics.record("flushed")
      return wire.flushed
    },
    ping: () => wire.pong,
    nodeSize: (_, now) => wire.nodeSize(entries.size(now)),
    systemMetrics: () => wire.metrics(metrics.systemRows()),
    applicationMetrics: () => wire.metrics(metrics.applicationRows()),
    getLeader: (_, now) => wire.leader(membership.leader(now))
  }
}
