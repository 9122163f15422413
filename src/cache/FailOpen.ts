/** Failing open: an outage of the cache is a miss. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import * as Decorator from "./Decorator.js"
import * as Intent from "./Intent.js"
import * as ManyKeys from "./ManyKeys.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"

const isFailed = <A>(result: ManyKeys.KeyResult<A>): result is Either.Left<NoMoreServers, A> =>
  Either.isLeft(result) && Outage.isOutage(result.left)

/** The wrappers of one client: callers share work by the service, so each service has one wrapper. */
const wrappers = () => new WeakMap<GhostDBService, GhostDBService>()

/**
 * The same client, whose commands never fail with `NoMoreServers`: `get` and `nodeSize` answer none, `put` and `add`
 * `NOT_STORED`, `delete` `NOT_FOUND`, `flush` `ERR_FLUSH`, and the metrics are those of no node. Each time is counted in
 * `ghostdb.client.outages`; one a minute is logged.
 */
export const wrap = (db: GhostDBService): GhostDBService => {
  const state = PerClient.of(db)
  const known = state.slot(wrappers)
  const made = known.get(db)
  if (made !== undefined) return made
  const otherwise =
    <B>(answer: B) =>
    <A, E>(self: Effect.Effect<A, E | NoMoreServers>) =>
      Effect.catchIf(self, Outage.isOutage, (error) =>
        Effect.flatMap(Intent.current, ({ strict }) =>
          strict === true ? Effect.fail(error) : Effect.as(Outage.record(db, error), answer)
        )
      )
  const open = Decorator.make(db, state.derive({ failsOpen: true }), {
    get: (key) => otherwise(Option.none())(db.get(key)),
    put: (key, value, ttl) => otherwise("NOT_STORED" as const)(db.put(key, value, ttl)),
    add: (key, value, ttl) => otherwise("NOT_STORED" as const)(db.add(key, value, ttl)),
    delete: (key) => otherwise("NOT_FOUND" as const)(db.delete(key)),
    flush: otherwise("ERR_FLUSH" as const)(db.flush),
    nodeSize: (node) => otherwise(Option.none())(db.nodeSize(node)),
    getSnitchMetrics: otherwise({ metrics: [] })(db.getSnitchMetrics),
    getWatchdogMetrics: otherwise({ metrics: [] })(db.getWatchdogMetrics)
  })
  const many = ManyKeys.of(db)
  const manyOtherwise =
    <B>(answer: B) =>
    (self: Effect.Effect<ReadonlyArray<ManyKeys.KeyResult<B>>>) =>
      Effect.flatMap(self, (results) => {
        const failed = results.find(isFailed)
        if (failed === undefined) return Effect.succeed(results)
        return Effect.flatMap(Intent.current, ({ strict }) =>
          strict === true
            ? Effect.succeed(results)
            : Effect.as(
                Outage.record(db, failed.left, results.filter(isFailed).length),
                results.map((result) => (isFailed(result) ? Either.right(answer) : result))
              )
        )
      })
  ManyKeys.attach(open, {
    get: (keys, onResult) =>
      manyOtherwise<Option.Option<Json>>(Option.none())(
        // What an outage is depends on the intent, which is looked at in the end.
        many.get(keys, onResult && ((index, result) => (isFailed(result) ? undefined : onResult(index, result))))
      ),
    put: (entries) => manyOtherwise<StoreResult>("NOT_STORED")(many.put(entries)),
    add: (entries) => manyOtherwise<StoreResult>("NOT_STORED")(many.add(entries)),
    delete: (keys) => manyOtherwise<DeleteResult>("NOT_FOUND")(many.delete(keys))
  })
  known.set(db, open)
  return open
}
