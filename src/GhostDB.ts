/**
 * The service: the commands of a GhostDB cluster as Effects, as statics of the tag and as functions of this module. The
 * two are the same; of the functions a bundle has only those that are used:
 * `import * as GhostDB from "effect-ghostdb/GhostDB"`.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CacheEvent } from "./cache/CacheEvents.js"
import * as FailOpen from "./cache/FailOpen.js"
import * as ManyKeys from "./cache/ManyKeys.js"
import * as PerClient from "./cache/PerClient.js"
import * as StoreOf from "./cache/Store.js"
import type * as StoreOptions from "./cache/StoreOptions.js"
import * as Tags from "./cache/Tags.js"
import { fromEither } from "./model/fromEither.js"
import { type KeyError, NoMoreServers } from "./model/GhostDBError.js"
import type { DeleteResult, FlushResult, GhostDBService, StoreResult } from "./model/GhostDBService.js"
import type { Json, Storable } from "./model/Json.js"
import type { Metrics, SnitchMetrics, WatchdogMetrics } from "./model/Metrics.js"
import type { Topology } from "./model/Topology.js"
import type { DurationLike, Ttl } from "./model/Ttl.js"
import * as FiberServices from "./telemetry/FiberServices.js"

/**
 * The values of one schema in the cache. `E` is what decoding can fail with, `R` what the schema needs, and `G` what the
 * store's options add to the errors of `getOrElse`. Where a method fails with `KeyError`, its key has the store's prefix.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store<
  A,
  E extends ParseError = ParseError,
  R = never,
  X extends StoreOptions.Expiry = "server",
  G = never,
  W extends StoreOptions.Written = StoreOptions.Written
> extends StoreOf.StoreOf<GhostDB, A, E, R, X, G, W> {}

const id = "effect-ghostdb/GhostDB"

/**
 * The tag without its accessors, which a bundler cannot take apart: the client uses this one.
 *
 * @internal
 */
export const tag: Context.Tag<GhostDB, GhostDBService> = /* @__PURE__ */ Context.GenericTag(id)

/**
 * {@link GhostDB.get} as a function: the value of a key, none on a miss.
 *
 * @category commands
 * @since 0.1.0
 */
export const get: typeof GhostDB.get = (key) => FiberServices.withService(tag, (db) => db.get(key))

/**
 * {@link GhostDB.put} as a function: stores a value, over the one that is there.
 *
 * @category commands
 * @since 0.1.0
 */
export const put: typeof GhostDB.put = (key, value, ttl) =>
  FiberServices.withService(tag, (db) => db.put(key, value, ttl))

/**
 * {@link GhostDB.add} as a function: stores a value where the key has none.
 *
 * @category commands
 * @since 0.1.0
 */
export const add: typeof GhostDB.add = (key, value, ttl) =>
  FiberServices.withService(tag, (db) => db.add(key, value, ttl))

/**
 * {@link GhostDB.delete} as a function: removes a key.
 *
 * @category commands
 * @since 0.1.0
 */
const remove: typeof GhostDB.delete = (key) => FiberServices.withService(tag, (db) => db.delete(key))

export { remove as delete }

/**
 * {@link GhostDB.flush} as a value of the module: empties every live node, for all its clients.
 *
 * @category commands
 * @since 0.1.0
 */
export const flush: typeof GhostDB.flush = /* @__PURE__ */ Effect.flatMap(tag, (db) => db.flush)

/**
 * {@link GhostDB.ping} as a value of the module: the nodes that answer.
 *
 * @category administration
 * @since 0.1.0
 */
export const ping: typeof GhostDB.ping = /* @__PURE__ */ Effect.flatMap(tag, (db) => db.ping)

/**
 * {@link GhostDB.nodeSize} as a function: the number of entries in a node.
 *
 * @category administration
 * @since 0.1.0
 */
export const nodeSize: typeof GhostDB.nodeSize = (node) => Effect.flatMap(tag, (db) => db.nodeSize(node))

/**
 * {@link GhostDB.leader} as a value of the module: the leader of a raft cluster.
 *
 * @category administration
 * @since 0.1.0
 */
