/** The cache in front of a `RequestResolver`. */

import type { NonEmptyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Outage from "../cache/Outage.js"
import type { Expiry } from "../cache/StoreOptions.js"
import type { Store } from "../GhostDB.js"
import { GhostDB } from "../GhostDB.js"
import type { Ttl } from "../model/Ttl.js"

/** Where the successes of requests are kept. */
export interface CachedOptions<
  Req extends Request.Request<unknown, unknown>,
  E extends ParseError,
  R,
  X extends Expiry
> {
  readonly store: Store<Request.Request.Success<Req>, E, R, X>
  /** The key of a request in the store. Requests with one key are one. */
  readonly key: (request: Req) => string
  /** Default: the store's. */
  readonly ttl?: Ttl | undefined
}

/**
 * A resolver that looks a batch of requests up in a store, asks the given resolver for those that are not there, in one
 * batch, and stores what it succeeds with. Failures are not stored. A request that cannot be looked up, for whatever
 * reason, is asked of the given resolver.
 *
 * @example
 * import { Effect, Request, RequestResolver, Schema } from "effect"
 * import { GhostDB, Resolver } from "effect-ghostdb"
 *
 * class NameOf extends Request.TaggedClass("NameOf")<string, never, { readonly id: number }> {}
 *
 * const fromDatabase = RequestResolver.makeBatched((requests: ReadonlyArray<NameOf>) =>
 *   Effect.forEach(requests, (request) => Request.succeed(request, `user ${request.id}`), { discard: true })
 * )
 * const names = GhostDB.forSchema(Schema.String, { prefix: "name:", ttl: 300 })
 * const resolver = Resolver.cached(fromDatabase, { store: names, key: (request) => String(request.id) })
 *
 * const nameOf = (id: number) => Effect.request(new NameOf({ id }), resolver)
 *
 * const program = Effect.forEach([1, 2, 3, 2, 1], nameOf, { batching: true })
 */
export const cached = <Req extends Request.Request<unknown, unknown>, E extends ParseError, R, X extends Expiry>(
  self: RequestResolver.RequestResolver<Req>,
  { key, store, ttl }: CachedOptions<Req, E, R, X>
): Effect.Effect<RequestResolver.RequestResolver<Req>, never, GhostDB | R> => {
  type Result = Exit.Exit<Request.Request.Success<Req>, Request.Request.Error<Req>>
  const resolver = RequestResolver.makeBatched(
    Effect.fnUntraced(function* (requests: NonEmptyArray<Req>) {
      const byKey = new Map<string, Array<Req>>()
      for (const request of requests) {
        const same = byKey.get(key(request))
        if (same === undefined) byKey.set(key(request), [request])
        else same.push(request)
      }
      const complete = (key: string, result: Result) =>
        Effect.forEach(byKey.get(key) ?? [], (request) => Request.completeEffect(request, result), { discard: true })

      const lookups = yield* store.getMany(byKey.keys())
      const missing: Array<readonly [key: string, request: Req]> = []
      const unserved = new Set<string>()
      for (const [key, [first]] of byKey) {
        const lookup = lookups.get(key)
        if (lookup !== undefined && Either.isRight(lookup) && Option.isSome(lookup.right)) {
          yield* complete(key, Exit.succeed(lookup.right.value))
          continue
        }
        if (first !== undefined) missing.push([key, first])
        if (lookup !== undefined && Either.isLeft(lookup) && lookup.left._tag === "NoMoreServers") {
          unserved.add(key)
          yield* Outage.record(yield* GhostDB, lookup.left)
        }
      }

      const results = yield* Effect.forEach(
        missing,
        ([key, request]) =>
          Effect.exit(Effect.request(request, self)).pipe(Effect.map((result: Result) => [key, result] as const)),
        { batching: true }
      ).pipe(Effect.withRequestCaching(false))
      const found = results.flatMap(([key, result]) =>
        Exit.isSuccess(result) && !unserved.has(key) ? [[key, result.value] as const] : []
      )
      yield* store.putMany(found, { ttl })
      yield* Effect.forEach(results, ([key, result]) => complete(key, result), { discard: true })
    })
  )

  return Effect.contextWith((context: Context.Context<GhostDB | R>) =>
    RequestResolver.mapInputContext(resolver, (_: Context.Context<never>) => context)
      // Equal for all requests of one traversal, which makes a batch of them.
      .identified("effect-ghostdb/cached", resolver, Context.get(context, GhostDB))
  )
}
