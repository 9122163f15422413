/** Many keys through what decorates a client, and through services written by hand. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Layer, Option } from "effect"
import { GhostDB, NearCache, TestCluster } from "effect-ghostdb"

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
