import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule, TestClock } from "effect"
import { GhostDB, NodeServer, TestCluster } from "effect-ghostdb"
import { clientOf, topologyNow } from "../support/clients.js"
import { counted, inMemory, keys, replicas, ruling, sum } from "../support/raft.js"

const getAll = Effect.forEach(keys, GhostDB.get)
const putAll = (value: string) => Effect.forEach(keys, (key) => GhostDB.put(key, value), { discard: true })
const all = (value: string) => keys.map(() => Option.some(value))

describe.concurrent("leadership is a lease", () => {
  it.effect("a leader that is killed and restarted at once, empty, is not read until it is asked", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* putAll("value")
      expect(yield* getAll).toEqual(all("value"))
      yield* cluster.partition(["node-1"])
      yield* cluster.stop("node-1")
      yield* cluster.start("node-1")
      // It has not been brought up to date: whoever reads it, misses.
      expect((yield* topologyNow).leader).toEqual(Option.none())
      for (let i = 0; i < 30; i++) {
        const reads = yield* Effect.fork(getAll)
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(reads)).toEqual(all("value"))
      }
      expect((yield* topologyNow).leader).toEqual(yield* Effect.asSome(ruling))
      expect(yield* ruling).not.toBe("node-1")
    }).pipe(Effect.provide(inMemory()))
  )

  for (const readFrom of ["leaderPreferred", "leader"] as const) {
    it.scoped(
      `one that leads alone is not believed, though the others name it and it does what a leader does ("${readFrom}")`,
      () =>
        Effect.gen(function* () {
          const cluster = yield* TestCluster
          yield* putAll("value")
          expect(yield* getAll).toEqual(all("value"))
          yield* cluster.partition(["node-1"])
          yield* cluster.stop("node-1")
          yield* cluster.start("node-1")
          yield* TestClock.adjust("1 second")
          yield* cluster.bootstrap("node-1", "1500 millis")
          const asked = (yield* counted("nodeSize"))[0] ?? 0
          const reads = yield* Effect.fork(Effect.forEach(keys, (key) => Effect.delay(GhostDB.get(key), "40 millis")))
          yield* TestClock.adjust("1500 millis")
          // It has been asked, and has answered.
          expect((yield* counted("nodeSize"))[0]).toBeGreaterThan(asked)
          expect((yield* topologyNow).leader).toEqual(Option.none())
          yield* TestClock.adjust("5 seconds")
          expect(yield* Fiber.join(reads)).toEqual(all("value"))
          expect((yield* topologyNow).leader).toEqual(yield* Effect.asSome(ruling))
        }).pipe(Effect.provide(inMemory({ electionTime: "2800 millis", client: { readFrom } })))
    )
  }

  it.effect("a leader that only lost its connections is believed again at once, however little it holds", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* GhostDB.flush
      yield* cluster.inject("node-1", "reset", { times: 1 })
      expect(yield* GhostDB.get("key")).toEqual(Option.none())
      expect((yield* topologyNow).leader).toEqual(Option.some("node-1"))
    }).pipe(Effect.provide(inMemory({ client: { retry: Schedule.recurs(1) } })))
  )

  it.effect("one that is still empty when the others have long noticed is believed", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* GhostDB.flush
      // No reads: nobody asks while it is away.
      yield* cluster.stop("node-1")
      yield* cluster.start("node-1")
      yield* TestClock.adjust("1500 millis")
      while ((yield* ruling) !== "node-1") {
        yield* cluster.stepDown
        yield* TestClock.adjust("1 second")
      }
      const put = yield* Effect.fork(GhostDB.put("key", 2))
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(put)).toBe("STORED")
      expect((yield* topologyNow).leader).toEqual(Option.some("node-1"))
    }).pipe(Effect.provide(inMemory()))
  )

  it.scopedLive("the same over HTTP", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", electionTime: "300 millis" })
      yield* Effect.gen(function* () {
        yield* putAll("value")
        const [first] = servers
        yield* first!.stop
        yield* first!.start()
        const until = yield* Effect.fork(Effect.sleep("1 second"))
        let rounds = 0
        while (Option.isNone(yield* Fiber.poll(until))) {
          expect(yield* Effect.forEach(keys, GhostDB.get, { concurrency: "unbounded" })).toEqual(all("value"))
          rounds++
        }
        expect(rounds).toBeGreaterThan(0)
      }).pipe(Effect.provide(clientOf(servers, { replicas, revive: Schedule.spaced("20 millis") })))
    })
  )

  it.scoped("a leader that the others have replaced is read for no longer than its lease", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* putAll("old")
      yield* getAll
      const other = yield* cluster.client({ replicas })
      yield* cluster.partition(["node-1"])
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(keys, (key) => other.put(key, "new"))
      yield* TestClock.adjust("2 seconds")
      expect(yield* getAll).toEqual(all("new"))
    }).pipe(Effect.provide(inMemory({ leaseTime: "1 hour" })))
  )

  it.effect("reads have it asked again in the background, in the time that is configured; no reads, no questions", () =>
    Effect.gen(function* () {
      yield* putAll("value")
      const questions = Effect.map(counted("nodeSize"), sum)
      const before = yield* questions
      yield* TestClock.adjust("1 minute")
      expect(yield* questions).toBe(before)
      for (let i = 0; i < 100; i++) {
        yield* getAll
        yield* TestClock.adjust("100 millis")
      }
      // 10 seconds with a lease of 4
      const asked = (yield* questions) - before
      expect(asked).toBeGreaterThanOrEqual(4)
      expect(asked).toBeLessThanOrEqual(8)
    }).pipe(Effect.provide(inMemory({ client: { leaderLease: "4 seconds" } })))
  )
})

