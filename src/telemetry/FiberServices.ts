/** What a fiber carries, for code that has the fiber at hand. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

// The tracer that Effect has when none is installed: its spans go nowhere.
const defaultTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** Whether spans of the fiber reach anyone. */
export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.currentTracer !== defaultTracer

/** The fiber's clock. */
export const clockOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Clock.Clock =>
  Context.get(fiber.currentDefaultServices, Clock.Clock)

/** The time of an event of a span, in nanoseconds since 1970. Durations are measured by another clock in Effect 4. */
export const unixNanos = (clock: Clock.Clock): bigint => clock.unsafeCurrentTimeNanos()

/** `Effect.flatMap` of a service, in one step of the fiber's runtime where that takes three. */
export const withService = <Self, S, A, E, R>(
  tag: Context.Tag<Self, S>,
  f: (service: S) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Self> =>
  Effect.withFiberRuntime<A, E, R | Self>((fiber) => f(Context.unsafeGet(fiber.currentContext, tag)))
