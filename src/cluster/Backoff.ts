import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import * as Monotonic from "../model/Monotonic.js"

/** The delays of a schedule, one after the other. */
export interface Backoff<In> {
  /**
   * Waits for the schedule's next delay, but not beyond the deadline (milliseconds of the monotonic clock), and not by an
   * interruption. False, at once, where the schedule has ended.
   */
  readonly next: (input: In, deadline: number) => Effect.Effect<boolean>
  /** When the next delay ends, by the same clock, for who does not wait; undefined where the schedule has ended. */
  readonly nextAt: (input: In) => Effect.Effect<number | undefined>
}

/**
 * Runs a schedule from its start. A `ScheduleDriver` does the same by the wall clock, which may be set meanwhile, and
 * sleeps as long as the schedule says. `delay` waits so many milliseconds, or less where something ends the wait.
 */
export const make = <In>(
  schedule: Schedule.Schedule<unknown, In>,
  clock: Clock.Clock,
  delay: (millis: number) => Effect.Effect<void> = Effect.sleep
): Backoff<In> => {
  let state = schedule.initial
  const nextAt = (input: In) =>
    Effect.suspend(() =>
      Effect.map(schedule.step(Monotonic.unsafeNow(clock), input, state), ([next, , decision]) => {
        state = next
        return ScheduleDecision.isDone(decision) ? undefined : Intervals.start(decision.intervals)
      })
    )
  return {
    next: (input, deadline) =>
      Effect.flatMap(nextAt(input), (time) => {
        if (time === undefined) return Effect.succeed(false)
        const millis = Math.min(time, deadline) - Monotonic.unsafeNow(clock)
        return millis > 0 ? Effect.as(delay(millis), true) : Effect.succeed(true)
      }),
    nextAt
  }
}
