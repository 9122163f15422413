/** Replaced, since a schedule of Effect 4 is a step function that gives durations. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Monotonic from "../model/Monotonic.js"

/** The delays of a schedule, one after the other. */
export interface Backoff<In> {
  /** Waits for the next delay, at most to the deadline, and not by an interruption. False where the schedule has ended. */
  readonly next: (input: In, deadline: number) => Effect.Effect<boolean>
  /** When the next delay ends, by the same clock, for who does not wait; undefined where the schedule has ended. */
  readonly nextAt: (input: In) => Effect.Effect<number | undefined>
}

/** Runs a schedule from its start, by the monotonic clock: `Schedule.toStepWithSleep` goes by the wall clock. */
export const make = <In>(
  schedule: Schedule.Schedule<unknown, In>,
  clock: Clock.Clock,
  delay: (millis: number) => Effect.Effect<void> = Effect.sleep
): Backoff<In> => {
  let step: ((now: number, input: In) => Pull.Pull<[unknown, Duration.Duration], never, unknown>) | undefined
  const nextAt = (input: In): Effect.Effect<number | undefined> =>
    Effect.gen(function* () {
      step ??= yield* Schedule.toStep(schedule)
      const now = Monotonic.unsafeNow(clock)
      return yield* Pull.matchEffect(step(now, input), {
        onSuccess: ([, duration]) => Effect.succeed(now + Duration.toMillis(duration)),
        onDone: () => Effect.succeed(undefined),
        onFailure: Effect.failCause
      })
    })
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
