/** Times to live, as the server takes them and as this package expires entries by itself. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * A duration as text: `"5 minutes"`, `"300 millis"`.
 *
 * @category models
 * @since 0.1.0
 */
export type DurationText = Extract<Duration.DurationInput, string>

/**
 * How options take a duration: never as a bare number, whose unit would be a guess.
 *
 * @category models
 * @since 0.1.0
 */
export type DurationLike = Duration.Duration | DurationText

/** Milliseconds, `Infinity` for an infinite duration; none for what is no {@link DurationLike}. */
const parse = (input: DurationLike): Option.Option<number> =>
  typeof input === "string" || Duration.isDuration(input)
    ? Option.map(Duration.decodeUnknown(input), Duration.toMillis)
    : Option.none()

/** {@link parse}, which throws, and so makes a defect of, what is none. `name` is the option's. */
const durationMillis = (name: string, input: DurationLike): number =>
  Option.getOrThrowWith(parse(input), () => {
    const shown = typeof input === "string" ? `"${input}"` : String(input)
    return new Cause.IllegalArgumentException(`${name} is a Duration or its text, as in "30 seconds": not ${shown}`)
  })

export const DurationLike = { parse, toMillis: durationMillis } as const

/**
 * How long an entry lives. A number is whole **seconds**, 1 or more, and -1 is forever; a `Duration`, or its text as in
 * `"5 minutes"`, is rounded up to whole seconds. Anything else (a fraction, 0, NaN, more than 2^53-1) is a defect.
 *
 * Servers expire late: an entry goes when a crawler passes after its time, by default every 300 seconds, and each read
 * starts its time anew.
 *
 * @category models
 * @since 0.1.0
 */
export type Ttl = number | DurationLike

/** The TTL of an entry that never expires. */
const forever = -1

const refuse = (ttl: unknown) => {
  const shown = Duration.isDuration(ttl) ? Duration.format(ttl) : typeof ttl === "string" ? `"${ttl}"` : String(ttl)
  return new Cause.IllegalArgumentException(
    `a TTL is a whole number of seconds, 1 or more, -1 for forever, or a Duration longer than 0 (or its text): not ${shown}`
  )
}

/** Milliseconds, not rounded, `Infinity` for forever. Throws, and so makes a defect of, what is no {@link Ttl}. */
const toMillis = (ttl: Ttl): number => {
  if (typeof ttl === "number") {
    if (ttl === forever) return Number.POSITIVE_INFINITY
    if (Number.isSafeInteger(ttl) && ttl >= 1) return ttl * 1000
    throw refuse(ttl)
  }
  const millis = Option.getOrElse(parse(ttl), () => 0)
  if (millis > 0 && (millis === Number.POSITIVE_INFINITY || Number.isSafeInteger(Math.ceil(millis / 1000)))) {
    return millis
  }
  throw refuse(ttl)
}

/** Whole seconds, rounded up, or -1. Throws as {@link toMillis} does. */
const toSeconds = (ttl: Ttl): number => {
  if (typeof ttl === "number") {
    if (ttl === forever || (Number.isSafeInteger(ttl) && ttl >= 1)) return ttl
    throw refuse(ttl)
  }
  const millis = toMillis(ttl)
  return Number.isFinite(millis) ? Math.ceil(millis / 1000) : forever
}

const slack = 60_000

/**
 * The TTL to give the server, in seconds, for an entry that clients may want for so many milliseconds: a minute longer,
 * since the server must not be the first to drop it and clocks differ.
 */
const forServer = (millis: number): number => {
  const seconds = Math.ceil((millis + slack) / 1000)
  return Number.isSafeInteger(seconds) && seconds >= 1 ? seconds : forever
}

export const Ttl = { forever, toMillis, toSeconds, forServer } as const
