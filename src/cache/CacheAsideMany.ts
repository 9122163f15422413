/** Cache-aside for many keys: one lookup of all, one load of those that it does not answer. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import * as BulkLoader from "./BulkLoader.js"
import * as CacheAside from "./CacheAside.js"
import type * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as ManyKeys from "./ManyKeys.js"
import * as PerClient from "./PerClient.js"

/** A lookup of many keys, and the loader that gives the values where there are none. */
export interface LookupMany<A, E, R, F>
  extends Omit<CacheAside.Lookup<A, E, R, F>, "key" | "effect" | "wantsPrevious"> {
  /** Each once. */
  readonly keys: ReadonlyArray<string>
  /** The key with the store's prefix. */
  readonly keyOf: (key: string) => string
  readonly loader: BulkLoader.Loader<A, E, R>
}

type Found = Either.Either<Option.Option<EntryStore.Found>, KeyError | NoMoreServers>

/**
 * The values of the keys, from the cache or else from the loader, in the order of the keys; without those for which the
 * loader has none. What is fresh is answered at once. All other keys go the way of a single one, and so share lookups and
 * runs with all who ask for them; their effect is the loader, which runs once for those that come to it together.
 */
export const getOrElseMany = <A, E, R, F>(
  lookup: LookupMany<A, E, R, F>
): Effect.Effect<ReadonlyMap<string, A>, E | F | CacheAside.LookupError, R> =>
  Effect.gen(function* () {
    const { db, entries, freshness, keyOf, keys } = lookup
    const full = keys.map(keyOf)
    const found: ReadonlyArray<Found> = yield* entries.findMany(db, full)
    const values: Array<Option.Option<A>> = yield* fresh(lookup, full, found)
    const load = BulkLoader.make(lookup.loader)
    const missing = values.flatMap((value, index) => (Option.isSome(value) ? [] : [index]))
    yield* Effect.scopedWith((scope) =>
      Effect.gen(function* () {
        const fibers = yield* Effect.forEach(missing, (index) => {
          const key = keys[index] ?? ""
          return CacheAside.getOrElse<A, E, R, F>({
            db,
            key: full[index] ?? "",
            entries: startingFrom(entries, found[index] ?? Either.right(Option.none())),
            effect: () => load(key),
            wantsPrevious: false,
            freshness,
            failures: lookup.failures
          }).pipe(Effect.forkIn(scope))
        })
        for (const [at, fiber] of fibers.entries()) {
          const exit = yield* Fiber.await(fiber)
          if (Exit.isSuccess(exit)) values[missing[at] ?? 0] = Option.some(exit.value)
          // The loader has no value for the key.
          else if (!Cause.isInterruptedOnly(exit.cause)) return yield* Effect.failCause(exit.cause)
        }
      })
    )
    const answered = new Map<string, A>()
    for (const [index, key] of keys.entries()) {
      const value = values[index]
      if (value !== undefined && Option.isSome(value)) answered.set(key, value.value)
    }
    return answered
  })

/** The values that are fresh, each under its index; none of those that need a second look. */
const fresh = <A, E, R, F>(
  { db, entries, freshness }: LookupMany<A, E, R, F>,
  keys: ReadonlyArray<string>,
  found: ReadonlyArray<Found>
): Effect.Effect<Array<Option.Option<A>>, ParseError, R> =>
  Effect.gen(function* () {
    const values = found.map(() => Option.none<A>())
    // Whether one is refreshed ahead is decided for each by itself.
    if (freshness.refreshAhead > 0) return values
    const now = yield* Clock.currentTimeMillis
    const places: Array<number> = []
    const decoding: Array<Effect.Effect<A, ParseError, R>> = []
    for (const [index, one] of found.entries()) {
      if (Either.isLeft(one) || Option.isNone(one.right)) continue
      const verdict = Freshness.judge(one.right.value, now, freshness, 1)
      if (verdict._tag !== "Fresh") continue
      places.push(index)
      decoding.push(entries.decode(verdict.entry.json))
    }
    const { events } = PerClient.of(db)
    let hits = 0
    for (const [at, value] of (yield* ManyKeys.eithers(decoding)).entries()) {
      if (Either.isLeft(value)) continue
      const index = places[at] ?? 0
      values[index] = Option.some(value.right)
      events.emit("Hit", keys[index] ?? "")
      hits++
    }
    ClientMetrics.cacheAsideHits.unsafeUpdate(hits, [])
    return values
  })

/** The same entries, where the first look at one key has been taken. */
const startingFrom = <A, R>(entries: EntryStore.EntryStore<A, R>, found: Found): EntryStore.EntryStore<A, R> => {
  let isTaken = false
  return {
    ...entries,
    find: (db, key) => {
      if (isTaken) return entries.find(db, key)
      isTaken = true
      return found
    }
  }
}
