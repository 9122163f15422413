import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Fiber, Option } from "effect"
import { Ring } from "effect-ghostdb"
import * as RealCluster from "./RealCluster.js"
import { clientOf, figure, isDead, keys, load, longest, scenario, whenTopology } from "./support.js"

const ringVersions = RealCluster.versions.filter((version) => version !== "raft")

/** Two attempt timeouts and their jitter, and what a busy machine adds. */
const untilDead = 2600

for (const version of ringVersions) {
  describe(`frozen ${version} nodes`, () => {
    for (const [how, freeze] of [
      ["stopped by SIGSTOP", (node: RealCluster.RealNode) => node.freeze],
      ["whose link is down", (node: RealCluster.RealNode) => node.unplug]
    ] as const) {
      scenario(`a node ${how} is dead within two attempt timeouts; all that wait for it fail over at that moment`, () =>
        Effect.gen(function* () {
          const nodes = yield* RealCluster.make(version, 3)
          const db = yield* clientOf(nodes, { replicas: 40 })
          yield* Effect.forEach(keys, (key) => db.put(key, key))
          const { stop } = yield* load((key) => db.put(key, key), 64)
          yield* Effect.sleep("1 second")
          const dead = yield* Effect.fork(whenTopology(db, isDead(nodes[1]!)))
          const frozenAt = yield* Clock.currentTimeMillis
          yield* freeze(nodes[1]!)
          const deadAt = yield* Fiber.join(dead)
          yield* Effect.sleep("1 second")
          const outcomes = yield* stop
          const waited = outcomes.filter(({ end, start }) => start < deadAt && end >= deadAt - 50)
          yield* figure(`${version}, ${how}: dead after ms`, deadAt - frozenAt)
          yield* figure(
            `${version}, ${how}: commands waiting then, and the last of them answered after ms`,
            waited.length,
            Math.max(...waited.map(({ end }) => end - deadAt))
          )
          yield* figure(`${version}, ${how}: longest command of ms`, outcomes.length, longest(outcomes))
          assert.isBelow(deadAt - frozenAt, untilDead)
          assert.deepStrictEqual(
            outcomes.filter(({ error }) => error !== undefined),
            []
          )
          assert.isBelow(longest(outcomes), untilDead + 400)
        })
      )

      scenario(`two neighbours on the ring ${how}: every command is answered within the deadline`, () =>
        Effect.gen(function* () {
          const nodes = yield* RealCluster.make(version, 5)
          const db = yield* clientOf(nodes)
          yield* Effect.forEach(keys, (key) => db.put(key, key))
          const addresses = nodes.map(({ address }) => address)
          const ring = Ring.make(addresses)
          const owner = Option.getOrThrow(Ring.lookup(ring, keys[0]!))
          const next = Option.getOrThrow(Ring.lookup(Ring.remove(ring, owner), keys[0]!))
          const frozen = nodes.filter(({ address }) => address === owner || address === next)
          yield* Effect.forEach(frozen, freeze)
          const outcomes = yield* Effect.gen(function* () {
            const { stop } = yield* load((key) => db.put(key, key), 64)
            yield* Effect.sleep("5 seconds")
            return yield* stop
          })
          yield* figure(`${version}, two neighbours ${how}: longest command of, ms`, outcomes.length, longest(outcomes))
          assert.deepStrictEqual(
            outcomes.filter(({ error }) => error !== undefined),
            []
          )
          assert.isBelow(longest(outcomes), 5000)
        })
      )
    }
  })
}