export const leader: typeof GhostDB.leader = /* @__PURE__ */ Effect.flatMap(tag, (db) => db.leader)

/**
 * {@link GhostDB.getSnitchMetrics} as a value of the module: system metrics of each live node.
 *
 * @category administration
 * @since 0.1.0
 */
export const getSnitchMetrics: typeof GhostDB.getSnitchMetrics = /* @__PURE__ */ Effect.flatMap(
  tag,
  (db) => db.getSnitchMetrics
)

/**
 * {@link GhostDB.getWatchdogMetrics} as a value of the module: application metrics of each live node.
 *
 * @category administration
 * @since 0.1.0
 */
export const getWatchdogMetrics: typeof GhostDB.getWatchdogMetrics = /* @__PURE__ */ Effect.flatMap(
  tag,
  (db) => db.getWatchdogMetrics
)

/**
 * {@link GhostDB.topology} as a value of the module: the live and the dead nodes, and each change.
 *
 * @category administration
 * @since 0.1.0
 */
export const topology: typeof GhostDB.topology = /* @__PURE__ */ Stream.unwrap(
  /* @__PURE__ */ Effect.map(tag, (db) => db.topology)
)

/**
 * {@link GhostDB.forSchema} as a function: a store of the values of a schema.
 *
 * @category caching
 * @since 0.1.0
 */
export const forSchema: typeof GhostDB.forSchema = (schema, options) => StoreOf.make(tag, schema, options)

/**
 * {@link GhostDB.cached} as a function: an effect's value from the cache, or else from itself.
 *
 * @category caching
 * @since 0.1.0
 */
export const cached: typeof GhostDB.cached = <
  A,
  I,
  R,
  D extends StoreOptions.OnDecodeError,
  X extends StoreOptions.Expiry,
  O extends StoreOptions.OnOutage | undefined,
  H extends DurationLike | undefined,
  F,
  FI,
  FR,
  S
>(
  key: string,
  { schema, ...rest }: StoreOptions.CachedOptions<A, I, R, D, X, O, H, F, FI, FR, S>
) => {
  // The options of a store without a prefix; `schema` has been taken out of them.
  const options = rest as StoreOptions.StoreOptions<A, D, X, O, H, F, FI, FR>
  const store = StoreOf.make<GhostDB, A, I, R, D, X, O, H, F, FI, FR>(tag, schema, options)
  return <E2, R2, V extends A>(self: Effect.Effect<V, E2, R2>) => store.getOrElse(key, self)
}

/**
 * {@link GhostDB.expireTags} as a function: ends all entries with one of the tags.
 *
 * @category caching
 * @since 0.1.0
 */
export const expireTags: typeof GhostDB.expireTags = (tags) => Effect.flatMap(tag, (db) => Tags.expire(db, tags))

/**
 * {@link GhostDB.cacheEvents} as a value of the module: what becomes of lookups, from now on.
 *
 * @category caching
 * @since 0.1.0
 */
export const cacheEvents: typeof GhostDB.cacheEvents = /* @__PURE__ */ Stream.unwrap(
  /* @__PURE__ */ Effect.map(tag, (db) => PerClient.of(db).events.stream)
)

/**
 * {@link GhostDB.failOpen} as a function: within the effect, an outage of the cache is a miss.
 *
 * @category outages
 * @since 0.1.0
 */
export const failOpen: typeof GhostDB.failOpen = (self) =>
  Effect.flatMap(tag, (db) => Effect.provideService(self, tag, FailOpen.wrap(db)))

/**
 * {@link GhostDB.requireLive} as a function: the layer, which fails when no node answers as it is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const requireLive: typeof GhostDB.requireLive = (layer) =>
  Layer.tap(layer, (context) => failUnlessLive(Context.get(context, tag)))

/**
 * {@link GhostDB.getMany} as a function: the values of many keys, as one operation.
 *
 * @category commands
 * @since 0.1.0
 */
export const getMany: typeof GhostDB.getMany = (keys) => Effect.flatMap(tag, (db) => ManyKeys.getMap(db, keys))

/**
 * {@link GhostDB.getSomes} as a function: the values of the keys that have one.
 *
 * @category commands
 * @since 0.1.0
 */
