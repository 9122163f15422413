/** Writes of this process count for more than what is under way for their key. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schema, TestClock } from "effect"
import { GhostDB, NearCache } from "effect-ghostdb"
import { counter, settle } from "../support/cache.js"
import { anotherProcess, inMemory, inProcess } from "../support/clusters.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 60 })
const exact = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 60, expiry: "exact" })

const writes: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown, GhostDB>, Option.Option<number>]> = [
  ["GhostDB.put", GhostDB.put("n:key", 100), Option.some(100)],
  ["GhostDB.add", GhostDB.add("n:key", 100), Option.some(100)],
  ["GhostDB.delete", GhostDB.delete("n:key"), Option.none()],
  ["GhostDB.flush", GhostDB.flush, Option.none()],
  ["GhostDB.putMany", GhostDB.putMany([["n:key", 100]]), Option.some(100)],
  ["GhostDB.deleteMany", GhostDB.deleteMany(["n:key"]), Option.none()],
  ["a store's put", numbers.put("key", 100), Option.some(100)],
  ["a store's delete", numbers.delete("key"), Option.none()],
  ["within failOpen, a put", GhostDB.failOpen(GhostDB.put("n:key", 100)), Option.some(100)]
]

const near = NearCache.layer({ capacity: 10, ttl: 30 })
/** The client as it is, behind a near cache, and written by hand. */
const clients: ReadonlyArray<
  readonly [string, <A, E>(effect: Effect.Effect<A, E, GhostDB>) => Effect.Effect<A, E, GhostDB>]
> = [
  ["of a client", (effect) => effect],
  ["behind a near cache", (effect) => Effect.provide(effect, near)],
  ["that fails open", (effect) => GhostDB.failOpen(effect)]
]

for (const [name, through] of clients) {
  describe(`own writes ${name}`, () => {
    for (const [write, effect, expected] of writes) {
      it.effect(`${write}: the run from before is not stored, and nobody joins it`, () =>
        through(
          Effect.gen(function* () {
            const old = yield* counter
            yield* old.close
            const before = yield* Effect.fork(numbers.getOrElse("key", old.effect))
            yield* settle
            expect(old.state.runs).toBe(1)
            yield* effect
            const after = yield* Effect.fork(numbers.getOrElse("key", Effect.succeed(200)))
            yield* settle
            expect(yield* Fiber.join(after)).toBe(Option.getOrElse(expected, () => 200))
            yield* old.open
            expect(yield* Fiber.join(before)).toBe(1)
            yield* settle
            expect(yield* numbers.get("key")).toEqual(Option.orElse(expected, () => Option.some(200)))
          })
        ).pipe(Effect.provide(inMemory()))
      )
    }
  })
}

it.effect("a store on a service written by hand tells of its own writes", () =>
  Effect.gen(function* () {
    const old = yield* counter
    yield* old.close
    const before = yield* Effect.fork(numbers.getOrElse("key", old.effect))
    yield* settle
    yield* numbers.put("key", 100)
    yield* old.open
    expect(yield* Fiber.join(before)).toBe(1)
    expect(yield* numbers.get("key")).toEqual(Option.some(100))
  }).pipe(
    (effect) => Effect.flatMap(GhostDB, (db) => inProcess(anotherProcess(db))(effect)),
    Effect.provide(inMemory())
  )
)

it.effect("a write waits for a run's value that is being stored at this moment", () =>
  Effect.gen(function* () {
    const db = yield* GhostDB
    const storing = yield* Deferred.make<void>()
    const gate = yield* Effect.makeLatch(false)
    // Only the run's value is held up, as by a retry of its request.
    const slow = {
      ...db,
      put: ((key, value, ttl) =>
        value === 1
          ? Effect.zipRight(Deferred.succeed(storing, undefined), gate.whenOpen(db.put(key, value, ttl)))
          : db.put(key, value, ttl)) as typeof db.put
    }
    const run = yield* Effect.fork(inProcess(slow)(numbers.getOrElse("key", Effect.succeed(1))))
    yield* Deferred.await(storing)
    const write = yield* Effect.fork(inProcess(slow)(numbers.put("key", 100)))
    yield* settle
    yield* gate.open
    yield* Fiber.join(run)
    yield* Fiber.join(write)
    expect(yield* numbers.get("key")).toEqual(Option.some(100))
  }).pipe(Effect.provide(inMemory()))
)

it.effect("a remembered failure does not replace a newer put, nor a refresh one that came meanwhile", () =>
  Effect.gen(function* () {
    const options = { failure: { schema: NotFound, ttl: 60 }, staleFor: "1 minute" } as const
    const gate = yield* Effect.makeLatch(false)
    const failing = gate.whenOpen(Effect.fail(new NotFound()))
    const before = yield* Effect.fork(Effect.flip(exact.getOrElse("failing", failing, options)))
    yield* settle
    yield* exact.put("failing", 100)
    yield* gate.open
    expect(yield* Fiber.join(before)).toEqual(new NotFound())
    expect(yield* exact.get("failing")).toEqual(Option.some(100))

    const { close, effect, open } = yield* counter
    yield* exact.put("refreshed", 0)
    yield* TestClock.adjust("60 seconds")
    yield* close
    expect(yield* exact.getOrElse("refreshed", effect, options)).toBe(0)
    yield* settle
    yield* exact.put("refreshed", 100)
    yield* open
    yield* settle
    expect(yield* exact.get("refreshed")).toEqual(Option.some(100))
  }).pipe(Effect.provide(inMemory()))
)

it.effect("lookups that were sent before the write are not joined by callers after it", () =>
  Effect.gen(function* () {
    const db = yield* GhostDB
    const gate = yield* Effect.makeLatch(true)
    const slow = { ...db, get: (key: string) => Effect.zipLeft(db.get(key), gate.await) }
    yield* numbers.put("key", 1)
    yield* gate.close
    const before = yield* Effect.fork(inProcess(slow)(numbers.getOrElse("key", Effect.succeed(3))))
    yield* settle
    yield* GhostDB.put("n:key", 2)
    const after = yield* Effect.fork(inProcess(slow)(numbers.getOrElse("key", Effect.succeed(3))))
    yield* settle
    yield* gate.open
    expect(yield* Fiber.join(before)).toBe(1)
    expect(yield* Fiber.join(after)).toBe(2)
  }).pipe(Effect.provide(inMemory()))
)

it.effect("two layers on one client share what is under way with nobody but themselves", () =>
  Effect.gen(function* () {
    const { close, effect, open, state } = yield* counter
    yield* close
    const context = yield* Layer.build(near)
    const fibers = yield* Effect.forEach(
      [numbers.getOrElse("key", effect), Effect.provide(numbers.getOrElse("key", effect), context)],
      (lookup) => Effect.fork(lookup)
    )
    yield* settle
    expect(state.runs).toBe(2)
    yield* open
    yield* Effect.forEach(fibers, Fiber.join)
  }).pipe(Effect.scoped, Effect.provide(inMemory()))
)
