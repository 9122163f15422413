/**
 * Replaced, since the registry of Effect 4 is a service of the context, and not one place for the process.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/** A context with the registry, and with the attributes that are added to each metric. */
export type Registry = Context.Context<never>

/** That of a service which was made outside of any fiber: the default one of the process. */
export const global: Registry = Context.empty()

/** That of the fiber. A client keeps what it finds when it is made: what is counted at a socket belongs to no fiber. */
export const current: Effect.Effect<Registry> = Effect.map(
  // Of the whole context no more is kept than what metrics read.
  Effect.context<never>(),
  Context.pick(Metric.MetricRegistry, Metric.CurrentMetricAttributes)
)
