/** Stale values, refreshes, timeouts and what runs in the background. */
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Option, Schema, Scope, TestClock } from "effect"
import { GhostDB, LoadTimeout } from "effect-ghostdb"
import { all, counter, settle } from "../support/cache.js"
import { anotherProcess, inMemory, inProcess } from "../support/clusters.js"
import { always } from "../support/random.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

const exact = GhostDB.forSchema(Schema.Number, {
  prefix: "n:",
  ttl: "1 minute",
  expiry: "exact",
  staleFor: "10 minutes"
})

describe("refreshes", () => {
  withLayer(inMemory())((it) => {
    it.effect("one that hangs is interrupted after a minute, and callers past staleFor run their own", () =>
      Effect.gen(function* () {
        let interrupted = 0
        const hanging = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
        const stale = { staleFor: "10 seconds" } as const
        yield* exact.getOrElse("hangs", Effect.succeed(1), stale)
        yield* TestClock.adjust("60 seconds")
        expect(yield* exact.getOrElse("hangs", hanging, stale)).toBe(1)
        yield* settle
        yield* TestClock.adjust("11 seconds")
        // Past staleFor, while the refresh hangs.
        expect(yield* exact.getOrElse("hangs", Effect.succeed(2), stale)).toBe(2)
        yield* TestClock.adjust("1 minute")
        yield* settle
        expect(interrupted).toBe(1)
        expect(yield* exact.getOrElse("hangs", hanging, stale)).toBe(2)
        yield* settle
        yield* TestClock.adjust("5 minutes")
        expect(yield* exact.getOrElse("hangs", Effect.succeed(3), stale)).toBe(3)
        expect(interrupted).toBe(2)
      })
    )

    it.effect("a caller who waits for a hanging refresh stops when the value is no longer stale but gone", () =>
      Effect.gen(function* () {
        const stale = { staleFor: "10 seconds" } as const
        yield* exact.getOrElse("joined", Effect.succeed(1), stale)
        yield* TestClock.adjust("60 seconds")
        expect(yield* exact.getOrElse("joined", Effect.never, stale)).toBe(1)
        yield* settle
        const strict = { staleFor: Duration.zero } as const
        const waiting = yield* Effect.fork(exact.getOrElse("joined", Effect.succeed(2), strict))
        yield* settle
        expect(yield* Fiber.poll(waiting)).toEqual(Option.none())
        yield* TestClock.adjust("10 seconds")
        expect(yield* Fiber.join(waiting)).toBe(2)
      })
    )

    it.effect("a refresh that cannot be interrupted holds up nobody either", () =>
      Effect.gen(function* () {
        const stale = { staleFor: "10 seconds" } as const
        yield* exact.getOrElse("stubborn", Effect.succeed(1), stale)
        yield* TestClock.adjust("60 seconds")
        const gate = yield* Deferred.make<void>()
        const stubborn = Effect.uninterruptible(Effect.as(Deferred.await(gate), 0))
        expect(yield* exact.getOrElse("stubborn", stubborn, stale)).toBe(1)
        yield* settle
        yield* TestClock.adjust("5 minutes")
        expect(yield* exact.getOrElse("stubborn", Effect.succeed(2), stale)).toBe(2)
        yield* Deferred.succeed(gate, undefined)
        yield* settle
        expect(yield* exact.get("stubborn")).toEqual(Option.some(2))
      })
    )

    it.effect("staleFor of the store is kept by put, add and every getOrElse", () =>
      Effect.gen(function* () {
        yield* exact.put("by put", 1)
        yield* exact.add("by add", 1)
        yield* exact.getOrElse("by lookup", Effect.succeed(1))
        yield* exact.put("own ttl", 1, 60)
        yield* TestClock.adjust("659 seconds")
        for (const key of ["by put", "by add", "by lookup", "own ttl"]) {
          expect(yield* exact.get(key)).toEqual(Option.none())
          expect(yield* exact.getOrElse(key, Effect.fail("down"))).toBe(1)
        }
        yield* settle
        yield* TestClock.adjust("1 second")
        expect(yield* Effect.flip(exact.getOrElse("by put", Effect.fail("down")))).toBe("down")
      })
    )

    it.effect("a failed refresh takes nothing away, although its failure is remembered", () =>
      Effect.gen(function* () {
        const options = { failure: { schema: NotFound, ttl: 10 } }
        const failing = Effect.fail(new NotFound())
        for (const lock of [false, true]) {
          const key = `failed ${lock}`
          yield* exact.getOrElse(key, Effect.succeed(1), { ...options, lock })
          yield* TestClock.adjust("1 minute")
          for (let i = 0; i < 5; i++) {
            expect(yield* exact.getOrElse(key, failing, { ...options, lock })).toBe(1)
            yield* settle
            yield* TestClock.adjust("100 seconds")
          }
          expect(yield* exact.getOrElse(key, failing, { ...options, lock })).toBe(1)
          yield* settle
          yield* TestClock.adjust("100 seconds")
          expect(yield* Effect.flip(exact.getOrElse(key, failing, { ...options, lock }))).toEqual(new NotFound())
        }
      })
    )

    it.effect("a resource of the caller's scope: another's effect runs where the first caller is gone", () =>
      Effect.gen(function* () {
        /** A connection in the scope of whoever asks, which is of no use once it is closed. */
        const connection = Effect.acquireRelease(
          Effect.sync(() => ({ isOpen: true })),
          (connection) =>
            Effect.sync(() => {
              connection.isOpen = false
            })
        )
        const gate = yield* Effect.makeLatch(false)
        const query = Effect.flatMap(connection, (connection) =>
          gate.whenOpen(Effect.suspend(() => (connection.isOpen ? Effect.succeed(1) : Effect.die("closed"))))
        )
        const ask = Effect.scoped(exact.getOrElse("scoped", query))
        const [first, second] = yield* Effect.all([Effect.fork(ask), Effect.fork(ask)])
        yield* settle
        yield* Fiber.interrupt(first)
        yield* settle
        yield* gate.open
        expect(yield* Fiber.join(second)).toBe(1)

        // A refresh has a scope of its own, which closes when it has ended.
        yield* TestClock.adjust("1 minute")
        yield* gate.close
        expect(yield* ask).toBe(1)
        yield* settle
        const closed = yield* Deferred.make<void>()
        const tracked = Effect.zipRight(
          Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, Deferred.succeed(closed, undefined))),
          Effect.succeed(5)
        )
        yield* gate.open
        yield* settle
        expect(yield* exact.get("scoped")).toEqual(Option.some(1))
        yield* TestClock.adjust("1 minute")
        expect(yield* Effect.scoped(exact.getOrElse("scoped", tracked))).toBe(1)
        yield* Deferred.await(closed)
        expect(yield* exact.get("scoped")).toEqual(Option.some(5))
      })
    )
  })
})