export const getSomes: typeof GhostDB.getSomes = (keys) =>
  Effect.flatMap(getMany(keys), (results) => fromEither(ManyKeys.somes(results)))

/**
 * {@link GhostDB.putMany} as a function: stores many values, as one operation.
 *
 * @category commands
 * @since 0.1.0
 */
export const putMany: typeof GhostDB.putMany = (entries, options) =>
  Effect.flatMap(tag, (db) => ManyKeys.writeMap(db, "put", entries, options?.ttl))

/**
 * {@link GhostDB.addMany} as a function: stores many values where the keys have none, as one operation.
 *
 * @category commands
 * @since 0.1.0
 */
export const addMany: typeof GhostDB.addMany = (entries, options) =>
  Effect.flatMap(tag, (db) => ManyKeys.writeMap(db, "add", entries, options?.ttl))

/**
 * {@link GhostDB.deleteMany} as a function: removes many keys, as one operation.
 *
 * @category commands
 * @since 0.1.0
 */
export const deleteMany: typeof GhostDB.deleteMany = (keys) => Effect.flatMap(tag, (db) => ManyKeys.deleteMap(db, keys))

/** A ping says that no node answers; a command on each says why. */
const failUnlessLive = /* @__PURE__ */ Effect.fnUntraced(function* (db: GhostDBService) {
  if ((yield* db.ping).length > 0) return
  const topology = Effect.map(Stream.runHead(db.topology), Option.getOrThrow)
  const { live } = yield* topology
  yield* Effect.forEach(live, ({ node }) => Effect.ignore(db.nodeSize(node)), {
    concurrency: "unbounded",
    discard: true
  })
  const after = yield* topology
  if (after.live.length === 0) return yield* new NoMoreServers({ failures: after.dead.map(({ failure }) => failure) })
})

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
 *
 * @category service
 * @since 0.1.0
 */
export class GhostDB extends /* @__PURE__ */ Context.Tag(id)<GhostDB, GhostDBService>() {
  // Written out: the proxies of `Effect.Tag` lose generic methods.

