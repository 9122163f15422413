/**
 * The test clock as tests of Effect 3 know it: before time moves, and once it has, everything goes on that needs no time.
 * That of Effect 4 waits for those alone who have slept.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

export * from "effect/testing/TestClock"

const turn = Effect.callback<void>((resume) => {
  setTimeout(() => resume(Effect.void), 0)
})

/** Each turn lets fibers, promises and sockets go on. */
const settle = Effect.repeat(Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 20 }), turn), { times: 1 })

const settled = (move: Effect.Effect<void>): Effect.Effect<void> => Effect.andThen(Effect.andThen(settle, move), settle)

/** Lets time pass. */
export const adjust = (duration: Duration.Input): Effect.Effect<void> => settled(TestClock.adjust(duration))

/** Sets the time, in milliseconds since the epoch. */
export const setTime = (timestamp: number): Effect.Effect<void> => settled(TestClock.setTime(timestamp))
