/** Typed values: a schema in front of the commands, and what is built on that. */

import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { fromEither } from "../model/fromEither.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import type { DurationLike, Ttl } from "../model/Ttl.js"
import type * as BulkLoader from "./BulkLoader.js"
import * as CacheAside from "./CacheAside.js"
import * as CacheAsideMany from "./CacheAsideMany.js"
import * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import type * as LoadedValues from "./LoadedValues.js"
import * as ManyKeys from "./ManyKeys.js"
import * as ReservedKeys from "./ReservedKeys.js"
import * as SafeDecode from "./SafeDecode.js"
import * as Stamps from "./Stamps.js"
import * as StoredEntry from "./StoredEntry.js"
import * as StoreKeys from "./StoreKeys.js"
import type {
  CallDecodeError,
  DecodeError,
  Expiry,
  FailureOptions,
  GetOrElseOptions,
  Instance,
  JsonEncoded,
  OnDecodeError,
  OnOutage,
  OutageError,
  StoreKeyOptions,
  StoreOptions,
  TimeoutError,
  Written,
  WrittenOf
} from "./StoreOptions.js"
import * as StoreRequests from "./StoreRequests.js"
import * as TypedCommands from "./TypedCommands.js"
import * as TypedMany from "./TypedMany.js"

/** A command that writes one value. */
type WriteOne<A, R, W extends Written> = [W] extends ["instances"]
  ? <V extends A>(key: string, value: V & Instance<A, V, W>, ttl?: Ttl) => R
  : (key: string, value: A, ttl?: Ttl) => R

/** A command that writes many. */
type WriteMany<A, R, W extends Written> = [W] extends ["instances"]
  ? <V extends A>(entries: Iterable<readonly [key: string, value: V]> & Instance<A, V, W>, options?: ManyOptions) => R
  : (entries: Iterable<readonly [key: string, value: A]>, options?: ManyOptions) => R

