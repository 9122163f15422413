import { expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, Option, TestClock } from "effect"
import { ClientMetrics, GhostDB, TestCluster } from "effect-ghostdb"

const down = Effect.gen(function* () {
  const cluster = yield* TestCluster
  yield* GhostDB.put("key", 1)
  yield* Effect.forEach(cluster.nodes, cluster.stop)
  return cluster
})

const misses = Effect.gen(function* () {
  expect(yield* GhostDB.get("key")).toEqual(Option.none())
  expect(yield* GhostDB.put("key", 1)).toBe("NOT_STORED")
  expect(yield* GhostDB.add("key", 1)).toBe("NOT_STORED")
  expect(yield* GhostDB.delete("key")).toBe("NOT_FOUND")
  expect(yield* GhostDB.flush).toBe("ERR_FLUSH")
  expect(yield* GhostDB.ping).toEqual([])
  expect(yield* GhostDB.nodeSize("node-1")).toEqual(Option.none())
  expect(yield* GhostDB.getSnitchMetrics).toEqual({ metrics: [] })
  expect(yield* GhostDB.getWatchdogMetrics).toEqual({ metrics: [] })
  expect(yield* Effect.flip(GhostDB.get("\ud800"))).toMatchObject({ _tag: "KeyError" })
})

it.effect("an outage is a miss within failOpen, and a failure outside it", () =>
  Effect.gen(function* () {
    const cluster = yield* down
    yield* GhostDB.failOpen(misses)
    expect(yield* Effect.flip(GhostDB.get("key"))).toMatchObject({ _tag: "NoMoreServers" })
    yield* Effect.forEach(cluster.nodes, (node) => cluster.start(node, { keep: true }))
    yield* TestClock.adjust("2 seconds")
    expect(yield* GhostDB.failOpen(GhostDB.get("key"))).toEqual(Option.some(1))
  }).pipe(Effect.provide(TestCluster.layer()))
)

it.effect("the option does so for the whole layer", () =>
  Effect.zipRight(down, misses).pipe(Effect.provide(TestCluster.layer({ client: { failOpen: true } })))
)

it.effect("each outage is counted, one a minute logged", () => {
  const logged: Array<unknown> = []
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => {
      if (String(message).includes("going on without the cache")) logged.push(message)
    })
  )
  const outages = Effect.map(Metric.value(ClientMetrics.outages), ({ count }) => count)
  return Effect.gen(function* () {
    yield* down
    const before = yield* outages
    for (let i = 0; i < 10; i++) yield* GhostDB.get("key")
    expect((yield* outages) - before).toBe(10)
    expect(logged).toHaveLength(1)
    yield* TestClock.adjust("1 minute")
    yield* GhostDB.get("key")
    expect(logged).toHaveLength(2)
  }).pipe(Effect.provide(Layer.merge(TestCluster.layer({ client: { failOpen: true } }), logger)))
})
