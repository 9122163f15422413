import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Metric, Option, Schema, TestClock } from "effect"
import { ClientMetrics, GhostDB, type Json, KeyError, NearCache, type NearCacheOptions } from "effect-ghostdb"
import * as ReservedKeys from "../../src/cache/ReservedKeys.js"
import { anotherProcess, inMemory, Nodes, observedOverHttp } from "../support/clusters.js"
import { defectOf } from "../support/exits.js"

/** A near cache in front of the cluster, which `GhostDB` without it still names. */
const near = (options: Partial<NearCacheOptions> = {}) =>
  Effect.map(
    Effect.zip(Layer.build(NearCache.layer({ capacity: 100, ttl: 10, ...options })), GhostDB),
    ([context, direct]) => ({
      direct,
      near: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, context),
      stats: Effect.provide(
        Effect.flatMap(NearCache, ({ stats }) => stats),
        context
      ),
      clear: Effect.provide(
        Effect.flatMap(NearCache, ({ clear }) => clear),
        context
      )
    })
  )

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`NearCache: ${name}`, () => {
    withLayer(layer)((it) => {
      it.scoped("a value that was got is got again from this process, until its TTL is over", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const { direct, near: through, stats } = yield* near({ ttl: Duration.millis(1500) })
          const hits = yield* Metric.value(ClientMetrics.nearCacheHits)
          const misses = yield* Metric.value(ClientMetrics.nearCacheMisses)
          const get = through(GhostDB.get("near"))
          yield* direct.put("near", { a: [1] })
          const before = yield* nodes.counts
          for (let i = 0; i < 5; i++) expect(yield* get).toEqual(Option.some({ a: [1] }))
          expect((yield* nodes.counts).get - before.get).toBe(1)
          expect(yield* stats).toEqual({ hits: 4, misses: 1, size: 1 })
          expect((yield* Metric.value(ClientMetrics.nearCacheHits)).count).toBe(hits.count + 4)
          expect((yield* Metric.value(ClientMetrics.nearCacheMisses)).count).toBe(misses.count + 1)

          // Another process's write is not seen before the TTL is over.
          yield* direct.put("near", 2)
          yield* TestClock.adjust("1499 millis")
          expect(yield* get).toEqual(Option.some({ a: [1] }))
          yield* TestClock.adjust("1 millis")
          expect(yield* get).toEqual(Option.some(2))
        })
      )

      it.scoped("this process's own writes are seen at once", () =>
        Effect.gen(function* () {
          const { direct, near: through } = yield* near()
          const get = through(GhostDB.get("own"))
          yield* through(GhostDB.put("own", 1))
          expect(yield* get).toEqual(Option.some(1))
          yield* through(GhostDB.put("own", 2, 60))
          expect(yield* get).toEqual(Option.some(2))
          expect(yield* through(GhostDB.delete("own"))).toBe("REMOVED")
          expect(yield* get).toEqual(Option.none())
          expect(yield* through(GhostDB.add("own", 3))).toBe("STORED")
          expect(yield* get).toEqual(Option.some(3))
          // Even one that changes nothing may have learnt that the value is another.
          yield* direct.put("own", 4)
          expect(yield* through(GhostDB.add("own", 5))).toBe("NOT_STORED")
          expect(yield* get).toEqual(Option.some(4))
          expect(yield* through(GhostDB.flush)).toBe("FLUSHED")
          expect(yield* get).toEqual(Option.none())
        })
      )

      it.scoped("an absence is not held, and neither is a failure", () =>
        Effect.gen(function* () {
          const { direct, near: through, stats } = yield* near()
          expect(yield* through(GhostDB.get("absent"))).toEqual(Option.none())
          yield* direct.put("absent", null)
          expect(yield* through(GhostDB.get("absent"))).toEqual(Option.some(null))
          expect(yield* Effect.flip(through(GhostDB.get("\ud800")))).toBeInstanceOf(KeyError)
          // @ts-expect-error reachable only from untyped code
          expect(yield* Effect.flip(through(GhostDB.get(7)))).toEqual(new KeyError({ key: 7, reason: "NotAString" }))
          expect((yield* stats).size).toBe(1)
        })
      )

      it.scoped("holds no more than its capacity, and drops what was not used for longest", () =>
        Effect.gen(function* () {
          const { direct, near: through, stats } = yield* near({ capacity: 3 })
          const get = (key: string) => through(GhostDB.get(`lru:${key}`))
          for (const key of ["a", "b", "c", "d"]) yield* direct.put(`lru:${key}`, key)
          for (const key of ["a", "b", "c", "a", "d"]) yield* get(key)
          expect((yield* stats).size).toBe(3)
          for (const key of ["a", "b", "c", "d"]) yield* direct.put(`lru:${key}`, "new")
          expect(yield* get("a")).toEqual(Option.some("a"))
          expect(yield* get("c")).toEqual(Option.some("c"))
          expect(yield* get("d")).toEqual(Option.some("d"))
          expect(yield* get("b")).toEqual(Option.some("new"))
        })
      )

      it.scoped("`clear` drops what this process holds, and nothing else", () =>
        Effect.gen(function* () {
          const { clear, direct, near: through, stats } = yield* near()
          yield* direct.put("cleared", 1)
          yield* through(GhostDB.get("cleared"))
          yield* direct.put("cleared", 2)
          yield* clear
          expect((yield* stats).size).toBe(0)
          expect(yield* through(GhostDB.get("cleared"))).toEqual(Option.some(2))
        })
      )

      it.scoped("values are shared, and so frozen, all the way down", () =>
        Effect.gen(function* () {
          const { direct, near: through } = yield* near()
          yield* direct.put("frozen", { a: [{ b: 1 }] })
          const value = Option.getOrThrow(yield* through(GhostDB.get("frozen"))) as { a: Array<{ b: number }> }
          expect(() => value.a.push({ b: 2 })).toThrow(TypeError)
          expect(() => {
            value.a[0]!.b = 2
          }).toThrow(TypeError)
          expect(yield* through(GhostDB.get("frozen"))).toEqual(Option.some({ a: [{ b: 1 }] }))
        })
      )

      it.scoped("the other commands are the cluster's own", () =>
        Effect.gen(function* () {
          const { direct, near: through } = yield* near()
          expect(yield* through(GhostDB.ping)).toEqual(yield* direct.ping)
          const [node] = yield* direct.ping
          expect(yield* through(GhostDB.nodeSize(node!))).toEqual(yield* direct.nodeSize(node!))
          expect(yield* through(GhostDB.getWatchdogMetrics)).toEqual(yield* direct.getWatchdogMetrics)
          expect((yield* through(GhostDB.getSnitchMetrics)).metrics).toHaveLength(3)
        })
      )

      it.scoped("stores work through it, and locks past it", () =>
        Effect.gen(function* () {
          const { direct, near: through, stats } = yield* near()
          const numbers = GhostDB.forSchema(Schema.Number, { prefix: "near:", ttl: 1, expiry: "exact" })
          expect(yield* through(numbers.getOrElse("a", Effect.succeed(1), { lock: true }))).toBe(1)
          expect(yield* through(numbers.get("a"))).toEqual(Option.some(1))
          yield* TestClock.adjust("1 second")
          expect(yield* through(numbers.get("a"))).toEqual(Option.none())
          expect((yield* stats).hits).toBe(0)
          const lock = ReservedKeys.lock("near:b")
          yield* direct.put(lock, { token: "another's", until: 0 })
          yield* through(GhostDB.get(lock))
          yield* direct.delete(lock)
          expect(yield* through(GhostDB.get(lock))).toEqual(Option.none())
        })
      )
    })
  })
}

