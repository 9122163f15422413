import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as Intervals from "effect/ScheduleIntervals"
import * as Monotonic from "./Monotonic.js"

/** The delays of a schedule, one after the other. */
export interface Backoff<In> {
  /**
   * Waits for the schedule's next delay, but not beyond the deadline (milliseconds of the monotonic clock), and not by an
   * interruption. False, at once, where the schedule has ended.
   */
  readonly next: (input: In, deadline: number) => Effect.Effect<boolean>
}

/**
 * Runs a schedule from its start. A `ScheduleDriver` does the same by the wall clock, which may be set meanwhile, and
 * sleeps as long as the schedule says.
 */
export const make = <In>(schedule: Schedule.Schedule<unknown, In>, clock: Clock.Clock): Backoff<In> => {
  let state = schedule.initial
  return {
    next: (input, deadline) =>
      Effect.suspend(() => {
        const now = Monotonic.unsafeNow(clock)
        return Effect.flatMap(schedule.step(now, input, state), ([next, , decision]) => {
          state = next
          if (ScheduleDecision.isDone(decision)) return Effect.succeed(false)
          const delay = Math.min(Intervals.start(decision.intervals), deadline) - now
          return delay > 0 ? Effect.as(Effect.sleep(delay), true) : Effect.succeed(true)
        })
      })
  }
}
