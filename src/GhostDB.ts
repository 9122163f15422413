/** The service: the commands of a GhostDB cluster as Effects. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Topology } from "./ClusterState.js"
import type { KeyError, NoMoreServers } from "./GhostDBError.js"
import type { Json, ToJson } from "./Json.js"
import type { DeleteResult, FlushResult, SnitchMetrics, StoreResult, WatchdogMetrics } from "./Protocol.js"

/**
 * How long an entry lives. A number is whole **seconds**, 1 or more, and -1 is for ever; a `Duration` is rounded up to
 * whole seconds. Anything else (a fraction, 0, NaN, more than 2^53-1) is a defect.
 *
 * Servers expire lazily: an entry goes when a crawler passes after its time, by default every 300 seconds, and reading it
 * starts its time anew.
 */
export type Ttl = number | Duration.Duration

/** Metrics of the nodes that answered, in the order of the nodes file. */
export interface Metrics<Row> {
  readonly metrics: ReadonlyArray<{
    readonly node: string
    /** A row for each interval, the oldest first. */
    readonly data: ReadonlyArray<Row>
  }>
}

/** The commands. What they share: each ends within `deadline`, and none fails because one node is down. */
export interface GhostDBService {
  /** The value of a key, none on a miss. A stored `null` is `Option.some(null)`. */
  readonly get: (key: string) => Effect.Effect<Option.Option<Json>, NoMoreServers | KeyError>
  /**
   * Stores a value, over the one that is there. `NOT_STORED` when the request is larger than `maxRequestBytes`.
   *
   * A value that cannot be serialised at run time, as one with a cycle, is a defect that names the key.
   *
   * @param ttl default -1: the entry never expires
   */
  readonly put: <A>(
    key: string,
    value: Json | (A & ToJson<A>),
    ttl?: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /**
   * Stores a value where the key has none; `NOT_STORED` where it has.
   *
   * At least once: where the reply to an `add` that stored is lost, it is tried again and answers `NOT_STORED` for the
   * caller's own value.
   *
   * @param ttl default -1: the entry never expires
   */
  readonly add: <A>(
    key: string,
    value: Json | (A & ToJson<A>),
    ttl?: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /** Removes a key. `NOT_FOUND` where it had no value. */
  readonly delete: (key: string) => Effect.Effect<DeleteResult, NoMoreServers | KeyError>
  /**
   * Empties every live node, for all its clients; a raft cluster through its leader. `ERR_FLUSH` when any of them did not
   * flush.
   */
  readonly flush: Effect.Effect<FlushResult, NoMoreServers>
  /** Asks every configured node, the dead ones included, and lists those that answer, in the order of the nodes file. */
  readonly ping: Effect.Effect<ReadonlyArray<string>>
  /**
   * The number of entries in a node; none where the node is not in the cluster or is a v1 server. Of a raft member it is
   * its leader's number: all members hold the same.
   */
  readonly nodeSize: (node: string) => Effect.Effect<Option.Option<number>, NoMoreServers>
  /**
   * The leader of a raft cluster, asked anew; none while there is none, and in clusters of v1 and v2 nodes, which have
   * none.
   */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** System metrics of each live node: memory, collections, goroutines. */
  readonly getSnitchMetrics: Effect.Effect<Metrics<SnitchMetrics>, NoMoreServers>
  /** Application metrics of each live node: requests and their outcomes. Empty for raft nodes, which keep none. */
  readonly getWatchdogMetrics: Effect.Effect<Metrics<WatchdogMetrics>, NoMoreServers>
  /** The live and the dead nodes as they are, then each change. Ends with the layer's scope or its consumer. */
  readonly topology: Stream.Stream<Topology>
}

/**
 * The client of a GhostDB cluster.
 *
 * @example
 * import { Effect, Option } from "effect"
 * import { GhostDB } from "effect-ghostdb"
 *
 * const greeting = (name: string) =>
 *   GhostDB.get(name).pipe(
 *     Effect.flatMap(
 *       Option.match({
 *         onSome: Effect.succeed,
 *         onNone: () => Effect.as(GhostDB.put(name, `Hello, ${name}`, 300), `Hello, ${name}`)
 *       })
 *     )
 *   )
 */
export class GhostDB extends Context.Tag("effect-ghostdb/GhostDB")<GhostDB, GhostDBService>() {
  // Written out: the proxies of `Effect.Tag` lose generic methods.

  /** @see {@link GhostDBService.get} */
  static get(key: string) {
    return Effect.flatMap(GhostDB, (db) => db.get(key))
  }
  /** @see {@link GhostDBService.put} */
  static put<A>(key: string, value: Json | (A & ToJson<A>), ttl?: Ttl) {
    return Effect.flatMap(GhostDB, (db) => db.put<A>(key, value, ttl))
  }
  /** @see {@link GhostDBService.add} */
  static add<A>(key: string, value: Json | (A & ToJson<A>), ttl?: Ttl) {
    return Effect.flatMap(GhostDB, (db) => db.add<A>(key, value, ttl))
  }
  /** @see {@link GhostDBService.delete} */
  static delete(key: string) {
    return Effect.flatMap(GhostDB, (db) => db.delete(key))
  }
  /** @see {@link GhostDBService.flush} */
  static readonly flush = Effect.flatMap(GhostDB, (db) => db.flush)
  /** @see {@link GhostDBService.ping} */
  static readonly ping = Effect.flatMap(GhostDB, (db) => db.ping)
  /** @see {@link GhostDBService.nodeSize} */
  static nodeSize(node: string) {
    return Effect.flatMap(GhostDB, (db) => db.nodeSize(node))
  }
  /** @see {@link GhostDBService.leader} */
  static readonly leader = Effect.flatMap(GhostDB, (db) => db.leader)
  /** @see {@link GhostDBService.getSnitchMetrics} */
  static readonly getSnitchMetrics = Effect.flatMap(GhostDB, (db) => db.getSnitchMetrics)
  /** @see {@link GhostDBService.getWatchdogMetrics} */
  static readonly getWatchdogMetrics = Effect.flatMap(GhostDB, (db) => db.getWatchdogMetrics)
  /** @see {@link GhostDBService.topology} */
  static readonly topology = Stream.unwrap(Effect.map(GhostDB, (db) => db.topology))
}
