/** Effects that are their own result: what a schema that is synchronous gives takes no fiber. */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/** A success. An `Either` is an effect. */
export const succeed: <A>(value: A) => Effect.Effect<A> = Either.right

/** A failure. */
export const fail: <E>(error: E) => Effect.Effect<never, E> = Either.left

/** The result of an effect that is one; undefined for any other. */
export const resultOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Either.Either<A, E> | undefined =>
  // An Either is an effect of its members' types.
  Either.isEither(effect) ? (effect as Either.Either<A, E>) : undefined
