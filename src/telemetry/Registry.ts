import * as Effect from "effect/Effect"
import type * as MetricLabel from "effect/MetricLabel"

/** Where a client keeps its metrics: one place for the process, in which further labels tell series apart. */
export type Registry = ReadonlyArray<MetricLabel.MetricLabel>

/** That of a service which was made outside of any fiber. */
export const global: Registry = []

/** That of the fiber. A client keeps what it finds when it is made: what is counted at a socket belongs to no fiber. */
export const current: Effect.Effect<Registry> = Effect.succeed(global)