/**
 * The values of one schema in the cache. `E` is what decoding can fail with, `R` what the schema needs, and `G` what the
 * store's options add to the errors of `getOrElse`. Where a method fails with `KeyError`, its key has the store's prefix.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreOf<
  Self,
  A,
  E extends ParseError = ParseError,
  R = never,
  X extends Expiry = "server",
  G = never,
  W extends Written = Written
> {
  /** The value of a key. None where there is none, it has expired, or it is a cached failure. */
  readonly get: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, Self | R>
  /**
   * Stores a value, over the one that is there. One that JSON would not hold as it is, as `NaN` or a lone surrogate, is a
   * `ParseError` that names the key and the path. @see GhostDBService.put
   *
   * @param ttl default: the store's. `NOT_STORED` where the store's is a function and gives 0
   */
  readonly put: WriteOne<A, Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, Self | R>, W>
  /**
   * Stores a value where the key has no entry. @see GhostDBService.add
   *
   * With exact expiry, an entry that has expired or is a cached failure is replaced: two who do that at the same
   * instant can both be told `STORED`, and the later one's value stays.
   */
  readonly add: WriteOne<A, Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, Self | R>, W>
  /** Removes a key. `NOT_FOUND` where it had no entry. */
  readonly delete: (key: string) => Effect.Effect<DeleteResult, NoMoreServers | KeyError, Self>
  /** {@link StoreOf.get} of many keys, as one operation: each key's result, or its error, in the order of the keys. */
  readonly getMany: (
    keys: Iterable<string>
  ) => Effect.Effect<
    ReadonlyMap<string, Either.Either<Option.Option<A>, NoMoreServers | KeyError | E>>,
    never,
    Self | R
  >
  /** {@link StoreOf.getMany} of the keys that have a value, by key. Fails as a whole with the first key's error. */
  readonly getSomes: (
    keys: Iterable<string>
  ) => Effect.Effect<ReadonlyMap<string, A>, NoMoreServers | KeyError | E, Self | R>
  /**
   * {@link StoreOf.put} of many keys, as one operation: each key's result, or its error. The last of several entries of a
   * key is stored.
   */
  readonly putMany: WriteMany<
    A,
    Effect.Effect<
      ReadonlyMap<string, Either.Either<StoreResult, NoMoreServers | KeyError | ParseError>>,
      never,
      Self | R
    >,
    W
  >
  /** {@link StoreOf.add} of many keys, as one operation: each key's result, or its error. */
  readonly addMany: WriteMany<
    A,
    Effect.Effect<
      ReadonlyMap<string, Either.Either<StoreResult, NoMoreServers | KeyError | ParseError>>,
      never,
      Self | R
    >,
    W
  >
  /** {@link StoreOf.delete} of many keys, as one operation: each key's result, or its error. */
  readonly deleteMany: (
    keys: Iterable<string>
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<DeleteResult, NoMoreServers | KeyError>>, never, Self>
  /**
   * Cache-aside: the value of a key, or else that of the effect, which is stored.
   *
   * - Callers of a key share one lookup and one run of the effect, in this process. The first caller's effect runs, in its
   *   context; where that caller is interrupted, the next one's runs anew. So callers of one key must pass effects that
   *   mean the same. The others have copies of the value; what the schema passes through as it is, is frozen.
   * - A `put`, `add` or `delete` of the key in this process counts for more than a run that is under way: its value is not
   *   stored, and later callers do not wait for it.
   * - A function instead of an effect is given the value that was there before, if it can be read.
   * - A failure of the effect is not stored, unless `failure` says so; then it is the answer until its TTL is over.
   * - An outage of the cache degrades to no cache, unless `onOutage` is `"fail"`.
   * - A value that the schema cannot encode is a defect.
   */
  readonly getOrElse: <
    E2,
    R2,
    D extends OnDecodeError | undefined = undefined,
    O extends OnOutage | undefined = undefined,
    H extends DurationLike | undefined = undefined,
    F = never,
    FI = never,
    FR = never,
    V extends A = A
  >(
    key: string,
    effect: (Effect.Effect<V, E2, R2> | ((previous: Option.Option<A>) => Effect.Effect<V, E2, R2>)) & Instance<A, V, W>,
    options?: GetOrElseOptions<A, X, D, O, H, F, FI, FR>
  ) => Effect.Effect<
    A,
    E2 | F | G | CallDecodeError<E, D> | KeyError | OutageError<O> | TimeoutError<H>,
    Self | R | R2 | FR
  >
  /**
   * {@link StoreOf.getOrElse} of many keys with one loader: the values by key, in the order of the keys, from the cache, or
   * else from the loader, which is given the keys that are missing and gives the values that it knows; the other keys are
   * left out. It shares lookups and runs with all who ask for the same keys at the same time, by `getOrElse` as well. Fails
   * as a whole with the first key's error.
   */
  readonly getOrElseMany: <
    E2,
    R2,
    D extends OnDecodeError | undefined = undefined,
    O extends OnOutage | undefined = undefined,
    H extends DurationLike | undefined = undefined,
    F = never,
    FI = never,
    FR = never,
    V extends A = A
  >(
    keys: Iterable<string>,
    loader: ((keys: ReadonlyArray<string>) => Effect.Effect<Iterable<readonly [key: string, value: V]>, E2, R2>) &
      Instance<A, V, W>,
    options?: GetOrElseOptions<A, X, D, O, H, F, FI, FR>
  ) => Effect.Effect<
    ReadonlyMap<string, A>,
    E2 | F | G | CallDecodeError<E, D> | KeyError | OutageError<O> | TimeoutError<H>,
    Self | R | R2 | FR
  >
  /**
   * Ends all entries of the store, for all processes, by one stamp. Only where the store is `clearable`; otherwise it is a
   * defect. See `GhostDB.expireTags` for how exact that is.
   */
  readonly clear: Effect.Effect<void, NoMoreServers | KeyError, Self>
  /**
   * {@link StoreOf.get} as a request: those that an `Effect.forEach` or `Effect.all` with `batching` makes go to the
   * cluster together, each key once.
   */
  readonly request: (key: string) => Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | E, Self | R>
}

interface ManyOptions {
  readonly ttl?: Ttl | undefined
}

/** The store's options by whatever type they have been checked. */
type AnyStoreOptions<A, F, FI, FR> = AnyCallOptions<A, F, FI, FR> & StoreKeyOptions<Expiry>

/** A call's likewise. */
type AnyCallOptions<A, F, FI, FR> = Freshness.AnyOptions<A> & {
  readonly failure?: FailureOptions<F, FI, FR> | undefined
}

