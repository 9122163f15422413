/**
 * Replaced, since a fiber of Effect 4 holds references, and a tracer only where one was provided; and since the time in
 * nanoseconds is there the wall clock's, while the sources measure by the monotonic clock.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

/** Whether spans of the fiber reach anyone. */
export const isTraced = (fiber: Fiber.Fiber<unknown, unknown>): boolean => {
  const { tracer } = fiber.cache
  return tracer !== undefined && tracer !== Tracer.nativeTracer
}

/** The fiber's clock. */
export const clockOf = (fiber: Fiber.Fiber<unknown, unknown>): Clock.Clock => fiber.getRef(Clock.Clock)

/** The time of an event of a span, in nanoseconds since 1970. */
export const unixNanos = (clock: Clock.Clock): bigint => clock.currentTimeNanosUnsafe()

/** `Effect.flatMap` of a service, which is one step of the fiber's runtime here. */
export const withService = <Self, S, A, E, R>(
  tag: Context.Key<Self, S>,
  f: (service: S) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Self> => Effect.flatMap(tag, f)
