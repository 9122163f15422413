/** Replaced, since Effect 4 has no supervisors: what it tells its metrics of fibers is the same. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/** Counts the fibers that start under it, whoever starts them. */
export class FiberCount implements Metric.FiberRuntimeMetricsService {
  started = 0
  alive = 0

  recordFiberStart(): void {
    this.started++
    this.alive++
  }

  recordFiberEnd(): void {
    this.alive--
  }

  /** An effect whose fibers are counted. */
  within<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.provideService(effect, Metric.FiberRuntimeMetrics, this)
  }
}
