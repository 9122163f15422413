/** What things cost in a large cluster. The bounds are for what grows with the square of it, and generous. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, Layer, Option, Stream } from "effect"
import { Client, GhostDB } from "effect-ghostdb"
import * as ClusterState from "../../src/cluster/ClusterState.js"
import { topologyNow } from "../support/clients.js"
import * as FakeTransport from "../support/FakeTransport.js"
import * as Series from "../support/Series.js"

const addresses = (count: number) => Arr.makeBy(count, (i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)

const cpu = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const start = process.cpuUsage()
    return Effect.map(self, (value) => {
      const { system, user } = process.cpuUsage(start)
      return [(system + user) / 1000, value] as const
    })
  })

describe("a large cluster", () => {
  it.live("of 10,000 nodes is ready, every one of them spoken to, in time that grows with their number", () =>
    Effect.gen(function* () {
      const nodes = addresses(10_000)
      const [millis] = yield* cpu(
        Effect.gen(function* () {
          yield* Effect.forEach(nodes, (node) => GhostDB.nodeSize(node), { concurrency: 64, discard: true })
          const { live } = yield* topologyNow
          assert.strictEqual(live.length, 10_000)
          assert.isTrue(live.every(({ dialect }) => Option.contains(dialect, "v2")))
        }).pipe(
          Effect.provide(Layer.provide(Client.layer({ nodes, metrics: false }), FakeTransport.layer(FakeTransport.hit)))
        )
      )
      assert.isBelow(millis, 20_000)
    })
  )

  it("a death, a first use and a revival cost well under a millisecond each among 10,000 nodes", () => {
    const nodes = addresses(10_000)
    let state = ClusterState.make(nodes, { replicas: 10, dialect: undefined, now: 0 })
    const start = process.cpuUsage()
    for (const node of nodes.slice(0, 5000)) {
      state = ClusterState.dialectKnown(state, node, "v2")
      state = ClusterState.died(state, node, { reason: "Refused", detail: "" }, 1)
    }
    for (const node of nodes.slice(0, 5000)) state = ClusterState.revived(state, node, "v2", 3, 2)
    const { system, user } = process.cpuUsage(start)
    assert.deepStrictEqual(state.counts, { live: 10_000, dead: 0, raft: 0, ring: 5000 })
    // 15,000 changes; what is done anew for each node at each change would take minutes.
    assert.isBelow((system + user) / 1000, 15_000)
  })
})

describe("topology", () => {
  it.live("a consumer that is slow gets the latest state, not every one", () =>
    Effect.gen(function* () {
      const nodes = addresses(200)
      let seen = 0
      const consumer = yield* GhostDB.topology.pipe(
        Stream.tap(() => Effect.sync(() => void seen++)),
        Stream.tap(() => Effect.sleep("20 millis")),
        Stream.takeUntil(({ live }) => live.every(({ dialect }) => Option.isSome(dialect))),
        Stream.runLast,
        Effect.fork
      )
      yield* Effect.yieldNow()
      yield* Effect.forEach(nodes, (node) => GhostDB.nodeSize(node), { discard: true })
      const last = Option.getOrThrow(yield* Fiber.join(consumer))
      assert.strictEqual(last.live.length, 200)
      assert.isBelow(seen, 100)
    }).pipe(
      Effect.provide(
        Effect.sync(() => addresses(200)).pipe(
          Effect.map((nodes) => Layer.provide(Client.layer({ nodes }), FakeTransport.layer(FakeTransport.hit))),
          Layer.unwrapEffect
        )
      ),
      Effect.timeout("30 seconds")
    )
  )
})

describe("nodes that come and go", () => {
  const attempts = Effect.map(Series.all, (series) => series.filter(({ name }) => name === "ghostdb.client.attempts"))

  const comeAndGo = (name: string, metrics: boolean) => {
    const nodes = Arr.makeBy(2500, (i) => `${name}-${i}`)
    return Effect.forEach(nodes, GhostDB.nodeSize, { concurrency: 64, discard: true }).pipe(
      Effect.provide(Layer.provide(Client.layer({ nodes, metrics }), FakeTransport.layer(FakeTransport.hit)))
    )
  }

  it.live("leave nothing where metrics are off, and a bounded number of series where they are on", () =>
    Effect.gen(function* () {
      const before = (yield* attempts).length
      yield* comeAndGo("off", false)
      assert.strictEqual((yield* attempts).length, before)
      yield* comeAndGo("on", true)
      const after = yield* attempts
      assert.isAtMost(after.length, 2001)
      assert.isDefined(after.find(({ labels }) => "otel.metric.overflow" in labels))
    })
  )
})

describe("lists of nodes that cannot be used", () => {
  it.live("change nothing, and are warned of", () =>
    Effect.gen(function* () {
      const bad = [["10.0.0.1:99999"], [], ["  "], ["http://10.0.0.1"], ["10.0.0.9", "not a node"]]
      const changes = Stream.fromIterable([...bad, [" 10.0.0.2 ", "10.0.0.2"]])
      yield* Effect.gen(function* () {
        const topology = yield* GhostDB.topology.pipe(
          Stream.filter(({ live }) => live[0]?.node !== "10.0.0.1"),
          Stream.runHead,
          Effect.timeout("30 seconds")
        )
        assert.deepStrictEqual(
          Option.getOrThrow(topology).live.map(({ node }) => node),
          ["10.0.0.2"]
        )
        assert.deepStrictEqual(yield* GhostDB.ping, ["10.0.0.2"])
        assert.deepStrictEqual(yield* GhostDB.get("key"), Option.some(1))
      }).pipe(
        Effect.provide(
          Layer.provide(Client.layer({ nodes: ["10.0.0.1"], changes }), FakeTransport.layer(FakeTransport.hit))
        )
      )
    })
  )
})
