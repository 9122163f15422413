/** Combinators of Effect 3 that Effect 4 lacks. The rewritten sources call them. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Stream from "effect/Stream"

/** An effect whose interruption does not wait for its end: it ends in the background. */
export const disconnect = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(restore(self)), (fiber) =>
      Effect.onInterrupt(restore(Fiber.join(fiber)), () => interruptFork(fiber))
    )
  )

/**
 * Interrupts a fiber, if there is one, once what runs now is done. Effect 4 does it at once, so that those who observe the
 * fiber would hear of its end before the next line runs.
 */
export const interruptLater = (fiber: Fiber.Fiber<unknown, unknown> | undefined): void =>
  queueMicrotask(() => fiber?.interruptUnsafe())

const afterwards = Context.make(
  Scheduler.Scheduler,
  new Scheduler.MixedScheduler("async", (run) => {
    queueMicrotask(run)
    return () => {}
  })
)

/** Opens a latch. Those who wait go on once what runs now is done: Effect 4 lets them before the next line runs. */
export const openLater = (latch: Latch.Latch): void => {
  if (!latch.isOpen()) Effect.runForkWith(afterwards)(latch.open)
}

/** Completes a deferred, if it is not complete. Those who wait go on once what runs now is done, as for a latch. */
export const doneLater = <A, E>(deferred: Deferred.Deferred<A, E>, result: Effect.Effect<A, E>): void => {
  if (deferred.effect !== undefined) return
  const { resumes } = deferred
  deferred.effect = result
  deferred.resumes = undefined
  if (resumes !== undefined) queueMicrotask(() => resumes.forEach((resume) => resume(result)))
}

/** Interrupts a fiber without waiting for its end. */
export const interruptFork = (fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<void> =>
  Effect.sync(() => interruptLater(fiber))

/** A result as an exit. */
export const exitOf = <A, E>(result: Result.Result<A, E>): Exit.Exit<A, E> =>
  Result.match(result, { onFailure: Exit.fail, onSuccess: Exit.succeed })

/** A stream with a state, which gives one value for each. */
export const mapAccumEffect =
  <S, A, B, E2, R2>(initial: S, f: (state: S, value: A) => Effect.Effect<readonly [S, B], E2, R2>) =>
  <E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<B, E | E2, R | R2> =>
    Stream.mapAccumEffect(
      self,
      () => initial,
      (state, value) => Effect.map(f(state, value), ([next, mapped]) => [next, [mapped]] as const)
    )

/** What a stream gives when another fails or dies. That of Effect 4 sees an interruption, too. */
export const catchFailure =
  <E, B, E2, R2>(f: (cause: Cause.Cause<E>) => Stream.Stream<B, E2, R2>) =>
  <A, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A | B, E2, R | R2> =>
    Stream.catchCause(self, (cause) =>
      // A cause of interruptions alone holds no error.
      Cause.hasInterruptsOnly(cause) ? Stream.failCause(cause as Cause.Cause<never>) : f(cause)
    )
