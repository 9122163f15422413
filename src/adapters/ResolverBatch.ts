/** What a resolver with a cache does with a batch of requests, each by its key. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Calls from "../cache/Calls.js"
import * as Intent from "../cache/Intent.js"
import * as Outage from "../cache/Outage.js"
import * as PerClient from "../cache/PerClient.js"
import * as StoreKeys from "../cache/StoreKeys.js"
import type { Expiry } from "../cache/StoreOptions.js"
import type { GhostDB, Store } from "../GhostDB.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import type { Ttl } from "../model/Ttl.js"

/** A batch whose requests succeed with `A` and fail with `F`. */
export interface ResolverBatch<A, F, E extends ParseError, R, X extends Expiry, G> {
  readonly db: GhostDBService
  readonly store: Store<A, E, R, X, G>
  /** 0: successes are not stored. Undefined: the store's. */
  readonly ttl: Ttl | undefined
  readonly keys: Iterable<string>
  /** Asks for those that are not in the store. */
  readonly ask: (keys: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<readonly [key: string, Exit.Exit<A, F>]>>
  /** Takes the result of a key. */
  readonly finish: (key: string, result: Exit.Exit<A, F>) => void
}

const noLookups: ReadonlyMap<string, never> = new Map<string, never>()

/** Looks a batch up, asks for what is not there, and stores the successes. What cannot be looked up is asked for. */
export const resolve = <A, F, E extends ParseError, R, X extends Expiry, G>({
  ask,
  db,
  finish,
  keys,
  store,
  ttl
}: ResolverBatch<A, F, E, R, X, G>): Effect.Effect<void, never, GhostDB | R> =>
  Effect.gen(function* () {
    const calls = Calls.of(PerClient.of(db).shared)
    const lookups = yield* Effect.catchAllDefect(store.getMany(keys), (defect) =>
      Effect.as(Outage.recordNotRead(db, defect), noLookups)
    )
    const missing: Array<string> = []
    const unserved = new Set<string>()
    for (const key of keys) {
      const lookup = lookups.get(key)
      if (lookup !== undefined && Either.isRight(lookup) && Option.isSome(lookup.right)) {
        finish(key, Exit.succeed(lookup.right.value))
        continue
      }
      missing.push(key)
      if (lookup !== undefined && Either.isLeft(lookup) && Outage.isOutage(lookup.left)) {
        unserved.add(key)
        yield* Outage.record(db, lookup.left)
      }
    }
    const begun = new Map(missing.map((key) => [key, calls.begin(StoreKeys.keyOf(store, key))]))
    yield* Effect.gen(function* () {
      const results = yield* ask(missing)
      const found = results.flatMap(([key, result]) =>
        ttl !== 0 && Exit.isSuccess(result) && !unserved.has(key) && begun.get(key)?.detached !== true
          ? [[key, result.value] as const]
          : []
      )
      yield* Intent.run({ storing: true }, store.putMany(found, { ttl })).pipe(
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.failCause(cause)
            : Outage.recordNotStored(db, found[0]?.[0] ?? "", cause)
        )
      )
      for (const [key, result] of results) finish(key, result)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          for (const call of begun.values()) calls.end(call)
        })
      )
    )
  })
