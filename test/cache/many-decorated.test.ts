/** Many keys through what decorates a client, and through services written by hand. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Either, Exit, Fiber, Layer, Option } from "effect"
import { GhostDB, type Json, NearCache, TestCluster } from "effect-ghostdb"

const gets = Effect.flatMap(TestCluster, (cluster) =>
  Effect.map(
    Effect.forEach(cluster.nodes, (node) => Effect.flatMap(cluster.node(node), ({ commandCounts }) => commandCounts)),
    (counts) => counts.reduce((sum, { get }) => sum + get, 0)
  )
)

const some = (value: number) => Either.right(Option.some(value))

describe("many keys, decorated", () => {
  it.effect("failing open, an outage is a miss of each key", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* Effect.forEach(cluster.nodes, cluster.stop)
      expect([...(yield* GhostDB.getMany(["a", "b"])).values()]).toEqual([
        Either.right(Option.none()),
        Either.right(Option.none())
      ])
      expect([...(yield* GhostDB.putMany([["a", 1]])).values()]).toEqual([Either.right("NOT_STORED")])
      expect([...(yield* GhostDB.deleteMany(["a", "b"])).values()]).toEqual([
        Either.right("NOT_FOUND"),
        Either.right("NOT_FOUND")
      ])
    }).pipe(Effect.provide(TestCluster.layer({ client: { failOpen: true } })))
  )

  it.effect("a near cache answers what it holds, asks for the rest together, and drops what is written", () =>
    Effect.gen(function* () {
      yield* GhostDB.putMany([
        ["a", 1],
        ["b", 2]
      ])
      yield* GhostDB.get("a")
      const before = yield* gets
      expect([...(yield* GhostDB.getMany(["b", "a", "c"]))]).toEqual([
        ["b", some(2)],
        ["a", some(1)],
        ["c", Either.right(Option.none())]
      ])
      expect((yield* gets) - before).toBe(2)
      yield* GhostDB.getMany(["a", "b"])
      expect((yield* gets) - before).toBe(2)
      yield* GhostDB.putMany([["a", 10]])
      yield* GhostDB.deleteMany(["b"])
      expect([...(yield* GhostDB.getMany(["a", "b"])).values()]).toEqual([some(10), Either.right(Option.none())])
    }).pipe(Effect.provide(NearCache.layer({ capacity: 10, ttl: 60 }).pipe(Layer.provideMerge(TestCluster.layer()))))
  )

  it.effect("callers of the same keys at the same time ask a near cache's nodes once, and each has all of them", () =>
    Effect.gen(function* () {
      yield* GhostDB.putMany([
        ["a", 1],
        ["b", 2],
        ["c", 3]
      ])
      const before = yield* gets
      const [first, second] = yield* Effect.all([GhostDB.getMany(["a", "b"]), GhostDB.getMany(["b", "a", "c"])], {
        concurrency: "unbounded"
      })
      expect([...first.values()]).toEqual([some(1), some(2)])
      expect([...second.values()]).toEqual([some(2), some(1), some(3)])
      expect((yield* gets) - before).toBe(3)
    }).pipe(Effect.provide(NearCache.layer({ capacity: 10, ttl: 60 }).pipe(Layer.provideMerge(TestCluster.layer()))))
  )

  /** A near cache over a client whose gets wait: `open` lets those of a key go on. */
  const gated = Effect.gen(function* () {
    const gates = { a: yield* Deferred.make<void>(), b: yield* Deferred.make<void>() }
    const db = yield* GhostDB
    const get: typeof db.get = (key) =>
      Effect.as(Deferred.await(key === "a" ? gates.a : gates.b), Option.some<Json>(`the value of ${key}`))
    const context = yield* Layer.build(
      NearCache.layer({ capacity: 10, ttl: 60 }).pipe(Layer.provide(Layer.succeed(GhostDB, { ...db, get })))
    )
    const fork = <A, E>(effect: Effect.Effect<A, E, GhostDB>) =>
      Effect.tap(Effect.fork(Effect.provide(effect, context)), () => Effect.repeatN(Effect.yieldNow(), 20))
    return { fork, open: (key: "a" | "b") => Deferred.succeed(gates[key], undefined) }
  })

  it.scoped("what another asks for already may arrive before the rest", () =>
    Effect.gen(function* () {
      const { fork, open } = yield* gated
      const one = yield* fork(GhostDB.get("a"))
      const many = yield* fork(GhostDB.getMany(["a", "b"]))
      yield* open("a")
      yield* Fiber.join(one)
      yield* open("b")
      expect([...(yield* Fiber.join(many)).values()]).toEqual([
        Either.right(Option.some("the value of a")),
        Either.right(Option.some("the value of b"))
      ])
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.scoped("what another has asked for and given up is asked for anew, and can be given up as well", () =>
    Effect.gen(function* () {
      const { fork } = yield* gated
      const one = yield* fork(GhostDB.get("a"))
      const many = yield* fork(GhostDB.getMany(["a"]))
      yield* Fiber.interrupt(one)
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      expect(Exit.isInterrupted(yield* Fiber.interrupt(many))).toBe(true)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a service that changes one of the commands changes it for many keys as well", () =>
    Effect.gen(function* () {
      const db = yield* GhostDB
      yield* GhostDB.put("a", 1)
      const changed = { ...db, get: () => Effect.succeedSome(7) }
      const values = yield* Effect.provideService(GhostDB.getMany(["a", "b"]), GhostDB, changed)
      expect([...values.values()]).toEqual([some(7), some(7)])
    }).pipe(Effect.provide(TestCluster.layer()))
  )
})
