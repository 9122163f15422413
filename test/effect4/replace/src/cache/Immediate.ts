/**
 * Replaced, since an `Exit` is what an `Either` was in Effect 3: an effect, and the one that schemas give.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"

/** A success. */
export const succeed: <A>(value: A) => Effect.Effect<A> = Exit.succeed

/** A failure. */
export const fail: <E>(error: E) => Effect.Effect<never, E> = Exit.fail

/** The result of an effect that is one; undefined for any other, a defect among them. */
export const resultOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Result.Result<A, E> | undefined => {
  if (!Exit.isExit(effect)) return undefined
  // An Exit is an effect of its members' types.
  const exit = effect as Exit.Exit<A, E>
  if (Exit.isSuccess(exit)) return Result.succeed(exit.value)
  const error = Exit.findError(exit)
  return Result.isSuccess(error) ? Result.fail(error.success) : undefined
}
