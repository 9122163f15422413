/**
 * Replaced, since a fiber of Effect 4 holds references, and a tracer only where one was provided.
 */
import * as Clock from "effect/Clock"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

/** Whether spans of the fiber reach anyone. */
export const isTraced = (fiber: Fiber.Fiber<unknown, unknown>): boolean => {
  const { tracer } = fiber.cache
  return tracer !== undefined && tracer !== Tracer.nativeTracer
}

/** The fiber's clock. */
export const clockOf = (fiber: Fiber.Fiber<unknown, unknown>): Clock.Clock => fiber.getRef(Clock.Clock)
