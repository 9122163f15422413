/**
 * Replaced, since resolvers of Effect 4 complete entries, take services from their context, and make the batches that the
 * adapter for Effect 3 makes itself.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { Expiry } from "../cache/StoreOptions.js"
import type { Store } from "../GhostDB.js"
import { GhostDB } from "../GhostDB.js"
import { Ttl } from "../model/Ttl.js"
import * as ResolverBatch from "./ResolverBatch.js"

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

/** Completes entries, from the store or by the resolver behind it. */
const answer = <Req extends Request.Any, E extends Schema.SchemaError, R, X extends Expiry, G>(
  self: RequestResolver.RequestResolver<Req>,
  { key: keyOf, store, ttl }: CachedOptions<Req, E, R, X, G>,
  entries: ReadonlyArray<Request.Entry<Req>>
): Effect.Effect<void, never, GhostDB | R> =>
  Effect.flatMap(GhostDB, (db) => {
    const byKey = new Map<string, Array<Request.Entry<Req>>>()
    for (const entry of entries) {
      const key = Result.try({ try: () => keyOf(entry.request), catch: (error) => error })
      if (Result.isFailure(key)) entry.completeUnsafe(Exit.die(key.failure))
      else byKey.set(key.success, [...(byKey.get(key.success) ?? []), entry])
    }
    const ask = (key: string, request: Req) =>
      Effect.map(
        Effect.exit(Effect.request(request, self) as Effect.Effect<Request.Success<Req>, Request.Error<Req>>),
        (result) => [key, result] as const
      )
    return ResolverBatch.resolve<Request.Success<Req>, Request.Error<Req>, E, R, X, G>({
      db,
      store,
      ttl,
      keys: [...byKey.keys()],
      ask: (missing) =>
        Effect.all(
          missing.flatMap((key) => (byKey.get(key) ?? []).slice(0, 1).map(({ request }) => ask(key, request))),
          { concurrency: "unbounded" }
        ),
      // One type, which the compiler does not see while the request's is not known.
      finish: (key, result) => byKey.get(key)?.forEach((entry) => entry.completeUnsafe(result as never))
    })
  })
