/** What passing the cache by leaves behind: a count, and a warning now and then. */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"

const interval = 60_000

interface Warning {
  readonly loggedAt: number
  readonly suppressed: number
}

const warnings = new WeakMap<GhostDBService, Map<string, Warning>>()

/** Logs a warning of one client, each message at most once a minute, with how often it was left out since. */
const warn = (db: GhostDBService, message: string, reason: string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const known = warnings.get(db) ?? new Map<string, Warning>()
    warnings.set(db, known)
    const last = known.get(message)
    if (last !== undefined && now - last.loggedAt < interval) {
      known.set(message, { ...last, suppressed: last.suppressed + 1 })
      return Effect.void
    }
    known.set(message, { loggedAt: now, suppressed: 0 })
    return Effect.logWarning(message).pipe(Effect.annotateLogs({ reason, suppressed: last?.suppressed ?? 0 }))
  })

/** The cache was passed by. */
export const note = (db: GhostDBService, error: NoMoreServers): Effect.Effect<void> =>
  Effect.zipRight(
    Metric.increment(ClientMetrics.outages),
    warn(db, "GhostDB does not answer: going on without the cache", error.message)
  )

/** A refresh in the background failed; the stale value stays. */
export const noteFailedRefresh = (db: GhostDBService, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  warn(db, "GhostDB cache-aside: a stale value could not be refreshed", Cause.pretty(cause))
