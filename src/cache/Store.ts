/** Typed values: a schema in front of the commands, and what is built on that. */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import type { GhostDB, GhostDBService, Ttl } from "../GhostDB.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { Json, ToJson } from "../model/Json.js"
import type { DeleteResult, StoreResult } from "../protocol/Protocol.js"
import * as Batch from "./Batch.js"
import * as CacheAside from "./CacheAside.js"
import type { LockOptions } from "./Lock.js"
import * as Outage from "./Outage.js"
import * as Entry from "./StoredEntry.js"

/**
 * Who decides that an entry has expired: the server, late and with every read anew, or the `Clock`, to the millisecond.
 */
export type Expiry = "server" | "exact"

/** What becomes of a stored value that does not decode. */
export type OnDecodeError = "fail" | "miss"

/** What becomes of a lookup when no node serves it. */
export type OnOutage = "run" | "fail"

/** How a {@link Store} keeps its values. */
export interface StoreOptions<D extends OnDecodeError = OnDecodeError, X extends Expiry = Expiry> {
  /** Put in front of each key. Default: nothing. */
  readonly prefix?: string | undefined
  /** The TTL of values that are stored without one. Default -1: they never expire. */
  readonly ttl?: Ttl | undefined
  /**
   * `"server"` stores the value's JSON and nothing else; real servers expire late, and anew after every read.
   *
   * `"exact"` stores `{ "value": <JSON>, "expiresAt": <milliseconds since the epoch, or null> }` and honours it by the
   * `Clock`; the server has it for a minute longer. Clocks of the processes that share entries should agree.
   *
   * Default `"server"`.
   */
  readonly expiry?: X | undefined
  /**
   * `"fail"`: a stored value that does not decode is a `ParseError`. `"miss"`: it is as if there were none, so that old
   * entries do not break a deploy that changes the schema. Default `"fail"`.
   */
  readonly onDecodeError?: D | undefined
}

/** The errors of decoding that remain. */
export type DecodeError<D extends OnDecodeError> = D extends "miss" ? never : ParseError

/** The errors of outages that remain. */
export type OutageError<O extends OnOutage> = O extends "run" ? never : NoMoreServers

/** Refuses, by a type that is shown, a schema whose encoded side JSON cannot hold. */
export type JsonEncoded<I> = [I] extends [ToJson<I>] ? unknown : NotJsonEncoded<I>

/** The type of a schema whose encoded side JSON cannot hold. */
export interface NotJsonEncoded<I> {
  readonly "the encoded side of the schema must be JSON": ToJson<I>
}

/** How one {@link Store.getOrElse} goes. */
export interface CacheAsideOptions<A, O extends OnOutage = OnOutage> {
  /** The TTL of the value, or of each value: short for an absence, for instance. Default: the store's. */
  readonly ttl?: Ttl | ((value: A) => Ttl) | undefined
  /**
   * Whether processes take turns: one runs the effect, the others wait for what it stores. A guard against stampedes
   * and no mutual exclusion: see {@link LockOptions}. Default `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * `"run"`: when no node serves the lookup, the effect runs all the same and its value is not stored; that is counted,
   * and logged once a minute. `"fail"`: a lookup or a store that no node serves is a `NoMoreServers`. Default `"run"`.
   */
  readonly onOutage?: O | undefined
}

/** What only a store with exact expiry can do: a server that expires late and slides would keep these for ever. */
export interface ExactCacheAsideOptions<F, FI, FR> {
  /**
   * For how long a value that has expired is served at once, while it is refreshed in the background, once at a time.
   * A refresh ends with the layer of the client. Default: not at all.
   */
  readonly staleFor?: Duration.DurationInput | undefined
  /** Failures of the effect that are remembered: those of this schema, for this TTL. Default: none. */
  readonly failure?: { readonly schema: Schema.Schema<F, FI, FR> & JsonEncoded<FI>; readonly ttl: Ttl } | undefined
}

/** The type of an option that a store without exact expiry does not have. */
export interface NeedsExactExpiry {
  readonly 'needs a store with expiry: "exact"': never
}

/** The options of {@link Store.getOrElse} in a store of one expiry. */
export type GetOrElseOptions<A, X extends Expiry, O extends OnOutage, F, FI, FR> = CacheAsideOptions<A, O> &
  ([X] extends ["exact"]
    ? ExactCacheAsideOptions<F, FI, FR>
    : { readonly staleFor?: NeedsExactExpiry | undefined; readonly failure?: NeedsExactExpiry | undefined })

