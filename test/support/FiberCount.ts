/** How many fibers start, and how many of them have not ended. */
import * as Effect from "effect/Effect"
import * as Supervisor from "effect/Supervisor"

/** Counts the fibers that start under it, whoever starts them. */
export class FiberCount extends Supervisor.AbstractSupervisor<void> {
  started = 0
  alive = 0
  readonly value = Effect.void

  override onStart(): void {
    this.started++
    this.alive++
  }

  override onEnd(): void {
    this.alive--
  }

  /** An effect whose fibers are counted. */
  within<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.supervised(effect, this)
  }
}
