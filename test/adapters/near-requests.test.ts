/** Gets through a near cache that are under way at the same time. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, TestClock } from "effect"
import { GhostDB, NearCache, TestCluster } from "effect-ghostdb"
import { settle } from "../support/cache.js"
import { anotherProcess } from "../support/clusters.js"

const keys = Array.from({ length: 20 }, (_, i) => `key:${i}`)
const putAll = (value: string) => GhostDB.putMany(keys.map((key) => [key, value] as const))

const behind = Layer.provideMerge(
  NearCache.layer({ capacity: 100, ttl: "100 millis" }),
  TestCluster.layer({ client: { replicas: 10, attemptTimeout: "1 second", deadline: "1 second" } })
)

/** A key for each node. */
const keyOfEach = Effect.gen(function* () {
  const cluster = yield* TestCluster
  return yield* Effect.forEach(cluster.nodes, (node) =>
    Effect.map(
      Effect.flatMap(cluster.node(node), ({ entries }) => entries),
      ([entry]) => ({
        node,
        key: entry?.key ?? ""
      })
    )
  )
})

describe("gets through a near cache at the same time", () => {
  it.scoped(
    "one that joins a getMany is answered with its own key, and what is held grows no older by the others",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* putAll("old")
        const [slow, fast] = yield* keyOfEach
        yield* cluster.inject(slow!.node, { latency: "500 millis" })
        yield* cluster.inject(fast!.node, { latency: "100 millis" })
        const many = yield* Effect.fork(GhostDB.getMany(keys))
        yield* settle
        yield* TestClock.adjust("50 millis")
        const joined = yield* Effect.fork(GhostDB.get(fast!.key))
        yield* settle
        yield* TestClock.adjust("60 millis")
        expect(Option.isSome(yield* Fiber.poll(joined))).toBe(true)
        expect(yield* Fiber.join(joined)).toEqual(Option.some("old"))
        const other = yield* cluster.client({ replicas: 10 })
        const put = yield* Effect.fork(other.put(fast!.key, "new"))
        yield* settle
        yield* TestClock.adjust("200 millis")
        yield* Fiber.join(put)
        const later = yield* Effect.fork(GhostDB.get(fast!.key))
        yield* settle
        yield* TestClock.adjust("500 millis")
        expect(yield* Fiber.join(later)).toEqual(Option.some("new"))
        yield* Fiber.join(many)
      }).pipe(Effect.provide(behind))
  )

  for (const name of ["get", "getMany"] as const) {
    it.scoped(`a get that joins a ${name} that is given up ends by its own deadline`, () =>
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* putAll("value")
        const [{ key } = { key: "" }] = yield* keyOfEach
        for (const node of cluster.nodes) yield* cluster.inject(node, "hang", { command: "get" })
        const ask: Effect.Effect<unknown, unknown, GhostDB> =
          name === "get" ? GhostDB.get(key) : GhostDB.getMany([key, "other"])
        const first = yield* Effect.fork(Effect.exit(ask))
        yield* settle
        yield* TestClock.adjust("900 millis")
        const second = yield* Effect.fork(Effect.exit(GhostDB.get(key)))
        yield* settle
        yield* TestClock.adjust("50 millis")
        yield* Fiber.interrupt(first)
        yield* settle
        yield* TestClock.adjust("960 millis")
        yield* settle
        const exit = Option.getOrThrow(yield* Fiber.poll(second))
        expect(Exit.isSuccess(exit) && Exit.isFailure(exit.value)).toBe(true)
      }).pipe(Effect.provide(behind))
    )
  }

  it.scoped("a request goes on while anyone waits for it, and ends with the last", () =>
    Effect.gen(function* () {
      const db = yield* GhostDB
      yield* db.put("key", 1)
      let asked = 0
      let ended = 0
      const gate = yield* Effect.makeLatch(false)
      const observed = anotherProcess(db, (_, __, effect) =>
        Effect.suspend(() => {
          asked++
          return Effect.onInterrupt(gate.whenOpen(effect), () => Effect.sync(() => ended++))
        })
      )
      const near = yield* Effect.provideService(
        Layer.build(NearCache.layer({ capacity: 10, ttl: 60 })),
        GhostDB,
        observed
      )
      const get = Effect.provide(GhostDB.get("key"), near)
      const waiting = yield* Effect.forEach([1, 2, 3], () => Effect.fork(get))
      yield* settle
      yield* Effect.forEach(waiting.slice(0, 2), (fiber) => Fiber.interrupt(fiber))
      expect([asked, ended]).toEqual([1, 0])
      yield* Fiber.interrupt(waiting[2]!)
      yield* settle
      expect([asked, ended]).toEqual([1, 1])
      const again = yield* Effect.forEach([1, 2], () => Effect.fork(get))
      yield* settle
      yield* Fiber.interrupt(again[0]!)
      yield* gate.open
      expect(yield* Fiber.join(again[1]!)).toEqual(Option.some(1))
      expect([asked, ended]).toEqual([2, 1])
      expect(yield* get).toEqual(Option.some(1))
      expect(asked).toBe(2)
    }).pipe(Effect.provide(TestCluster.layer()))
  )
})
