/** Lifetimes as numbers: for the server, and for what this package expires by itself. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"

/**
 * How long an entry lives. A number is whole **seconds**, 1 or more, and -1 is for ever; a `Duration` is rounded up to
 * whole seconds. Anything else (a fraction, 0, NaN, more than 2^53-1) is a defect.
 *
 * Servers expire lazily: an entry goes when a crawler passes after its time, by default every 300 seconds, and reading it
 * starts its time anew.
 */
export type Ttl = number | Duration.Duration

/** The TTL of an entry that never expires. */
export const forever = -1

/** Whole seconds, a `Duration` rounded up, or -1. Throws, and so makes a defect of, what is no {@link Ttl}. */
export const toSeconds = (ttl: Ttl): number => {
  if (ttl === forever) return forever
  if (Duration.isDuration(ttl) && !Duration.isFinite(ttl)) return forever
  const count = Duration.isDuration(ttl) ? Math.ceil(Duration.toSeconds(ttl)) : ttl
  if (Number.isSafeInteger(count) && count >= 1) return count
  const shown = Duration.isDuration(ttl) ? Duration.format(ttl) : String(ttl)
  throw new Cause.IllegalArgumentException(
    `a TTL is a whole number of seconds, 1 or more, -1 for ever, or a Duration longer than 0: not ${shown}`
  )
}

/** Milliseconds, `Infinity` for ever. Throws as {@link toSeconds} does. */
export const toMillis = (ttl: Ttl): number => {
  const seconds = toSeconds(ttl)
  if (seconds === forever) return Number.POSITIVE_INFINITY
  return Duration.isDuration(ttl) ? Duration.toMillis(ttl) : seconds * 1000
}

const slack = 60_000

/**
 * The TTL to give the server for an entry whose expiry is judged by clients: a minute longer than they may want it,
 * since the server must not be the first to drop it and clocks differ.
 */
export const forServer = (millis: number): Ttl => {
  const seconds = Math.ceil((millis + slack) / 1000)
  return Number.isSafeInteger(seconds) ? seconds : forever
}
