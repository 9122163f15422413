/**
 * How processes tell each other what they have written, so that their near caches drop it. GhostDB has nothing to tell
 * it by: a user brings a channel, as a message broker or a Redis subscription, and wraps it as {@link Invalidations}.
 */

import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"

/**
 * What others must drop. It is JSON.
 *
 * @category models
 * @since 0.1.0
 */
export type Invalidation =
  | { readonly _tag: "Keys"; readonly keys: ReadonlyArray<string>; readonly from?: string | undefined }
  /** The entries with the tags have ended. */
  | { readonly _tag: "Tags"; readonly tags: ReadonlyArray<string>; readonly from?: string | undefined }
  | { readonly _tag: "All"; readonly from?: string | undefined }

/**
 * A channel between processes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Invalidations {
  /** Runs in the background after each write; a defect or delay of it holds up nobody. */
  readonly publish: (invalidation: Invalidation) => Effect.Effect<void>
  /** What all processes publish from now on. One's own messages may be among it. */
  readonly stream: Stream.Stream<Invalidation>
}

/**
 * A channel within this process, for several near caches in it, and for tests.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { GhostDBTest, Invalidations, NearCache } from "effect-ghostdb"
 *
 * const layer = Layer.unwrapEffect(
 *   Effect.map(Invalidations.inProcess, (invalidations) => NearCache.layer({ capacity: 1000, ttl: 60, invalidations }))
 * ).pipe(Layer.provide(GhostDBTest))
 *
 * @category constructors
 * @since 0.1.0
 */
export const inProcess: Effect.Effect<Invalidations> = Effect.map(PubSub.unbounded<Invalidation>(), (pubsub) => ({
  publish: (invalidation) => Effect.asVoid(PubSub.publish(pubsub, invalidation)),
  stream: Stream.fromPubSub(pubsub)
}))
