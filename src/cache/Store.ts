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
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import type { Ttl } from "../model/Ttl.js"
import * as Batch from "./Batch.js"
import * as CacheAside from "./CacheAside.js"
import * as Outage from "./Outage.js"
import * as SafeDecode from "./SafeDecode.js"
import * as Entry from "./StoredEntry.js"
import type {
  CacheAsideOptions,
  DecodeError,
  ExactCacheAsideOptions,
  Expiry,
  GetOrElseOptions,
  JsonEncoded,
  OnDecodeError,
  OnOutage,
  OutageError,
  StoreOptions
} from "./StoreOptions.js"

/**
 * The values of one schema in the cache. `E` is what decoding can fail with, `R` what the schema needs. Where a method
 * fails with `KeyError`, its key has the store's prefix.
 */
export interface StoreOf<Self, A, E extends ParseError = ParseError, R = never, X extends Expiry = "server"> {
  /** The value of a key. None where there is none, it has expired, or it is a cached failure. */
  readonly get: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, Self | R>
  /** Stores a value, over the one that is there. @see GhostDBService.put */
  readonly put: (
    key: string,
    value: A,
    ttl?: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, Self | R>
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
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, Self | R>
  /** Removes a key. `NOT_FOUND` where it had no entry. */
  readonly delete: (key: string) => Effect.Effect<DeleteResult, NoMoreServers | KeyError, Self>
  /** {@link StoreOf.get} of many keys: each key's result, or its error. */
  readonly getMany: (
    keys: Iterable<string>,
    options?: Batch.BatchOptions
  ) => Effect.Effect<
    ReadonlyMap<string, Either.Either<Option.Option<A>, NoMoreServers | KeyError | E>>,
    never,
    Self | R
  >
  /**
   * {@link StoreOf.put} of many keys: each key's result, or its error. The last of several entries of a key is stored.
   */
  readonly putMany: (
    entries: Iterable<readonly [key: string, value: A]>,
    options?: Batch.BatchOptions & { readonly ttl?: Ttl | undefined }
  ) => Effect.Effect<
    ReadonlyMap<string, Either.Either<StoreResult, NoMoreServers | KeyError | ParseError>>,
    never,
    Self | R
  >
  /** {@link StoreOf.delete} of many keys: each key's result, or its error. */
  readonly deleteMany: (
    keys: Iterable<string>,
    options?: Batch.BatchOptions
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<DeleteResult, NoMoreServers | KeyError>>, never, Self>
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
  ) => Effect.Effect<A, E2 | F | E | KeyError | OutageError<O>, Self | R | R2 | FR>
  /**
   * {@link StoreOf.get} as a request: those that an `Effect.forEach` or `Effect.all` with `batching` makes go to the
   * cluster together, each key once.
   */
  readonly request: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, Self | R>
}

interface Get<A, E> extends Request.Request<Option.Option<A>, E> {
  readonly _tag: "effect-ghostdb/Get"
  // Requests are equal by their members, and may be cached in one place for all stores and clients.
  readonly owner: object
  readonly db: GhostDBService
  readonly key: string
}

/** A store of a schema's values. */
export const make = <Self, A, I, R, D extends OnDecodeError = "fail", X extends Expiry = "server">(
  tag: Context.Tag<Self, GhostDBService>,
  schema: Schema.Schema<A, I, R> & JsonEncoded<I>,
  options: StoreOptions<D, X> = {}
): StoreOf<Self, A, DecodeError<D>, R, X> => {
  const { expiry, onDecodeError = "fail", prefix = "", ttl: defaultTtl = -1 } = options
  // Keys of untyped code are left as they are, for the client to refuse.
  const keyOf = (key: string) => (typeof key === "string" ? `${prefix}${key}` : key)
  const encode = Schema.encode(schema)
  const codec: Entry.Codec<A, DecodeError<D>, R> = {
    // `JsonEncoded` has checked that I is JSON.
    encode: (value) => encode(value) as Effect.Effect<Json, ParseError, R>,
    decode: SafeDecode.decoder(schema),
    // The value of `onDecodeError` is of the type D.
    recoverDecode: (onDecodeError === "miss" ? Effect.option : Effect.asSome) as Entry.Codec<
      A,
      DecodeError<D>,
      R
    >["recoverDecode"]
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
              (onOutage === "fail" ? Effect.fail(error) : Outage.record(db, error)) as Effect.Effect<
                void,
                OutageError<O>
              >
          }
        )
      }),
    request: (key) =>
      Effect.flatMap(tag, (db) =>
        Effect.request(
          lookup({ owner: resolver, db, key }),
          Effect.contextWith((context: Context.Context<Self | R>) =>
            RequestResolver.mapInputContext(resolver, (_: Context.Context<never>) => context)
              // Equal for all requests of one traversal, which makes a batch of them.
              .identified("effect-ghostdb/Get", resolver, db)
          )
        )
      )
  }
}
