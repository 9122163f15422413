/** What a traced `getOrElse` leaves: one span, with its outcome. */
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, TestClock } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"
import { all, counter, settle } from "../support/cache.js"
import { anotherProcess, inProcess } from "../support/clusters.js"
import { recording } from "../support/recordedSpans.js"

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 10, expiry: "exact", staleFor: "1 minute" })

const traced = <A, E>(test: (outcomes: () => ReadonlyArray<unknown>) => Effect.Effect<A, E, GhostDB>) => {
  const { layer, spans } = recording()
  const outcomes = () => {
    const own = spans.filter(({ name }) => name === "ghostdb getOrElse")
    expect(own.every(({ ended }) => ended)).toBe(true)
    return own.map(({ attributes }) => attributes.get("ghostdb.cache.outcome"))
  }
  return Effect.gen(function* () {
    yield* test(outcomes)
    const shown = JSON.stringify(spans.map(({ attributes, events, name }) => [name, [...attributes], events]))
    expect(shown).not.toMatch(/secret/)
  }).pipe(Effect.provide(TestCluster.layer({ nodes: 3 }).pipe(Layer.provideMerge(layer))))
}

describe("a traced getOrElse has one span, with its outcome", () => {
  it.effect("miss, hit, stale; a refresh in the background has no such span", () =>
    traced((outcomes) =>
      Effect.gen(function* () {
        const { effect } = yield* counter
        yield* numbers.getOrElse("secret", effect)
        yield* numbers.getOrElse("secret", effect)
        yield* TestClock.adjust("10 seconds")
        expect(yield* numbers.getOrElse("secret", effect)).toBe(1)
        yield* settle
        expect(yield* numbers.getOrElse("secret", effect)).toBe(2)
        expect(outcomes()).toEqual(["miss", "hit", "stale", "hit"])
      })
    )
  )

  it.effect("refreshed, for who has waited for the new value; stale, for who has not waited long enough", () =>
    traced((outcomes) =>
      Effect.gen(function* () {
        const { close, effect, open } = yield* counter
        const timeout = { soft: "1 second" } as const
        yield* numbers.getOrElse("secret", effect)
        yield* TestClock.adjust("10 seconds")
        expect(yield* numbers.getOrElse("secret", effect, { timeout })).toBe(2)
        yield* TestClock.adjust("10 seconds")
        yield* close
        const waiting = yield* Effect.fork(numbers.getOrElse("secret", effect, { timeout }))
        yield* settle
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(waiting)).toBe(2)
        yield* open
        expect(outcomes()).toEqual(["miss", "refreshed", "stale"])
      })
    )
  )

  it.effect("shared, for each who has waited for another's run", () =>
    traced((outcomes) =>
      Effect.gen(function* () {
        const { effect } = yield* counter
        const callers = Array.from({ length: 5 }, () => numbers.getOrElse("secret", Effect.delay(effect, "1 second")))
        const together = yield* Effect.fork(Effect.all(callers, all))
        yield* settle
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(together)).toEqual([1, 1, 1, 1, 1])
        expect(outcomes().toSorted()).toEqual(["miss", "shared", "shared", "shared", "shared"])
      })
    )
  )

  it.effect("negative_hit, timed_out; a span ends with its caller, too", () =>
    traced((outcomes) =>
      Effect.gen(function* () {
        const failure = { schema: Schema.Literal("absent"), ttl: 10 }
        yield* Effect.flip(numbers.getOrElse("absent", Effect.fail("absent" as const), { failure }))
        yield* Effect.flip(numbers.getOrElse("absent", Effect.fail("absent" as const), { failure }))
        const late = numbers.getOrElse("late", Effect.never, { timeout: { hard: "1 second" } })
        const waiting = yield* Effect.fork(Effect.flip(late))
        yield* settle
        yield* TestClock.adjust("1 second")
        expect((yield* Fiber.join(waiting))._tag).toBe("LoadTimeout")
        const running = yield* Deferred.make<void>()
        const leaver = yield* Effect.fork(
          numbers.getOrElse("left", Effect.zipRight(Deferred.succeed(running, undefined), Effect.never))
        )
        yield* Deferred.await(running)
        yield* Fiber.interrupt(leaver)
        expect(outcomes()).toEqual(["miss", "negative_hit", "timed_out", "miss"])
      })
    )
  )

  it.effect("miss, where another process's value was waited for under the lock", () =>
    traced((outcomes) =>
      Effect.gen(function* () {
        const { close, effect, open } = yield* counter
        const other = inProcess(anotherProcess(yield* GhostDB))
        yield* close
        const holder = yield* Effect.fork(other(numbers.getOrElse("secret", effect, { lock: true })))
        yield* settle
        const waiter = yield* Effect.fork(numbers.getOrElse("secret", effect, { lock: true }))
        yield* settle
        yield* open
        yield* Fiber.join(holder)
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(waiter)).toBe(1)
        expect(outcomes()).toEqual(["miss", "miss"])
      })
    )
  )
})

it.effect("without a tracer, or where spans are refused, there is none", () =>
  Effect.gen(function* () {
    const { layer, spans } = recording()
    yield* numbers.getOrElse("a", Effect.succeed(1)).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
    yield* numbers
      .getOrElse("a", Effect.succeed(1))
      .pipe(Effect.provide(TestCluster.layer({ nodes: 1, client: { spans: "never" } })), Effect.provide(layer))
    expect(spans).toEqual([])
  })
)