describe("timeouts", () => {
  withLayer(inMemory())((it) => {
    it.effect("hard: the caller fails with LoadTimeout, the effect ends in the background and is stored", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        yield* close
        const options = { timeout: { hard: "2 seconds" } } as const
        const caller = yield* Effect.fork(Effect.flip(exact.getOrElse("hard", effect, options)))
        yield* settle
        yield* TestClock.adjust("1 second")
        const later = yield* Effect.fork(Effect.flip(exact.getOrElse("hard", effect, options)))
        yield* settle
        expect(yield* Fiber.poll(caller)).toEqual(Option.none())
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(caller)).toEqual(new LoadTimeout({ key: "n:hard", waited: 2000 }))
        expect(yield* Fiber.poll(later)).toEqual(Option.none())
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(later)).toBeInstanceOf(LoadTimeout)
        yield* open
        yield* settle
        expect(yield* exact.get("hard")).toEqual(Option.some(1))
        expect(state).toEqual({ runs: 1, interrupted: 0 })
        expect(yield* exact.getOrElse("hard", effect, options)).toBe(1)
      })
    )

    it.effect("hard: a caller who is interrupted ends the effect, if nobody else waits", () =>
      Effect.gen(function* () {
        const { close, effect, state } = yield* counter
        yield* close
        const caller = yield* Effect.fork(exact.getOrElse("left", effect, { timeout: { hard: "2 seconds" } }))
        yield* settle
        yield* Fiber.interrupt(caller)
        yield* settle
        expect(state).toEqual({ runs: 1, interrupted: 1 })
      })
    )

    it.effect("hard: what succeeds in time is the answer, and a failure is the effect's own", () =>
      Effect.gen(function* () {
        const options = { timeout: { hard: "2 seconds" } } as const
        expect(yield* exact.getOrElse("in time", Effect.succeed(7), options)).toBe(7)
        expect(yield* Effect.flip(exact.getOrElse("fails", Effect.fail("down"), options))).toBe("down")
      })
    )

    it.effect("soft: a new value if it comes soon, the stale one otherwise, while the effect goes on", () =>
      Effect.gen(function* () {
        const { close, effect, open } = yield* counter
        const options = { timeout: { soft: "1 second" } } as const
        yield* exact.getOrElse("soft", Effect.succeed(0))
        yield* TestClock.adjust("1 minute")
        expect(yield* exact.getOrElse("soft", effect, options)).toBe(1)
        yield* TestClock.adjust("1 minute")
        yield* close
        const caller = yield* Effect.fork(exact.getOrElse("soft", effect, options))
        yield* settle
        expect(yield* Fiber.poll(caller)).toEqual(Option.none())
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(caller)).toBe(1)
        yield* open
        yield* settle
        expect(yield* exact.get("soft")).toEqual(Option.some(2))
        yield* TestClock.adjust("1 minute")
        expect(yield* exact.getOrElse("soft", Effect.fail("down"), options)).toBe(2)
      })
    )
  })
})

