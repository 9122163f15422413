/** Who waits for a reply. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as RuntimeFlags from "effect/RuntimeFlags"

/**
 * The fiber, where an interruption ends its wait: a canceller for each would cost a third of a command.
 *
 * @category models
 * @since 0.1.0
 */
export type Caller = Fiber.RuntimeFiber<unknown, unknown> | undefined

/** Runs what needs the fiber, and who waits in it. */
export const withCaller: <A, E>(
  f: (fiber: Fiber.RuntimeFiber<unknown, unknown>, caller: Caller) => Effect.Effect<A, E>
) => Effect.Effect<A, E> = (f) =>
  Effect.withFiberRuntime((fiber, { runtimeFlags }) =>
    f(fiber, RuntimeFlags.interruptible(runtimeFlags) ? fiber : undefined)
  )

/** An effect that waits until it is resumed, and goes on with what it is resumed with. Run by the caller's fiber, once. */
export const wait = <A, E>(
  _: Caller,
  register: (resume: (next: Effect.Effect<A, E>) => void) => void
): Effect.Effect<A, E> => Effect.async<A, E>((resume) => register(resume))

/** Whether the caller still waits. */
export const isWaiting = (caller: Caller): boolean =>
  caller === undefined || Cause.isEmpty(caller.getFiberRef(FiberRef.interruptedCause))
