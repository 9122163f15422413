/**
 * Near caches that tell each other what they have written, over a channel of your own. GhostDB has none: here it is an
 * Effect `PubSub`; a message broker, or a Redis subscription, is wrapped the same way, its messages as JSON.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, PubSub, Schema, Stream } from "effect"
import { GhostDB, GhostDBTest, type Invalidation, type Invalidations, NearCache } from "effect-ghostdb"

const prices = GhostDB.forSchema(Schema.Number, { prefix: "price:", ttl: "1 hour", expiry: "exact", tags: ["prices"] })

/** A channel of texts, as brokers have them, as one of invalidations. */
const overTexts = (channel: PubSub.PubSub<string>): Invalidations.Invalidations => ({
  publish: (invalidation) => Effect.asVoid(PubSub.publish(channel, JSON.stringify(invalidation))),
  // What comes from this package is an Invalidation; a channel that others write to should check it by a schema.
  stream: Stream.map(Stream.fromPubSub(channel), (text): Invalidation => JSON.parse(text))
})

/** A process: its own near cache before the same cluster. */
const process = (invalidations: Invalidations.Invalidations) =>
  Effect.map(
    Layer.build(NearCache.layer({ capacity: 1000, ttl: "5 minutes", invalidations })),
    (context) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(effect, context)
  )

const program = Effect.gen(function* () {
  const channel = yield* PubSub.unbounded<string>()
  const invalidations = overTexts(channel)
  const shop = yield* process(invalidations)
  const warehouse = yield* process(invalidations)
  const shown = (when: string) =>
    Effect.flatMap(shop(prices.get("tea")), (price) => Console.log(`${when}: ${JSON.stringify(price)}`))

  yield* warehouse(prices.put("tea", 4))
  yield* shown("the shop reads the price, and holds it for five minutes")
  yield* warehouse(prices.put("tea", 5))
  yield* Effect.sleep("20 millis")
  yield* shown("the warehouse has written another")
  yield* warehouse(GhostDB.expireTags(["prices"]))
  yield* Effect.sleep("20 millis")
  yield* shown("all prices have expired")
})

program.pipe(Effect.scoped, Effect.provide(GhostDBTest), NodeRuntime.runMain)