  /**
   * The value of a key, none on a miss. A stored `null` is `Option.some(null)`.
   *
   * @category commands
   * @since 0.1.0
   */
  static get(key: string): Effect.Effect<Option.Option<Json>, NoMoreServers | KeyError, GhostDB> {
    return get(key)
  }
  /**
   * Stores a value, over the one that is there. `NOT_STORED` when the request is larger than `maxRequestBytes`.
   *
   * A value that cannot be serialised at run time, as one with a cycle, is a defect that names the key.
   *
   * @param ttl whole seconds, or a Duration, or its text (`"5 minutes"`); default -1: the entry never expires
   * @category commands
   * @since 0.1.0
   */
  static put<A>(
    key: string,
    value: Storable<A>,
    ttl?: Ttl
  ): Effect.Effect<StoreResult, NoMoreServers | KeyError, GhostDB> {
    return put<A>(key, value, ttl)
  }
  /**
   * Stores a value where the key has none; `NOT_STORED` where it has.
   *
   * At least once: where the reply to an `add` that stored is lost, it is tried again and answers `NOT_STORED` for the
   * caller's own value.
   *
   * @param ttl whole seconds, or a Duration, or its text (`"5 minutes"`); default -1: the entry never expires
   * @category commands
   * @since 0.1.0
   */
  static add<A>(
    key: string,
    value: Storable<A>,
    ttl?: Ttl
  ): Effect.Effect<StoreResult, NoMoreServers | KeyError, GhostDB> {
    return add<A>(key, value, ttl)
  }
  /**
   * Removes a key. `NOT_FOUND` where it had no value.
   *
   * @category commands
   * @since 0.1.0
   */
  static delete(key: string): Effect.Effect<DeleteResult, NoMoreServers | KeyError, GhostDB> {
    return remove(key)
  }
  /**
   * Empties every live node, for all its clients; a raft cluster through its leader. `ERR_FLUSH` when any of them did
   * not flush.
   *
   * @category commands
   * @since 0.1.0
   */
  static readonly flush: Effect.Effect<FlushResult, NoMoreServers, GhostDB> = flush
  /**
   * Asks every configured node, the dead ones included, and lists those that answer, in the order of the nodes file.
   * Never fails.
   *
   * @category administration
   * @since 0.1.0
   */
  static readonly ping: Effect.Effect<ReadonlyArray<string>, never, GhostDB> = ping
  /**
   * The number of entries in a node; none where the node is not in the cluster or is a v1 server. Of a raft member it
   * is its leader's number: all members hold the same.
   *
   * @category administration
   * @since 0.1.0
   */
  static nodeSize(node: string): Effect.Effect<Option.Option<number>, NoMoreServers, GhostDB> {
    return nodeSize(node)
  }
  /**
   * The leader of a raft cluster, asked anew; none while there is none, and in clusters of v1 and v2 nodes, which have
   * none.
   *
   * @category administration
   * @since 0.1.0
   */
  static readonly leader: Effect.Effect<Option.Option<string>, never, GhostDB> = leader
  /**
   * System metrics of each live node, a row per interval: memory, collections, goroutines.
   *
   * @category administration
   * @since 0.1.0
   */
  static readonly getSnitchMetrics: Effect.Effect<Metrics<SnitchMetrics>, NoMoreServers, GhostDB> = getSnitchMetrics
  /**
   * Application metrics of each live node, a row per interval: requests and their outcomes. Empty for raft nodes, which
   * keep none.
   *
   * @category administration
   * @since 0.1.0
   */
  static readonly getWatchdogMetrics: Effect.Effect<Metrics<WatchdogMetrics>, NoMoreServers, GhostDB> =
    getWatchdogMetrics
  /**
   * The live and the dead nodes as they are, then each change. Ends with the layer's scope or its consumer.
   *
   * @category administration
   * @since 0.1.0
   */
  static readonly topology: Stream.Stream<Topology, never, GhostDB> = topology

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
   *
   * @category caching
   * @since 0.1.0
   */
  static forSchema<
    A,
    I,
    R,
    D extends StoreOptions.OnDecodeError = "fail",
    X extends StoreOptions.Expiry = "server",
    O extends StoreOptions.OnOutage | undefined = undefined,
    H extends DurationLike | undefined = undefined,
    F = never,
    FI = never,
    FR = never,
    S = unknown
  >(
    schema: Schema.Schema<A, I, R> & StoreOptions.JsonEncoded<I> & S,
    options?: StoreOptions.StoreOptions<A, D, X, O, H, F, FI, FR>
  ): Store<
    A,
    StoreOptions.DecodeError<D>,
    R | FR,
    X,
    F | StoreOptions.OutageError<O> | StoreOptions.TimeoutError<H>,
    StoreOptions.WrittenOf<A, S>
  > {
    return forSchema(schema, options)
  }

  /**
   * {@link Store.getOrElse} for one effect: its value from the cache, or else from itself.
   *
   * @example
   * import { Effect, Schema } from "effect"
   * import { GhostDB } from "effect-ghostdb"
   *
   * const rate = Effect.succeed(1.08).pipe(GhostDB.cached("rate:EUR-USD", { schema: Schema.Number, ttl: 60 }))
   *
   * @category caching
   * @since 0.1.0
   */
  static cached<
    A,
    I,
    R,
    D extends StoreOptions.OnDecodeError = "fail",
    X extends StoreOptions.Expiry = "server",
    O extends StoreOptions.OnOutage | undefined = undefined,
    H extends DurationLike | undefined = undefined,
    F = never,
    FI = never,
    FR = never,
    S = unknown
  >(
    key: string,
    options: StoreOptions.CachedOptions<A, I, R, D, X, O, H, F, FI, FR, S>
  ): <E2, R2, V extends A>(
    self: Effect.Effect<V, E2, R2> & StoreOptions.Instance<A, V, StoreOptions.WrittenOf<A, S>>
  ) => Effect.Effect<
    A,
    E2 | KeyError | StoreOptions.DecodeError<D> | F | StoreOptions.OutageError<O> | StoreOptions.TimeoutError<H>,
    GhostDB | R | FR | R2
  > {
    return cached(key, options)
  }

