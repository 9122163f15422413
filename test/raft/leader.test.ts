import { describe, expect, it } from "@effect/vitest"
import { type Context, Effect, Either, Fiber, Option, Schedule, TestClock } from "effect"
import { Client, GhostDB, type Json, NoMoreServers, TestCluster, Transport } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import { counted, inMemory, keys, ruling, stopLeader, sum } from "../support/raft.js"

describe.concurrent("the leader of a raft cluster", () => {
  it.effect("remembers the leader, until it refuses", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      const asked = yield* counted("getLeader")
      expect(Math.max(...asked)).toBe(1)

      yield* cluster.stepDown
      yield* TestClock.adjust("1 second")
      expect(yield* ruling).toBe("node-2")
      for (const key of keys) expect(yield* GhostDB.put(key, 2)).toBe("STORED")
      // The first write was refused; the others have not asked again.
      expect(yield* counted("put")).toEqual([61, 60, 0])
      expect(Math.max(...(yield* counted("getLeader")))).toBe(2)
      expect((yield* topologyNow).leader).toEqual(Option.some("node-2"))
      expect((yield* topologyNow).dead).toEqual([])
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("finds the leader again when it dies; meanwhile writes wait, and reads go on", () =>
    Effect.gen(function* () {
      for (const key of keys) yield* GhostDB.put(key, "before")
      const gone = yield* stopLeader
      const writes = yield* Effect.fork(
        Effect.forEach(keys, (key) => GhostDB.put(key, "after"), { concurrency: "unbounded" })
      )
      for (let i = 0; i < 9; i++) {
        yield* TestClock.adjust("100 millis")
        expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some("before")))
        expect((yield* topologyNow).leader).toEqual(Option.none())
        expect(yield* GhostDB.leader).toEqual(Option.none())
      }
      expect(yield* Fiber.poll(writes)).toEqual(Option.none())
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(writes)).toEqual(keys.map(() => "STORED"))
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some("after")))
      expect(yield* topologyNow).toMatchObject({
        leader: yield* Effect.asSome(ruling),
        dead: [{ node: gone, failure: { reason: "Refused" } }]
      })
      // 60 writes have waited for a second, and hundreds of reads have gone elsewhere, on few questions.
      expect(sum(yield* counted("getLeader"))).toBeLessThan(60)
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("without a majority: writes end by the deadline and name every node, reads go on", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.stop("node-1")
      yield* cluster.stop("node-3")
      for (const write of [GhostDB.put("key", 2), GhostDB.add("other", 2), GhostDB.delete("key"), GhostDB.flush]) {
        const fiber = yield* Effect.fork(Effect.flip(write))
        yield* TestClock.adjust("4900 millis")
        expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
        yield* TestClock.adjust("100 millis")
        const error = yield* Fiber.join(fiber)
        expect(error).toBeInstanceOf(NoMoreServers)
        expect(error.message).toMatch(/node-1 Refused/)
        expect(error.message).toMatch(/node-2 NotLeader \(the raft cluster has no leader\)/)
        expect(error._tag === "NoMoreServers" && error.failures.length).toBeLessThanOrEqual(3)
        expect(yield* GhostDB.get("key")).toEqual(Option.some(1))
      }
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("waits by the `election` schedule, and no longer than that says", () =>
    Effect.gen(function* () {
      yield* GhostDB.put("key", 1)
      yield* Effect.flatMap(TestCluster, ({ stepDown }) => stepDown)
      const write = yield* Effect.fork(Effect.either(GhostDB.put("key", 2)))
      yield* TestClock.adjust("299 millis")
      expect(yield* Fiber.poll(write)).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      const error = Option.getOrThrow(Either.getLeft(yield* Fiber.join(write)))
      expect(error.message).toBe(
        "no GhostDB node served the command: node-1 NotLeader (the node does not lead its raft cluster); " +
          "node-2 NotLeader (the raft cluster has no leader); node-3 NotLeader (the raft cluster has no leader)"
      )
      const failures = error._tag === "NoMoreServers" ? error.failures : []
      expect(failures.map(Object.keys)).toEqual(Array(3).fill(["node", "reason", "detail"]))
    }).pipe(
      Effect.provide(
        inMemory({ client: { election: Schedule.spaced("100 millis").pipe(Schedule.intersect(Schedule.recurs(3))) } })
      )
    )
  )

  it.effect("finds a dead leader that is back, long before the next revival", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.stop("node-1")
      const second = yield* Effect.fork(GhostDB.put("key", 2))
      yield* TestClock.adjust("1100 millis")
      expect(yield* Fiber.join(second)).toBe("STORED")
      yield* cluster.start("node-1")
      for (let i = 0; i < 2; i++) {
        yield* cluster.stepDown
        yield* TestClock.adjust("1 second")
      }
      expect(yield* ruling).toBe("node-1")
      expect((yield* topologyNow).dead).toHaveLength(1)
      const third = yield* Effect.fork(GhostDB.put("key", 3))
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(third)).toBe("STORED")
      expect(yield* topologyNow).toMatchObject({ leader: Option.some("node-1"), dead: [] })
    }).pipe(Effect.provide(inMemory()))
  )
})
describe.concurrent("a leader that cannot lead", () => {
  const reply = (status: number, message: string, value: Json = null) => ({
    status: 200,
    body: `{"Gobj":{"Key":"","Value":${JSON.stringify(value)},"TTL":"-1"},"Status":${status},"Message":"${message}","Error":""}\n`
  })

  it.effect("is asked again by the `election` schedule, not without end", () =>
    Effect.gen(function* () {
      const posts: Array<string> = []
      const transport: Context.Tag.Service<Transport.Transport> = {
        connect: () =>
          Effect.succeed({
            post: (_, command) =>
              Effect.sync(() => {
                posts.push(command)
                if (command === "ping") return reply(1, "Pong!")
                if (command === "getLeader") return reply(200, "node-1:11000")
                return command === "nodeSize" ? reply(1, "OK", 0) : reply(500, "Error commiting to raft cluster")
              }),
            interrupt: () => Effect.void,
            release: () => Effect.void
          })
      }
      const db = yield* Effect.provideService(
        Client.make({ nodes: ["node-1", "node-2"] }),
        Transport.Transport,
        transport
      )
      const write = yield* Effect.fork(Effect.flip(db.put("key", 1)))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(write)).toMatchObject({
        failures: [
          { node: "node-1", reason: "NotLeader", detail: "the node does not lead its raft cluster" },
          { node: "node-2", reason: "NotLeader", detail: "the raft cluster has no leader" }
        ]
      })
      expect(posts.filter((command) => command === "put").length).toBeGreaterThan(40)
      expect(posts.filter((command) => command === "put").length).toBeLessThan(60)
    }).pipe(Effect.scoped)
  )
})
