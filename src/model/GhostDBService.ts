/** The service: the commands of a GhostDB cluster as Effects. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Batch from "../cache/Batch.js"
import * as FailOpen from "../cache/FailOpen.js"
import * as Store from "../cache/Store.js"
import type { Topology } from "../cluster/ClusterState.js"
import type { DeleteResult, FlushResult, SnitchMetrics, StoreResult, WatchdogMetrics } from "../protocol/Protocol.js"
import type { KeyError, NoMoreServers } from "./GhostDBError.js"
import type { Json, Storable } from "./Json.js"

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
  readonly put: <A>(key: string, value: Storable<A>, ttl?: Ttl) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /**
   * Stores a value where the key has none; `NOT_STORED` where it has.
   *
   * At least once: where the reply to an `add` that stored is lost, it is tried again and answers `NOT_STORED` for the
   * caller's own value.
   *
   * @param ttl default -1: the entry never expires
   */
  readonly add: <A>(key: string, value: Storable<A>, ttl?: Ttl) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
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
  static put<A>(key: string, value: Storable<A>, ttl?: Ttl) {
    return Effect.flatMap(GhostDB, (db) => db.put<A>(key, value, ttl))
  }
  /** @see {@link GhostDBService.add} */
  static add<A>(key: string, value: Storable<A>, ttl?: Ttl) {
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

  /**
   * A store of the values of a schema: typed commands, and cache-aside. Made without any effect, and best made once.
   *
   * @example
   * import { Effect, Schema } from "effect"
   * import { GhostDB } from "effect-ghostdb"
   *
   * class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String }) {}
   *
   * const users = GhostDB.forSchema(User, { prefix: "user:", ttl: 300, onDecodeError: "miss" })
   *
   * const user = (id: number) => users.getOrElse(String(id), Effect.succeed(new User({ id, name: "from the database" })))
   */
  static forSchema<A, I, R, D extends Store.OnDecodeError = "fail", X extends Store.Expiry = "server">(
    schema: Schema.Schema<A, I, R> & Store.JsonEncoded<I>,
    options?: Store.StoreOptions<D, X>
  ) {
    return Store.make(GhostDB, schema, options)
  }

  /**
   * {@link Store.Store.getOrElse} for one effect: its value from the cache, or else from itself.
   *
   * @example
   * import { Effect, Schema } from "effect"
   * import { GhostDB } from "effect-ghostdb"
   *
   * const rate = Effect.succeed(1.08).pipe(GhostDB.cached("rate:EUR-USD", { schema: Schema.Number, ttl: 60 }))
   */
  static cached<
    A,
    I,
    R,
    D extends Store.OnDecodeError = "fail",
    X extends Store.Expiry = "server",
    O extends Store.OnOutage = "run",
    F = never,
    FI = never,
    FR = never
  >(key: string, options: Store.CachedOptions<A, I, R, D, X, O, F, FI, FR>) {
    const { expiry, onDecodeError, schema } = options
    const store = Store.make<A, I, R, D, X>(GhostDB, schema, { expiry, onDecodeError })
    return <E2, R2>(self: Effect.Effect<A, E2, R2>) => store.getOrElse<E2, R2, O, F, FI, FR>(key, self, options)
  }

  /**
   * Makes the outage of the cache no outage of the effect: within it, commands answer a miss, `NOT_STORED`, `NOT_FOUND` or
   * `ERR_FLUSH` instead of failing with `NoMoreServers`. Counted in `ghostdb.client.outages`, and logged once a minute.
   * The option `failOpen` of a layer does so for all that use it.
   *
   * @example
   * import { Effect } from "effect"
   * import { GhostDB } from "effect-ghostdb"
   *
   * const remember = (key: string, value: number) => GhostDB.put(key, value, 60).pipe(GhostDB.failOpen)
   */
  static failOpen<A, E, R>(self: Effect.Effect<A, E, R>) {
    return Effect.flatMap(GhostDB, (db) => Effect.provideService(self, GhostDB, FailOpen.wrap(db)))
  }

  /** {@link GhostDBService.get} of many keys, pipelined: each key's result, or its error. */
  static getMany(keys: Iterable<string>, options?: Batch.BatchOptions) {
    return Effect.flatMap(GhostDB, (db) => Batch.forEachKey(keys, db.get, options))
  }
  /**
   * {@link GhostDBService.put} of many keys, pipelined: each key's result, or its error. The last of several entries of a
   * key is stored.
   */
  static putMany<E extends readonly [key: string, value: unknown]>(
    entries: Iterable<E & readonly [key: string, value: Storable<E[1]>]>,
    options?: Batch.BatchOptions & { readonly ttl?: Ttl | undefined }
  ) {
    return Effect.flatMap(GhostDB, (db) =>
      Batch.forEachEntry(entries, (key, value) => db.put<E[1]>(key, value, options?.ttl), options)
    )
  }
  /** {@link GhostDBService.delete} of many keys, pipelined: each key's result, or its error. */
  static deleteMany(keys: Iterable<string>, options?: Batch.BatchOptions) {
    return Effect.flatMap(GhostDB, (db) => Batch.forEachKey(keys, db.delete, options))
  }
}
