/** Failing open: an outage of the cache is a miss. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as Outage from "./Outage.js"

/**
 * The same client, whose commands never fail with `NoMoreServers`: `get` and `nodeSize` answer none, `put` and `add`
 * `NOT_STORED`, `delete` `NOT_FOUND`, `flush` `ERR_FLUSH`, and the metrics are those of no node. Each time is counted in
 * `ghostdb.client.outages`; one a minute is logged.
 */
export const wrap = (db: GhostDBService): GhostDBService => {
  // One wrapper per client: who shares work does so by the client.
  const known = wrapped.get(db)
  if (known !== undefined) return known
  const otherwise =
    <B>(answer: B) =>
    <A, E>(self: Effect.Effect<A, E | NoMoreServers>): Effect.Effect<A | B, Exclude<E, NoMoreServers>> =>
      Effect.catchIf(self, isOutage, (error) => Effect.as(Outage.note(db, error), answer))
  const open: GhostDBService = {
    get: (key) => otherwise(Option.none())(db.get(key)),
    put: (key, value, ttl) => otherwise("NOT_STORED" as const)(db.put(key, value, ttl)),
    add: (key, value, ttl) => otherwise("NOT_STORED" as const)(db.add(key, value, ttl)),
    delete: (key) => otherwise("NOT_FOUND" as const)(db.delete(key)),
    flush: otherwise("ERR_FLUSH" as const)(db.flush),
    ping: db.ping,
    nodeSize: (node) => otherwise(Option.none())(db.nodeSize(node)),
    leader: db.leader,
    getSnitchMetrics: otherwise({ metrics: [] })(db.getSnitchMetrics),
    getWatchdogMetrics: otherwise({ metrics: [] })(db.getWatchdogMetrics),
    topology: db.topology
  }
  wrapped.set(db, open)
  return open
}

const wrapped = new WeakMap<GhostDBService, GhostDBService>()

const isOutage = (error: unknown): error is NoMoreServers =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "NoMoreServers"
