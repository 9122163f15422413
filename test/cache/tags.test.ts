/** Tags, and stores that can be cleared: entries that end by a stamp. */
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Effect, Fiber, Option, Schema, Stream, TestClock } from "effect"
import { type CacheEvent, GhostDB, NearCache, TestCluster } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
import { counter, settle } from "../support/cache.js"
import { anotherProcess, inMemory, inProcess, Nodes, observedOverHttp } from "../support/clusters.js"

const User = Schema.Struct({ id: Schema.Number, team: Schema.String })
const users = GhostDB.forSchema(User, {
  prefix: "user:",
  expiry: "exact",
  ttl: 600,
  staleFor: "1 hour",
  clearable: true,
  tags: (user) => [`user:${user.id}`, `team:${user.team}`]
})
const user = (id: number, team: string) => Effect.succeed({ id, team })

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`tags: ${name}`, () => {
    withLayer(layer)((it) => {
      it.effect("expireTags ends all entries with a tag, in all processes, and no others", () =>
        Effect.gen(function* () {
          const elsewhere = inProcess(anotherProcess(yield* GhostDB))
          yield* users.getOrElse("1", user(1, "a"))
          yield* users.put("2", { id: 2, team: "a" })
          yield* elsewhere(users.getOrElse("3", user(3, "b")))
          yield* elsewhere(GhostDB.expireTags(["team:a", "nobody"]))
          for (const process of [elsewhere, (effect: Effect.Effect<unknown, unknown, GhostDB>) => effect]) {
            expect(yield* process(Effect.forEach(["1", "2", "3"], users.get))).toEqual([
              Option.none(),
              Option.none(),
              Option.some({ id: 3, team: "b" })
            ])
          }
          // At the same moment, too, what is loaded afterwards counts.
          expect(yield* users.getOrElse("1", user(1, "c"))).toEqual({ id: 1, team: "c" })
          expect(yield* users.getOrElse("1", Effect.die("must not run"))).toEqual({ id: 1, team: "c" })
          yield* GhostDB.expireTags(["user:1"])
          expect(yield* users.get("1")).toEqual(Option.none())
          expect(yield* users.add("1", { id: 1, team: "d" })).toBe("STORED")
          expect(yield* users.get("1")).toEqual(Option.some({ id: 1, team: "d" }))
        })
      )

      it.effect("a value that was being loaded meanwhile is not served", () =>
        Effect.gen(function* () {
          const { close, effect, open } = yield* counter
          yield* close
          const elsewhere = inProcess(anotherProcess(yield* GhostDB))
          const old = Effect.as(effect, { id: 5, team: "old" })
          const before = yield* Effect.fork(users.getOrElse("5", old))
          yield* settle
          yield* elsewhere(GhostDB.expireTags(["user:5"]))
          yield* open
          expect((yield* Fiber.join(before)).team).toBe("old")
          expect(yield* elsewhere(users.get("5"))).toEqual(Option.none())
        })
      )

      it.effect("clear ends the entries of the store, and nothing else", () =>
        Effect.gen(function* () {
          const others = GhostDB.forSchema(User, { prefix: "other:", expiry: "exact", clearable: true })
          yield* users.put("7", { id: 7, team: "x" })
          yield* others.put("7", { id: 7, team: "x" })
          yield* users.clear
          expect(yield* users.get("7")).toEqual(Option.none())
          expect(yield* others.get("7")).toEqual(Option.some({ id: 7, team: "x" }))
          yield* users.put("7", { id: 7, team: "y" })
          expect(yield* users.get("7")).toEqual(Option.some({ id: 7, team: "y" }))
        })
      )

      it.effect("an entry without tags costs one lookup; a tag costs one more, which a near cache holds", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const tagged = GhostDB.forSchema(Schema.Number, { prefix: "t:", expiry: "exact", ttl: 60, tags: ["a", "b"] })
          const plain = GhostDB.forSchema(Schema.Number, { prefix: "p:", expiry: "exact", ttl: 60 })
          const gets = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
            Effect.gen(function* () {
              const before = (yield* nodes.counts).get
              yield* effect
              return (yield* nodes.counts).get - before
            })
          yield* Effect.forEach(["1", "2", "3"], (key) => Effect.zip(tagged.put(key, 1), plain.put(key, 1)))
          expect(yield* gets(plain.get("1"))).toBe(1)
          expect(yield* gets(tagged.get("1"))).toBe(3)
          const near = NearCache.layer({ capacity: 100, ttl: 10 })
          yield* Effect.gen(function* () {
            expect(yield* gets(tagged.get("1"))).toBe(3)
            expect(yield* gets(tagged.get("2"))).toBe(1)
            expect(yield* gets(tagged.get("2"))).toBe(0)
            yield* GhostDB.expireTags(["a"])
            expect(yield* tagged.get("3")).toEqual(Option.none())
          }).pipe(Effect.provide(near))
        })
      )
    })
  })
}

