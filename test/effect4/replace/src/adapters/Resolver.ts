/**
 * Replaced, since resolvers of Effect 4 complete entries, take services from their context, and make the batches that the
 * adapter for Effect 3 makes itself.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Calls from "../cache/Calls.js"
import * as Intent from "../cache/Intent.js"
import * as Outage from "../cache/Outage.js"
import * as PerClient from "../cache/PerClient.js"
import * as StoreKeys from "../cache/StoreKeys.js"
import type { Expiry } from "../cache/StoreOptions.js"
import type { Store } from "../GhostDB.js"
import { GhostDB } from "../GhostDB.js"
import { Ttl } from "../model/Ttl.js"

/** Where the successes of requests are kept. */
export interface CachedOptions<Req extends Request.Any, E extends Schema.SchemaError, R, X extends Expiry, G = never> {
  readonly store: Store<Request.Success<Req>, E, R, X, G>
  /** The key of a request in the store. Requests with one key are one. */
  readonly key: (request: Req) => string
  /** 0: successes are not stored. Default: the store's. */
  readonly ttl?: Ttl | undefined
}

/**
 * A resolver that looks a batch of requests up in a store, asks the given resolver for those that are not there, in one
 * batch, and stores what it succeeds with. Failures are not stored. A request that cannot be looked up, for whatever
 * reason, is asked of the given resolver.
 * Requests that fibers make at the same moment are one batch, each key once. A request that the given resolver leaves open
 * dies of it, as it does without a cache, and no other; where `key` throws, that request dies of it.
 */
export const cached = <Req extends Request.Any, E extends Schema.SchemaError, R, X extends Expiry, G = never>(
  self: RequestResolver.RequestResolver<Req>,
  options: CachedOptions<Req, E, R, X, G>
): Effect.Effect<RequestResolver.RequestResolver<Req>, never, GhostDB | R> => {
  if (options.ttl !== undefined && options.ttl !== 0) Ttl.toMillis(options.ttl)
  // One resolver for all uses: its batches are of one client each.
  const resolver = RequestResolver.makeGrouped<Req, unknown>({
    key: ({ context }) => Option.map(Context.getOption(context, GhostDB), Equal.byReferenceUnsafe),
    // Whoever makes a request has what this effect needs.
    resolver: (entries) => Effect.provideContext(answer(self, options, entries), contextOf<GhostDB | R>(entries[0]))
  })
  return Effect.as(Effect.context<GhostDB | R>(), resolver)
}

const contextOf = <R>(entry: { readonly context: unknown }) => entry.context as Context.Context<R>

/** Looks requests up, asks the resolver for those that are not there, and stores its successes. */
const answer = <Req extends Request.Any, E extends Schema.SchemaError, R, X extends Expiry, G>(
  self: RequestResolver.RequestResolver<Req>,
  { key: keyOf, store, ttl }: CachedOptions<Req, E, R, X, G>,
  entries: ReadonlyArray<Request.Entry<Req>>
): Effect.Effect<void, never, GhostDB | R> =>
  Effect.gen(function* () {
    type Outcome = Exit.Exit<Request.Success<Req>, Request.Error<Req>>
    const db = yield* GhostDB
    const calls = Calls.of(PerClient.of(db).shared)
    const byKey = new Map<string, Array<Request.Entry<Req>>>()
    for (const entry of entries) {
      const key = Result.try({ try: () => keyOf(entry.request), catch: (error) => error })
      if (Result.isFailure(key)) entry.completeUnsafe(Exit.die(key.failure))
      else byKey.set(key.success, [...(byKey.get(key.success) ?? []), entry])
    }
    const finish = (key: string, outcome: Outcome) => {
      // One type, which the compiler does not see while the request's is not known.
      for (const entry of byKey.get(key) ?? []) entry.completeUnsafe(outcome as never)
    }
    const lookups = yield* Effect.catchDefect(store.getMany(byKey.keys()), (defect) =>
      Effect.as(Outage.recordNotRead(db, defect), new Map<string, never>())
    )
    const missing: Array<readonly [key: string, request: Req]> = []
    const unserved = new Set<string>()
    for (const [key, [first]] of byKey) {
      const lookup = lookups.get(key)
      if (lookup !== undefined && Result.isSuccess(lookup) && Option.isSome(lookup.success)) {
        finish(key, Exit.succeed(lookup.success.value))
        continue
      }
      if (first !== undefined) missing.push([key, first.request])
      if (lookup !== undefined && Result.isFailure(lookup) && Outage.isOutage(lookup.failure)) {
        unserved.add(key)
        yield* Outage.record(db, lookup.failure)
      }
    }
    const begun = new Map(missing.map(([key]) => [key, calls.begin(StoreKeys.keyOf(store, key))]))
    yield* Effect.gen(function* () {
      const results = yield* Effect.forEach(
        missing,
        ([key, request]) =>
          Effect.map(
            Effect.exit(Effect.request(request, self) as Effect.Effect<Request.Success<Req>, Request.Error<Req>>),
            (outcome) => [key, outcome] as const
          ),
        { concurrency: "unbounded" }
      )
      const found = results.flatMap(([key, outcome]) =>
        ttl !== 0 && Exit.isSuccess(outcome) && !unserved.has(key) && begun.get(key)?.detached !== true
          ? [[key, outcome.value] as const]
          : []
      )
      yield* Intent.run({ storing: true }, store.putMany(found, { ttl })).pipe(
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.failCause(cause)
            : Outage.recordNotStored(db, found[0]?.[0] ?? "", cause)
        )
      )
      for (const [key, outcome] of results) finish(key, outcome)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          for (const call of begun.values()) calls.end(call)
        })
      )
    )
  })