describe.concurrent("readFrom while a raft cluster has no leader", () => {
  const withoutLeader = Effect.gen(function* () {
    const cluster = yield* TestCluster
    yield* GhostDB.put("key", 1)
    yield* cluster.stop("node-1")
    const read = yield* Effect.fork(GhostDB.get("key"))
    yield* TestClock.adjust("500 millis")
    return read
  })

  for (const readFrom of ["leaderPreferred", "any"] as const) {
    it.effect(`"${readFrom}" reads any live node`, () =>
      Effect.gen(function* () {
        const read = yield* withoutLeader
        expect(yield* Fiber.join(read)).toEqual(Option.some(1))
      }).pipe(Effect.provide(inMemory({ client: { readFrom } })))
    )
  }

  it.effect(`"leader" waits for one`, () =>
    Effect.gen(function* () {
      const read = yield* withoutLeader
      expect(yield* Fiber.poll(read)).toEqual(Option.none())
      yield* TestClock.adjust("600 millis")
      expect(yield* Fiber.join(read)).toEqual(Option.some(1))
    }).pipe(Effect.provide(inMemory({ client: { readFrom: "leader" } })))
  )

  it.effect(`"leader" fails at the deadline where there is none`, () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.stop("node-1")
      yield* cluster.stop("node-2")
      const read = yield* Effect.fork(Effect.flip(GhostDB.get("key")))
      yield* TestClock.adjust("5 seconds")
      expect((yield* Fiber.join(read)).message).toMatch(/node-3 NotLeader/)
    }).pipe(Effect.provide(inMemory({ client: { readFrom: "leader" } })))
  )
})

describe.concurrent("a frozen leader", () => {
  it.effect("writes are back within a second of the group having a new one", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.inject("node-1", "hang")
      yield* cluster.partition(["node-1"])
      const write = yield* Effect.fork(GhostDB.put("key", 2))
      yield* TestClock.adjust("1500 millis")
      expect(yield* Fiber.poll(write)).toEqual(Option.none())
      // The election ends now.
      yield* TestClock.adjust("500 millis")
      expect(yield* ruling).not.toBe("node-1")
      yield* TestClock.adjust("500 millis")
      expect(yield* Fiber.poll(write)).not.toEqual(Option.none())
      expect(yield* Fiber.join(write)).toBe("STORED")
    }).pipe(
      Effect.provide(
        inMemory({
          electionTime: "2 seconds",
          client: { retry: Schedule.spaced("20 millis").pipe(Schedule.intersect(Schedule.recurs(2))) }
        })
      )
    )
  )
})