describe("refresh ahead", () => {
  const ahead = { refreshAhead: true } as const
  /** An effect that takes a second. */
  const slow = Effect.map(counter, ({ effect, state }) => ({
    state,
    effect: Effect.zipLeft(effect, Effect.sleep("1 second"))
  }))
  // With ln(random) = -10, the last ten seconds are the time for it.
  const unlikely = always(Math.exp(-10.01))

  withLayer(inMemory())((it) => {
    it.effect("a value is refreshed before its end, the likelier the nearer; no caller waits", () =>
      Effect.gen(function* () {
        const { effect, state } = yield* slow
        const first = yield* Effect.fork(exact.getOrElse("ahead", effect, ahead))
        yield* settle
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(first)).toBe(1)
        expect(yield* GhostDB.get("n:ahead")).toMatchObject(Option.some({ value: 1, took: 1000 }))
        const lookup = unlikely(exact.getOrElse("ahead", effect, ahead))
        yield* TestClock.adjust("49 seconds")
        expect(yield* lookup).toBe(1)
        yield* settle
        expect(state.runs).toBe(1)
        yield* TestClock.adjust("1 second")
        for (let i = 0; i < 3; i++) expect(yield* lookup).toBe(1)
        yield* settle
        expect(state.runs).toBe(2)
        yield* TestClock.adjust("1 second")
        yield* settle
        expect(yield* exact.get("ahead")).toEqual(Option.some(2))
      })
    )

    it.effect("with a lock, one process refreshes ahead", () =>
      Effect.gen(function* () {
        const { effect, state } = yield* slow
        const options = { ...ahead, lock: true }
        const first = yield* Effect.fork(exact.getOrElse("ahead:lock", effect, options))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(first)
        yield* TestClock.adjust("55 seconds")
        const db = yield* GhostDB
        yield* Effect.forEach([1, 2, 3], () =>
          inProcess(anotherProcess(db))(unlikely(exact.getOrElse("ahead:lock", effect, options)))
        )
        yield* settle
        expect(state.runs).toBe(2)
        yield* TestClock.adjust("1 second")
        yield* settle
        expect(yield* exact.get("ahead:lock")).toEqual(Option.some(2))
      })
    )
  })
})

