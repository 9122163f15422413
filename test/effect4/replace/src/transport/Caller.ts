/**
 * Replaced, since a fiber of Effect 4 does not tell whether it is interrupted, and a canceller costs next to nothing there.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/** Whether the wait goes on. */
export interface Caller {
  isWaiting: boolean
}

/** An effect that waits until it is resumed. `register` is told who waits. */
export const callback = <A, E>(
  register: (resume: (exit: Exit.Exit<A, E>) => void, caller: Caller) => void
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const caller = { isWaiting: true }
    register(resume, caller)
    return Effect.sync(() => {
      caller.isWaiting = false
    })
  })

/** Whether the caller still waits. */
export const isWaiting = (caller: Caller): boolean => caller.isWaiting
