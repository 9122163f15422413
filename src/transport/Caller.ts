/** Who waits for a reply. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as RuntimeFlags from "effect/RuntimeFlags"

/** The fiber, where an interruption ends its wait: a canceller for each would cost a third of a command. */
export type Caller = Fiber.RuntimeFiber<unknown, unknown> | undefined

/** An effect that waits until it is resumed. `register` is told who waits. */
export const callback = <A, E>(
  register: (resume: (exit: Exit.Exit<A, E>) => void, caller: Caller) => void
): Effect.Effect<A, E> =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
    const caller = RuntimeFlags.interruptible(runtimeFlags) ? fiber : undefined
    return Effect.async<A, E>((resume) => register(resume, caller))
  })

/** Whether the caller still waits. */
export const isWaiting = (caller: Caller): boolean =>
  caller === undefined || Cause.isEmpty(caller.getFiberRef(FiberRef.interruptedCause))
