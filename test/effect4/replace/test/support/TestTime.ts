/**
 * The test clock's `adjust` of Effect 3, which lets everything that goes on without time go on before the clock moves, and
 * after each sleep that ends. That of Effect 4 waits for what the end of a sleep itself has started, and sees no sockets.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"

/** Turns of the event loop: within them, what needs no time is done. */
const turns = (count: number) =>
  Effect.promise(async () => {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
  })

/** The most steps that one `adjust` has. */
const mostSteps = 100

/** Moves the clock on, in steps of a millisecond at least. */
export const adjust = (duration: Duration.Input): Effect.Effect<void> => {
  const nanos = Duration.toNanosUnsafe(Duration.fromInputUnsafe(duration))
  const steps = BigInt(Math.min(mostSteps, Math.max(1, Number(nanos / 1_000_000n))))
  // Whole milliseconds, of which the last step has the rest.
  const step = (nanos / steps / 1_000_000n) * 1_000_000n
  const move = (length: bigint) => Effect.andThen(TestClock.adjust(Duration.nanos(length)), turns(3))
  return turns(20).pipe(
    Effect.andThen(Effect.forEach(Array.from({ length: Number(steps) - 1 }), () => move(step), { discard: true })),
    Effect.andThen(move(nanos - step * (steps - 1n)))
  )
}
