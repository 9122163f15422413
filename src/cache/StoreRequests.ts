import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type { GhostDBService } from "../model/GhostDBService.js"

interface Get<A, E> extends Request.Request<Option.Option<A>, E> {
  readonly _tag: "effect-ghostdb/Get"
  // Requests are equal by their members, and may be cached in one place for all stores and clients.
  readonly owner: object
  readonly db: GhostDBService
  readonly key: string
}

/** Lookups as requests: those of one traversal go to the cluster together, each key once. */
export const make = <Self, A, E, R>(
  tag: Context.Tag<Self, GhostDBService>,
  getMany: (
    keys: Iterable<string>
  ) => Effect.Effect<ReadonlyMap<string, Either.Either<Option.Option<A>, E>>, never, Self | R>
): ((key: string) => Effect.Effect<Option.Option<A>, E, Self | R>) => {
  const lookup = Request.tagged<Get<A, E>>("effect-ghostdb/Get")
  const resolver = RequestResolver.makeBatched((lookups: ReadonlyArray<Get<A, E>>) =>
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
  return (key) =>
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
