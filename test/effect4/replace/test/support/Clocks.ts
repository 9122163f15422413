/** Replaced, since a clock of Effect 4 has both times in nanoseconds. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** What a clock is made of. */
export interface ClockOptions {
  /** The wall clock, in milliseconds. */
  readonly wall: () => number
  /** The monotonic clock, in nanoseconds. */
  readonly monotonic: () => bigint
  readonly sleep: (duration: Duration.Duration) => Effect.Effect<void>
}

/** A clock whose wall clock and monotonic clock are independent of each other. */
export const make = ({ monotonic, sleep, wall }: ClockOptions): Clock.Clock => {
  const nanos = () => BigInt(wall()) * 1_000_000n
  return {
    currentTimeMillisUnsafe: wall,
    currentTimeMillis: Effect.sync(wall),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: monotonic,
    monotonicTimeNanos: Effect.sync(monotonic),
    sleep
  }
}

/** The fiber's clock, but that its wall clock can be set. */
export const settable = Effect.map(Clock.Clock, (clock) => {
  let offset = 0
  return {
    clock: make({
      wall: () => clock.currentTimeMillisUnsafe() + offset,
      monotonic: () => clock.monotonicTimeNanosUnsafe(),
      sleep: (duration) => clock.sleep(duration)
    }),
    /** Sets the wall clock so many milliseconds ahead, or back. */
    step: (millis: number) =>
      Effect.sync(() => {
        offset += millis
      })
  }
})
