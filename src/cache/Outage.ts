/** Commands that went on without the cache: each is counted, and a warning is logged at most once a minute. */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import * as PerClient from "./PerClient.js"

/** Whether an error is an outage. */
export const isOutage = (error: unknown): error is NoMoreServers =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "NoMoreServers"

const interval = 60_000

interface Warning {
  readonly loggedAt: number
  readonly suppressed: number
}

const warnings = () => new Map<string, Warning>()

/** Logs a warning of one client, each message at most once a minute, with how often it was left out since. */
const warn = (db: GhostDBService, message: string, reason: string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const known = PerClient.of(db).slot(warnings)
    const last = known.get(message)
    if (last !== undefined && now - last.loggedAt < interval) {
      known.set(message, { ...last, suppressed: last.suppressed + 1 })
      return Effect.void
    }
    known.set(message, { loggedAt: now, suppressed: 0 })
    return Effect.logWarning(message).pipe(Effect.annotateLogs({ reason, suppressed: last?.suppressed ?? 0 }))
  })

/** No node served a command, or so many, and the caller goes on without the cache. */
export const record = (db: GhostDBService, error: NoMoreServers, count = 1): Effect.Effect<void> =>
  Effect.zipRight(
    Metric.incrementBy(ClientMetrics.outages, count),
    warn(db, "GhostDB does not answer: going on without the cache", error.message)
  )

/** A refresh in the background failed; the stale value stays. */
export const recordFailedRefresh = (db: GhostDBService, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  warn(db, "GhostDB cache-aside: a stale value could not be refreshed", Cause.pretty(cause))

/** The effect of a call in the background has not ended in time, and is interrupted. */
export const recordAbandoned = (db: GhostDBService, key: string): Effect.Effect<void> =>
  warn(db, "GhostDB cache-aside: an effect in the background did not end in time", `the key ${JSON.stringify(key)}`)

/** Entries could not be read, through no fault of the nodes: a decoder has thrown. They count as missing. */
export const recordNotRead = (db: GhostDBService, defect: unknown): Effect.Effect<void> =>
  warn(db, "GhostDB resolver: a batch cannot be read, and is asked for", Cause.pretty(Cause.die(defect)))

/** A result of an effect could not be stored, through no fault of the nodes: its `ttl` is none, for instance. */
export const recordNotStored = (db: GhostDBService, key: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  warn(db, "GhostDB cache-aside: a result is not stored", `the key ${JSON.stringify(key)}: ${Cause.pretty(cause)}`)