  /**
   * Ends all entries with one of the tags, for all processes and stores: see the option `tags` of stores. A run that is
   * under way counts as before: its value goes to those who have asked before, and to nobody else.
   *
   * Nothing is listed or deleted: each tag has a stamp in the cluster, the time at which it expired, and who reads an entry
   * compares that with the time at which the entry's effect began. So it is exact within what the clocks of the processes
   * differ by, and behind a near cache within its `ttl`. The stamps are as safe as anything in a cache: where a stamp's node
   * is lost, processes that have seen the stamp write it again; without any, entries from before count again.
   *
   * @category caching
   * @since 0.1.0
   */
  static expireTags(tags: Iterable<string>): Effect.Effect<void, NoMoreServers | KeyError, GhostDB> {
    return expireTags(tags)
  }

  /**
   * What becomes of the lookups of `getOrElse` and `cached`, and of the work behind them, from now on.
   *
   * @category caching
   * @since 0.1.0
   */
  static readonly cacheEvents: Stream.Stream<CacheEvent, never, GhostDB> = cacheEvents

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
   *
   * @category outages
   * @since 0.1.0
   */
  static failOpen<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, GhostDB | Exclude<R, GhostDB>> {
    return failOpen(self)
  }

  /**
   * The layer, which fails with `NoMoreServers` when no node answers as it is built. Without it a layer connects to no
   * node until a command does.
   *
   * @example
   * import { GhostDB, GhostDBLive } from "effect-ghostdb"
   *
   * const live = GhostDBLive("gdb.conf").pipe(GhostDB.requireLive)
   *
   * @category layers
   * @since 0.1.0
   */
  static requireLive<E, R>(layer: Layer.Layer<GhostDB, E, R>): Layer.Layer<GhostDB, E | NoMoreServers, R> {
    return requireLive(layer)
  }

  /**
   * The values of many keys, as one operation: those of a node go to it in few writes. A map of each key's result, or its
   * error, in the order of the keys. Metrics and spans are those of a batch.
   *
   * @category commands
   * @since 0.1.0
   */
  static getMany(
    keys: Iterable<string>
  ): Effect.Effect<ReadonlyMap<string, ManyKeys.KeyResult<Option.Option<Json>>>, never, GhostDB> {
    return getMany(keys)
  }
  /**
   * {@link GhostDB.getMany} of the keys that have a value, by key. Fails as a whole with the first key's error.
   *
   * @category commands
   * @since 0.1.0
   */
  static getSomes(keys: Iterable<string>): Effect.Effect<ReadonlyMap<string, Json>, NoMoreServers | KeyError, GhostDB> {
    return getSomes(keys)
  }
  /**
   * Stores many values, as one operation: each key's result, or its error. The last of several entries of a key is stored.
   *
   * @category commands
   * @since 0.1.0
   */
  static putMany<E extends readonly [key: string, value: unknown]>(
    entries: Iterable<E & readonly [key: string, value: Storable<E[1]>]>,
    options?: { readonly ttl?: Ttl | undefined }
  ): Effect.Effect<ReadonlyMap<string, ManyKeys.KeyResult<StoreResult>>, never, GhostDB> {
    return putMany(entries, options)
  }
  /**
   * {@link GhostDB.add} of many values, as one operation: each key's result, or its error.
   *
   * @category commands
   * @since 0.1.0
   */
  static addMany<E extends readonly [key: string, value: unknown]>(
    entries: Iterable<E & readonly [key: string, value: Storable<E[1]>]>,
    options?: { readonly ttl?: Ttl | undefined }
  ): Effect.Effect<ReadonlyMap<string, ManyKeys.KeyResult<StoreResult>>, never, GhostDB> {
    return addMany(entries, options)
  }
  /**
   * Removes many keys, as one operation: each key's result, or its error.
   *
   * @category commands
   * @since 0.1.0
   */
  static deleteMany(
    keys: Iterable<string>
  ): Effect.Effect<ReadonlyMap<string, ManyKeys.KeyResult<DeleteResult>>, never, GhostDB> {
    return deleteMany(keys)
  }
}