describe("stamps while a node is away", () => {
  const cluster = TestCluster.layer({ nodes: 5 })
  const values = Array.from({ length: 30 }, (_, i) => `${i}`)

  const scenario = (clear: Effect.Effect<unknown, unknown, GhostDB>, found: Effect.Effect<number, unknown, GhostDB>) =>
    Effect.gen(function* () {
      const { node, nodes, start, stop } = yield* TestCluster
      const before = yield* found
      expect(before).toBe(30)
      for (const away of nodes) {
        yield* stop(away)
        yield* Effect.ignore(clear)
        yield* start(away, { keep: true })
        yield* TestClock.adjust("2 minutes")
        yield* settle
        expect(yield* found).toBe(0)
        // Another process, which has not seen the clear, sees that it has happened: this one has written it again.
        expect(yield* inProcess(anotherProcess(yield* GhostDB))(found)).toBe(0)
      }
      yield* node(nodes[0]!)
    })

  const count = (get: (key: string) => Effect.Effect<Option.Option<unknown>, unknown, GhostDB>) =>
    Effect.map(Effect.forEach(values, get), (found) => found.filter(Option.isSome).length)

  it.effect("a KeyValueStore that was cleared stays so when the node returns", () =>
    Effect.gen(function* () {
      const open = GhostDBKeyValueStore.make({ prefix: "away" })
      const store = yield* open
      yield* Effect.forEach(values, (key) => store.set(key, "old"))
      yield* scenario(
        Effect.flatMap(open, (store) => store.clear),
        count((key) => Effect.flatMap(open, (store) => store.get(key)))
      )
    }).pipe(Effect.provide(cluster))
  )

  it.effect("so do a clearable store, and expired tags", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(values, (key) => users.put(key, { id: 1, team: "away" }))
      yield* scenario(users.clear, count(users.get))
    }).pipe(
      Effect.provide(cluster),
      Effect.zipRight(
        Effect.gen(function* () {
          yield* Effect.forEach(values, (key) => users.put(key, { id: 1, team: "away" }))
          yield* scenario(GhostDB.expireTags(["team:away"]), count(users.get))
        }).pipe(Effect.provide(cluster))
      )
    )
  )
})

it.effect(
  "who asks after tags expired, or a store was cleared, does not join a run from before; nor is its value served",
  () =>
    Effect.gen(function* () {
      const numbers = GhostDB.forSchema(Schema.Number, {
        prefix: "r:",
        ttl: 60,
        expiry: "exact",
        clearable: true,
        tags: ["run"]
      })
      const many = (effect: Effect.Effect<number>) =>
        Effect.map(
          numbers.getOrElseMany(["a"], () => Effect.map(effect, (n) => [["a", n] as const])),
          (values) => values.get("a")
        )
      const one = (effect: Effect.Effect<number>) => numbers.getOrElse("a", effect)
      // All at one instant, as the test's clock has it.
      for (const ask of [one, many]) {
        for (const end of [numbers.clear, GhostDB.expireTags(["run"]), numbers.clear, GhostDB.expireTags(["run"])]) {
          yield* numbers.delete("a")
          const { close, effect, open, state } = yield* counter
          yield* close
          const before = yield* Effect.fork(ask(effect))
          yield* settle
          yield* end
          const lone = yield* numbers.get("a")
          const after = yield* Effect.fork(ask(effect))
          yield* settle
          yield* open
          expect(lone).toEqual(Option.none())
          expect([yield* Fiber.join(before), yield* Fiber.join(after), state.runs]).toEqual([1, 2, 2])
          expect(yield* numbers.get("a")).toEqual(Option.some(2))

          yield* numbers.delete("a")
          yield* close
          const alone = yield* Effect.fork(ask(effect))
          yield* settle
          yield* end
          yield* open
          expect(yield* Fiber.join(alone)).toBe(3)
          expect(yield* numbers.get("a")).toEqual(Option.none())
        }
      }
    }).pipe(Effect.provide(inMemory()))
)

it.effect("events say what becomes of lookups, and of the work behind them", () =>
  Effect.gen(function* () {
    const numbers = GhostDB.forSchema(Schema.Number, { prefix: "e:", ttl: 10, expiry: "exact", staleFor: "1 minute" })
    const events: Array<CacheEvent> = []
    const listening = yield* Effect.fork(
      Stream.runForEach(GhostDB.cacheEvents, (event) => Effect.sync(() => events.push(event)))
    )
    yield* settle
    yield* numbers.getOrElse("a", Effect.succeed(1))
    yield* numbers.getOrElse("a", Effect.succeed(2))
    yield* TestClock.adjust("10 seconds")
    yield* numbers.getOrElse("a", Effect.succeed(3))
    yield* settle
    yield* numbers.getOrElse("b", Effect.succeed(3), { ttl: 0 })
    yield* settle
    expect(events).toEqual(
      [
        ["Miss", "e:a"],
        ["Stored", "e:a"],
        ["Hit", "e:a"],
        ["Stale", "e:a"],
        ["Stored", "e:a"],
        ["Refreshed", "e:a"],
        ["Miss", "e:b"],
        ["NotStored", "e:b"]
      ].map(([type, key]) => ({ type, key }))
    )
    yield* Fiber.interrupt(listening)
    const taken = yield* Effect.fork(Stream.runCollect(Stream.take(GhostDB.cacheEvents, 1)))
    yield* settle
    yield* numbers.getOrElse("a", Effect.succeed(1))
    expect([...(yield* Fiber.join(taken))]).toEqual([{ type: "Hit", key: "e:a" }])
  }).pipe(Effect.provide(inMemory()))
)

it("what can be cleared needs exact expiry and a prefix", () => {
  expect(() => GhostDB.forSchema(User, { clearable: true, prefix: "a:" })).toThrow(/exact/)
  expect(() => GhostDB.forSchema(User, { clearable: true, expiry: "exact" })).toThrow(/prefix/)
})
