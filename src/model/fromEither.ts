import * as Effect from "effect/Effect"
import * as Either from "effect/Either"

/** The effect that succeeds or fails with a result. */
export const fromEither = <A, E>(result: Either.Either<A, E>): Effect.Effect<A, E> =>
  Either.match(result, { onLeft: (error) => Effect.fail(error), onRight: (value) => Effect.succeed(value) })
