/** Lifetimes in milliseconds, for what this package expires by itself and not by the server. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type { Ttl } from "./GhostDB.js"

/** `Infinity` for an entry that never expires. Throws, and so makes a defect of, what is no {@link Ttl}. */
export const toMillis = (ttl: Ttl): number => {
  if (ttl === -1) return Number.POSITIVE_INFINITY
  if (Duration.isDuration(ttl) && Duration.greaterThan(ttl, Duration.zero)) return Duration.toMillis(ttl)
  if (typeof ttl === "number" && Number.isSafeInteger(ttl) && ttl >= 1) return ttl * 1000
  const shown = Duration.isDuration(ttl) ? Duration.format(ttl) : String(ttl)
  throw new Cause.IllegalArgumentException(
    `a TTL is a whole number of seconds, 1 or more, -1 for ever, or a Duration longer than 0: not ${shown}`
  )
}

const slack = 60_000

/**
 * The TTL to give the server for an entry whose expiry is judged by clients: a minute longer than they may want it,
 * since the server must not be the first to drop it and clocks differ.
 */
export const forServer = (millis: number): Ttl => {
  const seconds = Math.ceil((millis + slack) / 1000)
  return Number.isSafeInteger(seconds) ? seconds : -1
}
