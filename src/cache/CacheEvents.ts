import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * What became of a lookup of `getOrElse`, or of the work behind it.
 *
 * - `Hit`: a value that has not expired. `Stale`: one that has, while it is refreshed. `NegativeHit`: a remembered
 *   failure. `Miss`: nothing to use, so that the effect runs, or is waited for. `Shared`: the caller waited for the work
 *   of another.
 * - `Stored`: a value of the effect was stored. `NotStored`: it was not, since its `ttl` is 0, the key was written
 *   meanwhile, or it is too large.
 * - `Refreshed` and `RefreshFailed`: the end of a refresh in the background.
 * - `TimedOut`: a caller stopped waiting for the effect, by `timeout`.
 * - `Outage`: no node served a command, and it went on without the cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheEvent {
  readonly type:
    | "Hit"
    | "Stale"
    | "NegativeHit"
    | "Miss"
    | "Shared"
    | "Stored"
    | "NotStored"
    | "Refreshed"
    | "RefreshFailed"
    | "TimedOut"
    | "Outage"
  /** With the store's prefix. */
  readonly key: string
}

/** The events of one client. */
export class CacheEvents {
  readonly #listeners = new Set<(event: CacheEvent) => void>()

  /** Costs nothing while nobody listens. */
  emit(type: CacheEvent["type"], key: string): void {
    if (this.#listeners.size === 0) return
    const event = { type, key }
    for (const listener of this.#listeners) listener(event)
  }

  /** Each event from now on. A consumer that is slow loses the oldest ones. */
  readonly stream: Stream.Stream<CacheEvent> = Stream.unwrapScoped(
    Effect.gen(this, function* () {
      const queue = yield* Queue.sliding<CacheEvent>(4096)
      const listener = (event: CacheEvent) => {
        queue.unsafeOffer(event)
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => this.#listeners.add(listener)),
        () => Effect.sync(() => this.#listeners.delete(listener))
      )
      return Stream.fromQueue(queue)
    })
  )
}