/** Throws where a store cannot be cleared as it is made. */
const stampOf = ({ clearable, expiry, prefix }: StoreKeyOptions<Expiry>): string | undefined => {
  if (clearable !== true) return undefined
  if (expiry === "exact" && prefix !== undefined && prefix !== "") return ReservedKeys.prefix(prefix)
  throw new Cause.IllegalArgumentException('a store that is clearable needs expiry: "exact" and a prefix')
}

/** Making a decoder costs as much as a command: it is made when it is needed. */
const failuresOf = <F, FI, FR>(
  failure: FailureOptions<F, FI, FR> | undefined,
  lifetime: number
): LoadedValues.Failures<F, FR> | undefined =>
  failure === undefined || lifetime === 0
    ? undefined
    : {
        lifetime,
        decode: (json) => SafeDecode.decoder(failure.schema)(json),
        encode: (error) =>
          Schema.is(failure.schema)(error)
            ? // The type of `failure` says that this is JSON.
              Effect.asSome(Schema.encode(failure.schema)(error) as Effect.Effect<Json, ParseError, FR>)
            : Effect.succeedNone
      }

/** A store of a schema's values. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one record of methods that share the options and the codec
export const make = <
  Self,
  A,
  I,
  R,
  D extends OnDecodeError = "fail",
  X extends Expiry = "server",
  O extends OnOutage | undefined = undefined,
  H extends DurationLike | undefined = undefined,
  F = never,
  FI = never,
  FR = never,
  S = unknown
>(
  tag: Context.Tag<Self, GhostDBService>,
  schema: Schema.Schema<A, I, R> & JsonEncoded<I> & S,
  options?: StoreOptions<A, D, X, O, H, F, FI, FR>
): StoreOf<Self, A, DecodeError<D>, R | FR, X, F | OutageError<O> | TimeoutError<H>, WrittenOf<A, S>> => {
  // Where X is not "exact", the type has none of what that needs.
  const given = (options ?? {}) as AnyStoreOptions<A, F, FI, FR>
  const { prefix = "" } = given
  const stamp = stampOf(given)
  const own = Freshness.resolve(given)
  const format = given.expiry === "exact" ? StoredEntry.exact : StoredEntry.server
  const entries = EntryStore.make<A, I, R | FR>(schema, { format, prefixStamp: stamp, longest: own.longest })
  // Keys of untyped code are left as they are, for the client to refuse.
  const keyOf = (key: string) => (typeof key === "string" ? `${prefix}${key}` : key)

  /** The errors of decoding that `onDecodeError` leaves, which is of the type D. */
  const decoded = <B, E>(self: Effect.Effect<B, E | ParseError, R | FR>) =>
    self as Effect.Effect<B, E | DecodeError<D>, R | FR>

  const get = (key: string) => Effect.flatMap(tag, (db) => decoded(TypedCommands.find(db, keyOf(key), entries, own)))
  const write = (command: "put" | "add", key: string, value: A, ttl: Ttl | undefined) =>
    Effect.flatMap(tag, (db) => TypedCommands.write(db, command, keyOf(key), value, ttl, entries, own))
  const put = (key: string, value: A, ttl?: Ttl) => write("put", key, value, ttl)
  const remove = (key: string) => Effect.flatMap(tag, (db) => TypedCommands.remove(db, keyOf(key)))
  const add = (key: string, value: A, ttl?: Ttl) =>
    Effect.flatMap(write("add", key, value, ttl), (result) =>
      result === "STORED" || format.name === "server"
        ? Effect.succeed(result)
        : Effect.flatMap(tag, (db) => TypedCommands.replace(db, keyOf(key), value, ttl, entries, own))
    )

  type Found = ReadonlyMap<string, Either.Either<Option.Option<A>, NoMoreServers | KeyError | DecodeError<D>>>
  const getMany = (keys: Iterable<string>) =>
    Effect.flatMap(tag, (db) => {
      const distinct = [...new Set(keys)]
      return Effect.map(TypedMany.find(db, distinct.map(keyOf), entries, own), (results) =>
        // As for one key, the errors of decoding are those that `onDecodeError` leaves.
        ManyKeys.zip(distinct, results)
      ) as Effect.Effect<Found, never, R | FR>
    })
  const writeMany =
    (command: "put" | "add") =>
    (pairs: Iterable<readonly [string, A]>, options: ManyOptions = {}) =>
      Effect.flatMap(tag, (db) => {
        const distinct = new Map(pairs)
        const values = Array.from(distinct, ([key, value]) => [keyOf(key), value] as const)
        const results =
          command === "put"
            ? TypedMany.write(db, "put", values, options.ttl, entries, own)
            : TypedMany.add(db, values, options.ttl, entries, own)
        return Effect.map(results, (results) => ManyKeys.zip(distinct.keys(), results))
      })
  const deleteMany = (keys: Iterable<string>) =>
    Effect.flatMap(tag, (db) => {
      const distinct = [...new Set(keys)]
      const full = distinct.map(keyOf)
      return Effect.map(TypedMany.told(db, full, ManyKeys.of(db).delete(full)), (results) =>
        ManyKeys.zip(distinct, results)
      )
    })

  /** The options of a call, with the store's where it says nothing. */
  const inForce = <F2, FI2, FR2>(call: AnyCallOptions<A, F2, FI2, FR2> | undefined) => {
    const freshness = call === undefined ? own : Freshness.resolve<A>(merge(given, call))
    const failures: LoadedValues.Failures<F | F2, FR | FR2> | undefined =
      call?.failure === undefined
        ? failuresOf(given.failure, freshness.failureLifetime)
        : failuresOf(call.failure, freshness.failureLifetime)
    return { freshness, failures }
  }
  const getOrElse = <E2, R2, F2, FI2, FR2>(
    key: string,
    effect: Effect.Effect<A, E2, R2> | ((previous: Option.Option<A>) => Effect.Effect<A, E2, R2>),
    call: AnyCallOptions<A, F2, FI2, FR2> | undefined
  ) =>
    Effect.flatMap(tag, (db) => {
      const isEffect = Effect.isEffect(effect)
      return CacheAside.getOrElse<A, E2, R | R2 | FR | FR2, F | F2>({
        db,
        key: keyOf(key),
        entries,
        effect: isEffect ? () => effect : effect,
        wantsPrevious: !isEffect,
        ...inForce(call)
      })
    })
  const getOrElseMany = <E2, R2, F2, FI2, FR2>(
    keys: Iterable<string>,
    loader: BulkLoader.Loader<A, E2, R2>,
    call: AnyCallOptions<A, F2, FI2, FR2> | undefined
  ) =>
    Effect.flatMap(tag, (db) =>
      CacheAsideMany.getOrElseMany<A, E2, R | R2 | FR | FR2, F | F2>({
        db,
        keys: [...new Set(keys)],
        keyOf,
        entries,
        loader,
        ...inForce(call)
      })
    )

  const store: StoreOf<Self, A, DecodeError<D>, R | FR, X, F | OutageError<O> | TimeoutError<H>> = {
    get,
    put,
    add,
    delete: remove,
    getMany,
    getSomes: (keys) => Effect.flatMap(getMany(keys), (results) => fromEither(ManyKeys.somes(results))),
    putMany: writeMany("put"),
    addMany: writeMany("add"),
    deleteMany,
    // Which of the errors can occur, the options say: their types are those of the options.
    getOrElse: getOrElse as StoreOf<
      Self,
      A,
      DecodeError<D>,
      R | FR,
      X,
      F | OutageError<O> | TimeoutError<H>
    >["getOrElse"],
    getOrElseMany: getOrElseMany as StoreOf<
      Self,
      A,
      DecodeError<D>,
      R | FR,
      X,
      F | OutageError<O> | TimeoutError<H>
    >["getOrElseMany"],
    clear: Effect.flatMap(tag, (db) =>
      stamp === undefined
        ? Effect.die(
            new Cause.IllegalArgumentException("the store cannot be cleared: it is not made with clearable: true")
          )
        : Effect.asVoid(Stamps.renewLater(db, stamp))
    ),
    request: StoreRequests.make(tag, getMany)
  }
  return StoreKeys.carry(store, keyOf)
}

/** The options of a call over those of its store; what is undefined is not said. */
const merge = <A>(store: Freshness.AnyOptions<A>, call: Freshness.AnyOptions<A>): Freshness.AnyOptions<A> => ({
  ...store,
  ...Object.fromEntries(Object.entries(call).filter(([, option]) => option !== undefined))
})