/**
 * The values of one schema in the cache. `E` is what decoding can fail with, `R` what the schema needs. Where a method
 * fails with `KeyError`, its key has the store's prefix.
 */
export interface Store<A, E extends ParseError = ParseError, R = never, X extends Expiry = "server"> {
  /** The value of a key. None where there is none, it has expired, or it is a cached failure. */
  readonly get: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, GhostDB | R>
  /** Stores a value, over the one that is there. @see GhostDBService.put */
  readonly put: (
    key: string,
    value: A,
    ttl?: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, GhostDB | R>
  /**
   * Stores a value where the key has no entry. @see GhostDBService.add
   *
   * With exact expiry, an entry that has expired or is a cached failure is replaced: two who do that at the same
   * instant can both be told `STORED`, and the later one's value stays.
   */
  readonly add: (
    key: string,
    value: A,
    ttl?: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, GhostDB | R>
  /** Removes a key. `NOT_FOUND` where it had no entry. */
  readonly delete: (key: string) => Effect.Effect<DeleteResult, NoMoreServers | KeyError, GhostDB>
  /** {@link Store.get} of many keys: each key's result, or its error. */
  readonly getMany: (
    keys: Iterable<string>,
    options?: Batch.BatchOptions
  ) => Effect.Effect<
    ReadonlyMap<string, Either.Either<Option.Option<A>, NoMoreServers | KeyError | E>>,
    never,
    GhostDB | R
  >
  /**
   * {@link Store.put} of many keys: each key's result, or its error. The last of several entries of a key is stored.
   */
  readonly putMany: (
    entries: Iterable<readonly [key: string, value: A]>,
    options?: Batch.BatchOptions & { readonly ttl?: Ttl | undefined }
  ) => Effect.Effect<
    ReadonlyMap<string, Either.Either<StoreResult, NoMoreServers | KeyError | ParseError>>,
    never,
    GhostDB | R
  >
  /** {@link Store.delete} of many keys: each key's result, or its error. */
  readonly deleteMany: (
    keys: Iterable<string>,
    options?: Batch.BatchOptions
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<DeleteResult, NoMoreServers | KeyError>>, never, GhostDB>
  /**
   * Cache-aside: the value of a key, or else that of the effect, which is stored.
   *
   * - Callers of a key share one lookup and one run of the effect, in this process and as long as one of them waits;
   *   the first caller's effect, options and context count. So callers of one key must pass effects that mean the same.
   * - A failure of the effect is not stored, unless `failure` says so; then it is the answer until its TTL is over.
   * - An outage of the cache degrades to no cache, unless `onOutage` is `"fail"`.
   * - A value that the schema cannot encode is a defect.
   */
  readonly getOrElse: <E2, R2, O extends OnOutage = "run", F = never, FI = never, FR = never>(
    key: string,
    effect: Effect.Effect<A, E2, R2>,
    options?: GetOrElseOptions<A, X, O, F, FI, FR>
  ) => Effect.Effect<A, E2 | F | E | KeyError | OutageError<O>, GhostDB | R | R2 | FR>
  /**
   * {@link Store.get} as a request: those that an `Effect.forEach` or `Effect.all` with `batching` makes go to the
   * cluster together, each key once.
   */
  readonly request: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, GhostDB | R>
}

interface Get<A, E> extends Request.Request<Option.Option<A>, E> {
  readonly _tag: "effect-ghostdb/Get"
  // Requests are equal by their members, and may be cached in one place for all stores and clients.
  readonly owner: object
  readonly db: GhostDBService
  readonly key: string
}

/** A store of a schema's values. */
export const make = <A, I, R, D extends OnDecodeError = "fail", X extends Expiry = "server">(
  tag: Context.Tag<GhostDB, GhostDBService>,
  schema: Schema.Schema<A, I, R> & JsonEncoded<I>,
  options: StoreOptions<D, X> = {}
): Store<A, DecodeError<D>, R, X> => {
  const { expiry, onDecodeError = "fail", prefix = "", ttl: defaultTtl = -1 } = options
  // Keys of untyped code are left as they are, for the client to refuse.
  const keyOf = (key: string) => (typeof key === "string" ? `${prefix}${key}` : key)
  const encode = Schema.encode(schema)
  const codec: Entry.Codec<A, DecodeError<D>, R> = {
    // `JsonEncoded` has checked that I is JSON.
    encode: (value) => encode(value) as Effect.Effect<Json, ParseError, R>,
    decode: Entry.decoder(schema),
    // The value of `onDecodeError` is of the type D.
    attempt: (onDecodeError === "miss" ? Effect.option : Effect.asSome) as Entry.Codec<A, DecodeError<D>, R>["attempt"]
  }
  const entries = expiry === "exact" ? Entry.exactEntries(codec) : Entry.serverEntries(codec)

  const get = (key: string) =>
    Effect.flatMap(tag, (db) =>
      Effect.map(entries.find(db, keyOf(key), 0), (found) =>
        found._tag === "Value" ? Option.some(found.value) : Option.none()
      )
    )
  const put = (key: string, value: A, ttl: Ttl = defaultTtl) =>
    Effect.flatMap(tag, (db) => entries.put(db, keyOf(key), value, ttl, 0))
  const remove = (key: string) => Effect.flatMap(tag, (db) => db.delete(keyOf(key)))
  const getMany = (keys: Iterable<string>, batch?: Batch.BatchOptions) => Batch.forEachKey(keys, get, batch)

  type Lookup = Get<A, NoMoreServers | KeyError | DecodeError<D>>
  const lookup = Request.tagged<Lookup>("effect-ghostdb/Get")
  const resolver = RequestResolver.makeBatched((lookups: ReadonlyArray<Lookup>) =>
    Effect.flatMap(getMany(lookups.map(({ key }) => key)), (results) =>
      Effect.forEach(
        lookups,
        (lookup) => {
          const result = results.get(lookup.key)
          return result === undefined ? Effect.void : Request.complete(lookup, Exit.fromEither(result))
        },
        { discard: true }
      )
    )
  )

  return {
    get,
    put,
    add: (key, value, ttl = defaultTtl) => Effect.flatMap(tag, (db) => entries.add(db, keyOf(key), value, ttl)),
    delete: remove,
    getMany,
    putMany: (values, options = {}) =>
      Batch.forEachEntry(values, (key, value) => put(key, value, options.ttl), options),
    deleteMany: (keys, batch) => Batch.forEachKey(keys, remove, batch),
    getOrElse: <E2, R2, O extends OnOutage = "run", F = never, FI = never, FR = never>(
      key: string,
      effect: Effect.Effect<A, E2, R2>,
      options?: GetOrElseOptions<A, X, O, F, FI, FR>
    ) =>
      Effect.flatMap(tag, (db) => {
        // Where X is not "exact", the type has no `staleFor` and no `failure`.
        const {
          failure,
          lock,
          onOutage,
          staleFor,
          ttl = defaultTtl
        } = (options ?? {}) as CacheAsideOptions<A, O> & ExactCacheAsideOptions<F, FI, FR>
        return CacheAside.getOrElse(
          db,
          CacheAside.flightsOf(db, schema),
          `${onDecodeError}:${onOutage}`,
          entries,
          keyOf(key),
          effect,
          {
            ttl: typeof ttl === "function" ? ttl : () => ttl,
            staleFor: staleFor === undefined ? 0 : Duration.toMillis(staleFor),
            failure,
            lock: lock === true ? {} : lock === false ? undefined : lock,
            onOutage: (error): Effect.Effect<void, OutageError<O>> =>
              // The value of `onOutage` is of the type O.
              (onOutage === "fail" ? Effect.fail(error) : Outage.note(db, error)) as Effect.Effect<void, OutageError<O>>
          }
        )
      }),
    request: (key) =>
      Effect.flatMap(tag, (db) =>
        Effect.request(
          lookup({ owner: resolver, db, key }),
          Effect.contextWith((context: Context.Context<GhostDB | R>) =>
            RequestResolver.mapInputContext(resolver, (_: Context.Context<never>) => context)
              // Equal for all requests of one traversal, which makes a batch of them.
              .identified("effect-ghostdb/Get", resolver, db)
          )
        )
      )
  }
}

/** How `GhostDB.cached` keeps one value, and how its lookup goes. */
export type CachedOptions<
  A,
  I,
  R,
  D extends OnDecodeError,
  X extends Expiry,
  O extends OnOutage,
  F,
  FI,
  FR
> = GetOrElseOptions<A, X, O, F, FI, FR> & {
  /** The schema of the value. */
  readonly schema: Schema.Schema<A, I, R> & JsonEncoded<I>
  /** @see StoreOptions.expiry */
  readonly expiry?: X | undefined
  /** @see StoreOptions.onDecodeError */
  readonly onDecodeError?: D | undefined
}
