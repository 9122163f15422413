/** Failing open: an outage of the cache is a miss. */

import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as Decorator from "./Decorator.js"
import * as Intent from "./Intent.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"

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
        Effect.flatMap(FiberRef.get(Intent.current), ({ strict }) =>
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
  known.set(db, open)
  return open
}
