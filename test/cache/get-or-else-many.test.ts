/** Cache-aside for many keys with one loader. */
import { describe, expect, it } from "@effect/vitest"
import { Data, Deferred, Effect, Exit, Fiber, Option, Ref, Schema, TestClock } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 60, expiry: "exact" })

const lengths = Effect.map(Ref.make<ReadonlyArray<ReadonlyArray<string>>>([]), (calls) => ({
  calls: Ref.get(calls),
  loader: (keys: ReadonlyArray<string>) =>
    Effect.as(
      Ref.update(calls, (all) => [...all, keys]),
      keys.map((key) => [key, key.length] as const)
    )
}))

describe("getOrElseMany", () => {
  it.effect("the loader is run once, for what is missing; its values are stored", () =>
    Effect.gen(function* () {
      const { calls, loader } = yield* lengths
      yield* numbers.put("bb", 20)
      const values = yield* numbers.getOrElseMany(["ccc", "bb", "a", "bb"], loader)
      expect([...values]).toEqual([
        ["ccc", 3],
        ["bb", 20],
        ["a", 1]
      ])
      expect(yield* calls).toEqual([["ccc", "a"]])
      expect([...(yield* numbers.getOrElseMany(["a", "ccc"], loader))]).toEqual([
        ["a", 1],
        ["ccc", 3]
      ])
      expect((yield* calls).length).toBe(1)
      expect(yield* numbers.getOrElseMany([], loader)).toEqual(new Map())
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("500 missing keys are one load", () =>
    Effect.gen(function* () {
      const { calls, loader } = yield* lengths
      const keys = Array.from({ length: 500 }, (_, i) => `key-${i}`)
      expect((yield* numbers.getOrElseMany(keys, loader)).size).toBe(500)
      expect((yield* calls).map(({ length }) => length)).toEqual([500])
      expect((yield* numbers.getSomes(keys)).size).toBe(500)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a key that the loader does not know is left out, and those who wait for it run their own", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const batch = yield* Effect.fork(
        numbers.getOrElseMany(["known", "unknown"], () => Effect.as(Deferred.await(gate), [["known", 1] as const]))
      )
      yield* TestClock.adjust("1 millis")
      const single = yield* Effect.fork(numbers.getOrElse("unknown", Effect.succeed(7)))
      yield* TestClock.adjust("1 millis")
      yield* Deferred.succeed(gate, undefined)
      expect([...(yield* Fiber.join(batch))]).toEqual([["known", 1]])
      expect(yield* Fiber.join(single)).toBe(7)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("it shares runs with getOrElse, both ways", () =>
    Effect.gen(function* () {
      const { calls, loader } = yield* lengths
      const gate = yield* Deferred.make<number>()
      const first = yield* Effect.fork(numbers.getOrElse("a", Deferred.await(gate)))
      yield* TestClock.adjust("1 millis")
      const batch = yield* Effect.fork(numbers.getOrElseMany(["a", "bb"], loader))
      yield* TestClock.adjust("1 millis")
      expect(yield* calls).toEqual([["bb"]])
      yield* Deferred.succeed(gate, 100)
      expect(yield* Fiber.join(first)).toBe(100)
      expect([...(yield* Fiber.join(batch))]).toEqual([
        ["a", 100],
        ["bb", 2]
      ])

      const open = yield* Deferred.make<void>()
      const loading = yield* Effect.fork(
        numbers.getOrElseMany(["x", "y"], (keys) => Effect.zipRight(Deferred.await(open), loader(keys)))
      )
      yield* TestClock.adjust("1 millis")
      const joined = yield* Effect.fork(numbers.getOrElse("x", Effect.dieMessage("not shared")))
      yield* TestClock.adjust("1 millis")
      yield* Deferred.succeed(open, undefined)
      expect(yield* Fiber.join(joined)).toBe(1)
      expect((yield* Fiber.join(loading)).size).toBe(2)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a failure of the loader is the result, and is not stored", () =>
    Effect.gen(function* () {
      class Broken extends Data.Error<{ readonly why: string }> {}
      yield* numbers.put("a", 1)
      expect(
        yield* Effect.flip(numbers.getOrElseMany(["a", "b"], () => Effect.fail(new Broken({ why: "no database" }))))
      ).toEqual(new Broken({ why: "no database" }))
      expect(yield* numbers.get("b")).toEqual(Option.none())
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("interrupted, the loader ends with its last caller", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        numbers.getOrElseMany(["a", "b"], () =>
          Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined))
        )
      )
      yield* TestClock.adjust("1 millis")
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      yield* Deferred.await(ended)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("where the caller that loads is interrupted, the others load together", () =>
    Effect.gen(function* () {
      const { calls, loader } = yield* lengths
      const first = yield* Effect.fork(numbers.getOrElseMany(["a", "bb", "ccc"], () => Effect.never))
      yield* TestClock.adjust("1 millis")
      const second = yield* Effect.fork(numbers.getOrElseMany(["bb", "dddd", "a"], loader))
      yield* TestClock.adjust("1 millis")
      expect(yield* calls).toEqual([["dddd"]])
      yield* Fiber.interrupt(first)
      expect([...(yield* Fiber.join(second))]).toEqual([
        ["bb", 2],
        ["dddd", 4],
        ["a", 1]
      ])
      expect(yield* calls).toEqual([["dddd"], ["bb", "a"]])
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("who waits for a key that was found does not wait for the loader of the others", () =>
    Effect.gen(function* () {
      yield* numbers.put("a", 10)
      const db = yield* GhostDB
      const looking = yield* Deferred.make<void>()
      const slow = { ...db, get: (key: string) => Effect.zipRight(Deferred.await(looking), db.get(key)) }
      const batch = yield* Effect.fork(
        Effect.provideService(
          numbers.getOrElseMany(["a", "bb"], () => Effect.never),
          GhostDB,
          slow
        )
      )
      yield* TestClock.adjust("1 millis")
      const single = yield* Effect.fork(
        Effect.provideService(numbers.getOrElse("a", Effect.dieMessage("not shared")), GhostDB, slow)
      )
      yield* TestClock.adjust("1 millis")
      yield* Deferred.succeed(looking, undefined)
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(single)).toBe(10)
      yield* Fiber.interrupt(batch)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a key that is written while it is loaded keeps what was written", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { loader } = yield* lengths
      const batch = yield* Effect.fork(
        numbers.getOrElseMany(["a", "bb"], (keys) => Effect.zipRight(Deferred.await(gate), loader(keys)))
      )
      yield* TestClock.adjust("1 millis")
      yield* numbers.put("a", 50)
      yield* Deferred.succeed(gate, undefined)
      expect([...(yield* Fiber.join(batch)).values()]).toEqual([1, 2])
      expect([...(yield* numbers.getSomes(["a", "bb"])).values()]).toEqual([50, 2])
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a failure is remembered for each key", () =>
    Effect.gen(function* () {
      const failure = { schema: Schema.String, ttl: 60 } as const
      const failing = () => Effect.fail("no database")
      expect(yield* Effect.flip(numbers.getOrElseMany(["a", "b"], failing, { failure }))).toBe("no database")
      expect(yield* Effect.flip(numbers.getOrElse("b", Effect.succeed(1), { failure }))).toBe("no database")
      expect(yield* Effect.flip(numbers.getOrElseMany(["c", "a"], failing, { failure }))).toBe("no database")
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("an outage of the cache is no outage of the loader", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* Effect.forEach(cluster.nodes, cluster.stop)
      const { calls, loader } = yield* lengths
      expect((yield* numbers.getOrElseMany(["a", "bb"], loader)).get("bb")).toBe(2)
      expect(yield* calls).toEqual([["a", "bb"]])
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a stale value is the answer, and is refreshed by the loader", () =>
    Effect.gen(function* () {
      const stale = GhostDB.forSchema(Schema.Number, { prefix: "s:", ttl: 10, expiry: "exact", staleFor: "1 hour" })
      const { calls, loader } = yield* lengths
      yield* stale.putMany([
        ["a", 10],
        ["bb", 20]
      ])
      yield* TestClock.adjust("30 seconds")
      expect([...(yield* stale.getOrElseMany(["a", "bb"], loader)).values()]).toEqual([10, 20])
      yield* TestClock.adjust("1 second")
      expect((yield* calls).flat()).toEqual(["a", "bb"])
      expect([...(yield* stale.getSomes(["a", "bb"])).values()]).toEqual([1, 2])
    }).pipe(Effect.provide(TestCluster.layer()))
  )
})