describe("NearCache: races", () => {
  /** A client whose gets give what was there when they began, once they are let go. */
  const slow = Effect.gen(function* () {
    const db = yield* GhostDB
    const gates: Array<Deferred.Deferred<void>> = []
    const slowDb = anotherProcess(db, (command, _, effect) =>
      command === "get"
        ? Effect.flatMap(Deferred.make<void>(), (gate) => {
            gates.push(gate)
            return Effect.zipLeft(effect, Deferred.await(gate))
          })
        : effect
    )
    const context = yield* Effect.provideService(
      Layer.build(NearCache.layer({ capacity: 10, ttl: 60 })),
      GhostDB,
      slowDb
    )
    const through = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, context)
    const openAll = Effect.suspend(() => Effect.forEach(gates, (gate) => Deferred.succeed(gate, undefined)))
    const get = Effect.flatMap(Effect.fork(through(GhostDB.get("race"))), (fiber) =>
      Effect.as(Effect.repeat(Effect.yieldNow(), { times: 50 }), fiber)
    )
    return { db, through, openAll, get }
  })

  const writes: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, GhostDB>, Option.Option<Json>]> = [
    ["put", GhostDB.put("race", "new"), Option.some("new")],
    ["delete", GhostDB.delete("race"), Option.none()],
    ["add", GhostDB.add("race", "newer"), Option.some("old")],
    ["flush", GhostDB.flush, Option.none()]
  ]
  for (const [name, write, expected] of writes) {
    it.scoped(`a get that was under way during a ${name} is not held`, () =>
      Effect.gen(function* () {
        const { db, get, openAll, through } = yield* slow
        yield* db.put("race", "old")
        const before = yield* get
        yield* through(write)
        const after = yield* get
        yield* openAll
        expect(yield* Fiber.join(before)).toEqual(Option.some("old"))
        expect(yield* Fiber.join(after)).toEqual(expected)
        const last = yield* get
        yield* openAll
        expect(yield* Fiber.join(last)).toEqual(expected)
      }).pipe(Effect.provide(inMemory()))
    )
  }

  it.scoped("a get that is answered while a put is under way is not held longer than that", () =>
    Effect.gen(function* () {
      const db = yield* GhostDB
      const latch = yield* Effect.makeLatch(false)
      const slowPut = anotherProcess(db, (command, _, effect) => (command === "put" ? latch.whenOpen(effect) : effect))
      const context = yield* Effect.provideService(
        Layer.build(NearCache.layer({ capacity: 10, ttl: 60 })),
        GhostDB,
        slowPut
      )
      yield* db.put("race", "old")
      const put = yield* Effect.fork(Effect.provide(GhostDB.put("race", "new"), context))
      yield* Effect.repeat(Effect.yieldNow(), { times: 50 })
      expect(yield* Effect.provide(GhostDB.get("race"), context)).toEqual(Option.some("old"))
      yield* latch.open
      yield* Fiber.join(put)
      expect(yield* Effect.provide(GhostDB.get("race"), context)).toEqual(Option.some("new"))
    }).pipe(Effect.provide(inMemory()))
  )

  it.scoped("gets under way at the same time are held, and an interrupted one spoils nothing", () =>
    Effect.gen(function* () {
      const { db, get, openAll, through } = yield* slow
      yield* db.put("race", 1)
      const fibers = yield* Effect.all([get, get, get])
      yield* Fiber.interrupt(fibers[0])
      yield* openAll
      expect(yield* Fiber.join(fibers[1])).toEqual(Option.some(1))
      yield* db.put("race", 2)
      expect(yield* through(GhostDB.get("race"))).toEqual(Option.some(1))
      yield* through(GhostDB.put("race", 3))
      const fiber = yield* get
      yield* openAll
      expect(yield* Fiber.join(fiber)).toEqual(Option.some(3))
    }).pipe(Effect.provide(inMemory()))
  )

  it.scoped("a write that is interrupted has dropped the value", () =>
    Effect.gen(function* () {
      const db = yield* GhostDB
      const stuck = anotherProcess(db, (command, _, effect) =>
        command === "put" ? Effect.zipRight(effect, Effect.never) : effect
      )
      const context = yield* Effect.provideService(
        Layer.build(NearCache.layer({ capacity: 10, ttl: 60 })),
        GhostDB,
        stuck
      )
      yield* db.put("race", 1)
      yield* Effect.provide(GhostDB.get("race"), context)
      const write = yield* Effect.fork(Effect.provide(GhostDB.put("race", 2), context))
      yield* Effect.repeat(Effect.yieldNow(), { times: 50 })
      yield* Fiber.interrupt(write)
      expect(yield* Effect.provide(GhostDB.get("race"), context)).toEqual(Option.some(2))
    }).pipe(Effect.provide(inMemory()))
  )
})

it.effect("options that cannot be used are a defect", () =>
  Effect.forEach([{ capacity: 0 }, { capacity: 1.5 }, { ttl: 0 }], (options) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(near(options)))
      expect(defectOf(exit)).toMatch(/capacity|a TTL/)
    })
  ).pipe(Effect.provide(inMemory()))
)
