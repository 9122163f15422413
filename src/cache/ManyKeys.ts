/**
 * The commands on many keys. A client of this package runs them as one operation, and so do its decorators; for a service
 * written by hand they are made of its commands on one key.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json, Storable } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as Immediate from "./Immediate.js"
import * as Intent from "./Intent.js"

/**
 * What came of one key.
 *
 * @category models
 * @since 0.1.0
 */
export type KeyResult<A> = Either.Either<A, NoMoreServers | KeyError>

/** What is stored under one key. That the value is JSON has been checked. */
export interface Entry {
  readonly key: string
  readonly value: unknown
  readonly ttl: Ttl
}

/** Each gives the results in the order of the keys, and never fails as a whole. */
export interface ManyKeys {
  /** `onResult` is told of results that are there before those of all other keys. */
  readonly get: (
    keys: ReadonlyArray<string>,
    onResult?: (index: number, result: KeyResult<Option.Option<Json>>) => void
  ) => Effect.Effect<ReadonlyArray<KeyResult<Option.Option<Json>>>>
  readonly put: (entries: ReadonlyArray<Entry>) => Effect.Effect<ReadonlyArray<KeyResult<StoreResult>>>
  readonly add: (entries: ReadonlyArray<Entry>) => Effect.Effect<ReadonlyArray<KeyResult<StoreResult>>>
  readonly delete: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<KeyResult<DeleteResult>>>
}

// Not a member of the service: who spreads a service to change one of its commands changes that for many keys as well.
const attached = new WeakMap<GhostDBService, ManyKeys>()

/** The service with commands on many keys of its own. */
export const attach = (db: GhostDBService, many: ManyKeys): GhostDBService => {
  attached.set(db, many)
  return db
}

/** The commands of a service on many keys. */
export const of = (db: GhostDBService): ManyKeys => attached.get(db) ?? oneByOne(db)

const concurrency = 128

const oneByOne = (db: GhostDBService): ManyKeys => {
  const each = <I, A>(items: ReadonlyArray<I>, command: (item: I) => Effect.Effect<A, NoMoreServers | KeyError>) =>
    // A fiber has no intent of the one that started it.
    Effect.flatMap(Intent.current, (intent) =>
      Effect.forEach(items, (item) => Intent.run(intent, Effect.either(command(item))), { concurrency })
    )
  // Their makers have checked that values are JSON.
  const storable = (value: unknown) => value as Storable<Json>
  return {
    get: (keys) => each(keys, db.get),
    put: (entries) => each(entries, ({ key, ttl, value }) => db.put<Json>(key, storable(value), ttl)),
    add: (entries) => each(entries, ({ key, ttl, value }) => db.add<Json>(key, storable(value), ttl)),
    delete: (keys) => each(keys, db.delete)
  }
}

/** {@link ManyKeys.get} as a map: each key once, in their order. */
export const getMap = (
  db: GhostDBService,
  keys: Iterable<string>
): Effect.Effect<ReadonlyMap<string, KeyResult<Option.Option<Json>>>> =>
  Effect.suspend(() => {
    const distinct = [...new Set(keys)]
    return Effect.map(of(db).get(distinct), (results) => zip(distinct, results))
  })

/** {@link ManyKeys.put} or `add` of entries with one TTL as a map: the last of several entries of a key counts. */
export const writeMap = (
  db: GhostDBService,
  command: "put" | "add",
  entries: Iterable<readonly [key: string, value: unknown]>,
  ttl: Ttl = Ttl.forever
): Effect.Effect<ReadonlyMap<string, KeyResult<StoreResult>>> =>
  Effect.suspend(() => {
    const distinct = new Map(entries)
    return Effect.map(of(db)[command](Array.from(distinct, ([key, value]) => ({ key, value, ttl }))), (results) =>
      zip(distinct.keys(), results)
    )
  })

/** {@link ManyKeys.delete} as a map. */
export const deleteMap = (
  db: GhostDBService,
  keys: Iterable<string>
): Effect.Effect<ReadonlyMap<string, KeyResult<DeleteResult>>> =>
  Effect.suspend(() => {
    const distinct = [...new Set(keys)]
    return Effect.map(of(db).delete(distinct), (results) => zip(distinct, results))
  })

/** A map of keys to the results in their order. */
export const zip = <A>(keys: Iterable<string>, results: ReadonlyArray<A>): ReadonlyMap<string, A> => {
  const map = new Map<string, A>()
  let index = 0
  // There is a result for each key.
  for (const key of keys) map.set(key, results[index++] as A)
  return map
}

/** The values of those that have one. Fails with the first error, in the order of the keys. */
export const somes = <A, E>(
  results: ReadonlyMap<string, Either.Either<Option.Option<A>, E>>
): Either.Either<ReadonlyMap<string, A>, E> => {
  const values = new Map<string, A>()
  for (const [key, result] of results) {
    if (Either.isLeft(result)) return Either.left(result.left)
    if (result.right._tag === "Some") values.set(key, result.right.value)
  }
  return Either.right(values)
}

/** The results of effects, in their order. Those that are results already, as of synchronous schemas, take no fiber. */
export const eithers = <A, E, R>(
  effects: ReadonlyArray<Effect.Effect<A, E, R>>
): Effect.Effect<ReadonlyArray<Either.Either<A, E>>, never, R> =>
  Effect.suspend(() => {
    const results: Array<Either.Either<A, E>> = new Array(effects.length)
    const others: Array<readonly [index: number, effect: Effect.Effect<A, E, R>]> = []
    for (const [index, effect] of effects.entries()) {
      const result = Immediate.resultOf(effect)
      if (result !== undefined) results[index] = result
      else others.push([index, effect])
    }
    const run = ([index, effect]: (typeof others)[number]) =>
      Effect.map(Effect.either(effect), (result) => {
        results[index] = result
      })
    return others.length === 0
      ? Effect.succeed(results)
      : Effect.as(Effect.forEach(others, run, { concurrency, discard: true }), results)
  })
