/**
 * Replaced, since resolvers of Effect 4 group their requests by a key, complete entries, and take services from the context
 * of an entry.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Result from "effect/Result"
import type { GhostDBService } from "../model/GhostDBService.js"

interface Get<A, E, R> extends Request.Request<Option.Option<A>, E, R> {
  readonly _tag: "effect-ghostdb/Get"
  // Requests are equal by their members, and may be cached in one place for all stores and clients.
  readonly owner: object
  readonly db: GhostDBService
  readonly key: string
}

/** Lookups as requests: those of one moment go to the cluster together, each key once. */
export const make = <Self, A, E, R>(
  tag: Context.Service<Self, GhostDBService>,
  getMany: (
    keys: Iterable<string>
  ) => Effect.Effect<ReadonlyMap<string, Result.Result<Option.Option<A>, E>>, never, Self | R>
): ((key: string) => Effect.Effect<Option.Option<A>, E, Self | R>) => {
  type Lookup = Get<A, E, Self | R>
  const lookup = Request.tagged<Lookup>("effect-ghostdb/Get")
  const resolver = RequestResolver.makeGrouped<Lookup, GhostDBService>({
    key: ({ request }) => Equal.byReferenceUnsafe(request.db),
    resolver: (entries) =>
      Effect.map(getMany(entries.map(({ request }) => request.key)), (results) => {
        for (const entry of entries) {
          const result = results.get(entry.request.key)
          if (result === undefined) continue
          entry.completeUnsafe(Result.match(result, { onFailure: Exit.fail, onSuccess: Exit.succeed }))
        }
      }).pipe(Effect.provideContext(entries[0].context))
  })
  return (key) => Effect.flatMap(tag, (db) => Effect.request(lookup({ owner: resolver, db, key }), resolver))
}
