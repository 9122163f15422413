import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import { counted, inMemory, keys, stopLeader, sum } from "../support/raft.js"

describe.concurrent("a raft cluster", () => {
  it.effect("needs no configuration: writes go to the leader, whichever node owns the key", () =>
    Effect.gen(function* () {
      for (const key of keys) expect(yield* GhostDB.put(key, key)).toBe("STORED")
      expect(yield* GhostDB.add("added", 1)).toBe("STORED")
      expect(yield* GhostDB.delete("added")).toBe("REMOVED")
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(Option.some))
      // One key's owner was a follower before the client knew; no write was ever sent there.
      expect(yield* counted("put")).toEqual([60, 0, 0])
      expect(yield* counted("get")).toEqual([60, 0, 0])
      expect(yield* counted("delete")).toEqual([1, 0, 0])
      expect(yield* topologyNow).toMatchObject({ placement: "replicated", leader: Option.some("node-1"), dead: [] })
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("flushes once, through the leader, also when that has just died", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      expect(yield* GhostDB.flush).toBe("FLUSHED")
      expect(yield* counted("flush")).toEqual([1, 0, 0])
      for (const node of cluster.nodes) expect(yield* Effect.flatMap(cluster.node(node), ({ size }) => size)).toBe(0)

      yield* GhostDB.put("key", 1)
      yield* stopLeader
      const flush = yield* Effect.fork(GhostDB.flush)
      yield* TestClock.adjust("1100 millis")
      expect(yield* Fiber.join(flush)).toBe("FLUSHED")
      expect(sum(yield* counted("flush"))).toBe(2)
      expect(yield* GhostDB.get("key")).toEqual(Option.none())
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("nodeSize, metrics and ping answer for every member", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      yield* TestClock.adjust("10 minutes")
      expect(yield* Effect.forEach(cluster.nodes, GhostDB.nodeSize)).toEqual(cluster.nodes.map(() => Option.some(60)))
      expect(yield* GhostDB.nodeSize("elsewhere")).toEqual(Option.none())
      expect(yield* GhostDB.getWatchdogMetrics).toEqual({ metrics: cluster.nodes.map((node) => ({ node, data: [] })) })
      const { metrics } = yield* GhostDB.getSnitchMetrics
      expect(metrics.map(({ node }) => node)).toEqual(cluster.nodes)
      for (const { data } of metrics) expect(data).toHaveLength(2)
      expect(yield* GhostDB.ping).toEqual(cluster.nodes)

      yield* cluster.stop("node-2")
      expect(yield* GhostDB.ping).toEqual(["node-1", "node-3"])
      expect((yield* GhostDB.getSnitchMetrics).metrics.map(({ node }) => node)).toEqual(["node-1", "node-3"])
      expect(yield* GhostDB.nodeSize("node-3")).toEqual(Option.some(60))
      expect(yield* Effect.flip(GhostDB.nodeSize("node-2"))).toMatchObject({
        failures: [{ node: "node-2", reason: "Refused" }]
      })
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("GhostDB.leader asks anew, and is none in clusters without one", () =>
    Effect.gen(function* () {
      expect(yield* Effect.provide(GhostDB.leader, TestCluster.layer({ dialect: "v1" }))).toEqual(Option.none())
      expect(yield* Effect.provide(GhostDB.leader, TestCluster.layer({ dialect: "v2" }))).toEqual(Option.none())
      yield* Effect.gen(function* () {
        const cluster = yield* TestCluster
        expect(yield* GhostDB.leader).toEqual(Option.some("node-1"))
        yield* cluster.stepDown
        expect(yield* GhostDB.leader).toEqual(Option.none())
        yield* TestClock.adjust("1 second")
        expect(yield* GhostDB.leader).toEqual(Option.some("node-2"))
        expect((yield* topologyNow).leader).toEqual(Option.some("node-2"))
        yield* Effect.forEach(cluster.nodes, cluster.stop)
        expect(yield* GhostDB.leader).toEqual(Option.none())
      }).pipe(Effect.provide(inMemory()))
    })
  )

  it.effect("revival with `onRevival: flush` leaves a member alone: its leader brings it up to date", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      yield* cluster.stop("node-2")
      // Reads by the ring meet it.
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some(1)))
      expect((yield* topologyNow).dead.map(({ node }) => node)).toEqual(["node-2"])
      yield* cluster.start("node-2")
      yield* TestClock.adjust("40 seconds")
      expect((yield* topologyNow).dead).toEqual([])
      expect(sum(yield* counted("flush"))).toBe(0)
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some(1)))
      expect((yield* counted("get"))[1]).toBeGreaterThan(0)
    }).pipe(Effect.provide(inMemory({ client: { onRevival: "flush", readFrom: "any" } })))
  )

  it.effect("a client with `dialect: raft` needs no ping", () =>
    Effect.gen(function* () {
      for (const key of keys) expect(yield* GhostDB.put(key, 1)).toBe("STORED")
      expect(yield* GhostDB.leader).toEqual(Option.some("node-1"))
      expect(yield* counted("ping")).toEqual([0, 0, 0])
    }).pipe(Effect.provide(inMemory({ client: { dialect: "raft" } })))
  )
})
