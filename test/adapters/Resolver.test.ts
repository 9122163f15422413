import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Request, RequestResolver, Schema } from "effect"
import { GhostDB, Resolver } from "effect-ghostdb"
import { settle } from "../support/cache.js"
import { inMemory, Nodes } from "../support/clusters.js"
import { defectOf } from "../support/exits.js"

class Double extends Request.TaggedClass("Double")<number, string, { readonly of: number }> {}

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "double:", ttl: 60 })
const key = ({ of }: Double) => String(of)

/** Doubles, and remembers in which batches it was asked. Leaves 13 open. */
const database = () => {
  const batches: Array<ReadonlyArray<number>> = []
  const resolver = RequestResolver.makeBatched((requests: ReadonlyArray<Double>) => {
    batches.push(requests.map(({ of }) => of))
    return Effect.forEach(
      requests,
      (request) => (request.of === 13 ? Effect.void : Request.succeed(request, 2 * request.of)),
      { discard: true }
    )
  })
  return { batches, resolver }
}
const all = { concurrency: "unbounded" } as const

describe("Resolver.cached", () => {
  it.effect("50 fibers without batching are one query, each key once, and one lookup of each", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const { batches, resolver } = database()
      const cached = Resolver.cached(resolver, { store: numbers, key })
      const ids = Array.from({ length: 50 }, (_, i) => i % 10)
      const fibers = yield* Effect.forEach(ids, (of) => Effect.fork(Effect.request(new Double({ of }), cached)))
      expect(yield* Effect.forEach(fibers, Fiber.join)).toEqual(ids.map((of) => 2 * of))
      expect(batches).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])
      const { get, put } = yield* nodes.counts
      expect([get, put]).toEqual([10, 10])
      expect(yield* Effect.forEach(ids, (of) => Effect.request(new Double({ of }), cached), all)).toHaveLength(50)
      expect(batches).toHaveLength(1)
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a request that the resolver leaves open ends as it does without a cache, and no other", () =>
    Effect.gen(function* () {
      const { resolver } = database()
      const cached = Resolver.cached(resolver, { store: numbers, key })
      const ask = (source: typeof cached | typeof resolver) =>
        Effect.forEach([1, 13, 3], (of) => Effect.exit(Effect.request(new Double({ of }), source)), { batching: true })
      const ends = (exits: ReadonlyArray<Exit.Exit<number, string>>) =>
        exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : [Exit.isInterrupted(exit), defectOf(exit)]))
      const found = ends(yield* ask(cached))
      expect(found).toEqual(ends(yield* ask(resolver)))
      expect(found).toEqual([2, expect.any(Array), 6])
      expect(yield* numbers.get("13")).toEqual(Option.none())
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a key function that throws: that request dies, of its cause", () =>
    Effect.gen(function* () {
      const { resolver } = database()
      const cached = Resolver.cached(resolver, {
        store: numbers,
        key: ({ of }) => {
          if (of === 2) throw new Error("no key")
          return String(of)
        }
      })
      const exits = yield* Effect.forEach([1, 2, 3], (of) => Effect.exit(Effect.request(new Double({ of }), cached)), {
        batching: true
      })
      expect(exits).toEqual([Exit.succeed(2), Exit.die(new Error("no key")), Exit.succeed(6)])
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a key that is none is asked of the resolver", () =>
    Effect.gen(function* () {
      const { resolver } = database()
      // @ts-expect-error reachable only from untyped code
      const symbols = Resolver.cached(resolver, { store: numbers, key: () => Symbol.for("key") })
      expect(yield* Effect.request(new Double({ of: 1 }), symbols)).toBe(2)
      const lone = Resolver.cached(resolver, { store: numbers, key: () => "\ud800" })
      expect(yield* Effect.request(new Double({ of: 1 }), lone)).toBe(2)
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a batch that cannot be read, since a decoder throws, is asked of the resolver", () =>
    Effect.gen(function* () {
      const { batches, resolver } = database()
      const Throwing = Schema.transform(Schema.Number, Schema.Number, {
        strict: true,
        decode: (): number => {
          throw new Error("cannot be read")
        },
        encode: (n) => n
      })
      yield* numbers.putMany([
        ["1", 0],
        ["2", 0]
      ])
      const store = GhostDB.forSchema(Throwing, { prefix: "double:" })
      const cached = Resolver.cached(resolver, { store, key })
      expect(
        yield* Effect.forEach([1, 2], (of) => Effect.request(new Double({ of }), cached), { batching: true })
      ).toEqual([2, 4])
      expect(batches).toEqual([[1, 2]])
      expect(yield* numbers.get("1")).toEqual(Option.some(2))
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a TTL of 0, or one that throws, loses no value", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const { resolver } = database()
      const broken = GhostDB.forSchema(Schema.Number, {
        prefix: "broken:",
        ttl: () => {
          throw new Error("no TTL")
        }
      })
      const zero = GhostDB.forSchema(Schema.Number, { prefix: "zero:", ttl: () => 0 })
      for (const cached of [
        Resolver.cached(resolver, { store: broken, key }),
        Resolver.cached(resolver, { store: zero, key }),
        Resolver.cached(resolver, { store: numbers, key, ttl: 0 })
      ]) {
        const ask = Effect.forEach([1, 2], (of) => Effect.request(new Double({ of }), cached), { batching: true })
        expect(yield* ask).toEqual([2, 4])
      }
      expect((yield* nodes.counts).put).toBe(0)
      expect(() => Resolver.cached(resolver, { store: numbers, key, ttl: -5 })).toThrow(/a TTL is/)
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a write of the key counts for more than a query that is under way", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const gate = yield* Effect.makeLatch(false)
      const slow = RequestResolver.makeBatched((requests: ReadonlyArray<Double>) =>
        Effect.zipRight(
          Deferred.succeed(asked, undefined),
          gate.whenOpen(Effect.forEach(requests, (request) => Request.succeed(request, 1), { discard: true }))
        )
      )
      const cached = Resolver.cached(slow, { store: numbers, key })
      const query = yield* Effect.fork(
        Effect.forEach([1, 2], (of) => Effect.request(new Double({ of }), cached), { batching: true })
      )
      yield* Deferred.await(asked)
      yield* numbers.put("1", 100)
      yield* gate.open
      expect(yield* Fiber.join(query)).toEqual([1, 1])
      expect(yield* Effect.forEach(["1", "2"], numbers.get)).toEqual([Option.some(100), Option.some(1)])
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("a query ends with the last who waits for it", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const hanging = RequestResolver.makeBatched((_: ReadonlyArray<Double>) =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      )
      const cached = Resolver.cached(hanging, { store: numbers, key })
      const fibers = yield* Effect.forEach([1, 1], (of) => Effect.fork(Effect.request(new Double({ of }), cached)))
      yield* settle
      yield* Fiber.interrupt(fibers[0]!)
      expect(yield* Deferred.isDone(interrupted)).toBe(false)
      yield* Fiber.interrupt(fibers[1]!)
      yield* Deferred.await(interrupted)
    }).pipe(Effect.provide(inMemory()))
  )
})