describe("own options of a value", () => {
  withLayer(inMemory())((it) => {
    it.effect("the effect may see the previous value, also one that is past its time", () =>
      Effect.gen(function* () {
        const seen: Array<Option.Option<number>> = []
        const next = (previous: Option.Option<number>) => {
          seen.push(previous)
          return Effect.succeed(Option.getOrElse(previous, () => 0) + 1)
        }
        const plain = GhostDB.forSchema(Schema.Number, { prefix: "previous:", ttl: 60, expiry: "exact" })
        expect(yield* plain.getOrElse("a", next)).toBe(1)
        yield* TestClock.adjust("60 seconds")
        expect(yield* plain.getOrElse("a", next)).toBe(2)
        yield* TestClock.adjust("60 seconds")
        expect(yield* plain.getOrElse("a", next, { staleFor: "1 minute" })).toBe(2)
        yield* settle
        expect(seen).toEqual([Option.none(), Option.some(1), Option.some(2)])
        yield* GhostDB.put("previous:a", { value: "no number", expiresAt: 0 })
        expect(yield* plain.getOrElse("a", next)).toBe(1)
      })
    )

    it.effect("jitter shortens a TTL by at most its share", () =>
      Effect.gen(function* () {
        const jittered = GhostDB.forSchema(Schema.Number, { prefix: "j:", ttl: 100, expiry: "exact", jitter: 0.2 })
        const keys = Array.from({ length: 50 }, (_, i) => `${i}`)
        yield* Effect.forEach(keys, (key) => jittered.put(key, 1))
        const left = Effect.map(Effect.forEach(keys, jittered.get), (found) => found.filter(Option.isSome).length)
        yield* TestClock.adjust("79 seconds")
        expect(yield* left).toBe(50)
        yield* TestClock.adjust("11 seconds")
        expect(yield* left).toBeGreaterThan(0)
        expect(yield* left).toBeLessThan(50)
        yield* TestClock.adjust("10 seconds")
        expect(yield* left).toBe(0)
      })
    )
  })
})

it.effect("schemas that mean the same, made one by one, share a run; those that do not, do not", () =>
  Effect.gen(function* () {
    class User extends Schema.Class<User>("User")({ id: Schema.Number }) {}
    const lookups = [() => Schema.Array(User), () => Schema.Array(Schema.Union(User, Schema.Never))]
    for (const [at, schema] of lookups.entries()) {
      const { effect, state } = yield* counter
      const user = () =>
        Effect.as(effect, [new User({ id: 1 })]).pipe(
          // A schema of its own for each caller.
          GhostDB.cached(`users:${at}`, {
            schema: schema() as Schema.Schema<ReadonlyArray<User>, ReadonlyArray<{ readonly id: number }>>
          })
        )
      const found = yield* Effect.all(
        Array.from({ length: 100 }, () => Effect.suspend(user)),
        all
      )
      expect(state.runs).toBe(1)
      expect(found.every(([first]) => first instanceof User)).toBe(true)
      // Nobody has another's object.
      expect(new Set(found.map(([first]) => first)).size).toBe(100)
    }
    const { close, effect, open, state } = yield* counter
    yield* close
    const different = yield* Effect.forEach([Schema.Number, Schema.Int, Schema.Number], (schema) =>
      Effect.fork(effect.pipe(GhostDB.cached("number", { schema })))
    )
    yield* settle
    expect(state.runs).toBe(2)
    yield* open
    yield* Effect.forEach(different, Fiber.join)
  }).pipe(Effect.provide(inMemory()))
)
