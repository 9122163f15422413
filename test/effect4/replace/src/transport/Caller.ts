/**
 * Replaced, since a fiber of Effect 4 does not tell whether it is interrupted, and a canceller costs next to nothing there.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Whether the wait goes on. */
export interface Caller {
  isWaiting: boolean
}

/** Runs what needs the fiber, and who waits in it. */
export const withCaller = <A, E>(
  f: (fiber: Fiber.Fiber<unknown, unknown>, caller: Caller) => Effect.Effect<A, E>
): Effect.Effect<A, E> => Effect.withFiber((fiber) => f(fiber, { isWaiting: true }))

/** An effect that waits until it is resumed, and goes on with what it is resumed with. Run by the caller's fiber, once. */
export const wait = <A, E>(
  caller: Caller,
  register: (resume: (next: Effect.Effect<A, E>) => void) => void
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    register(resume)
    return Effect.sync(() => {
      caller.isWaiting = false
    })
  })

/** Whether the caller still waits. */
export const isWaiting = (caller: Caller): boolean => caller.isWaiting
