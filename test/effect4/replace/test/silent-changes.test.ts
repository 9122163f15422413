/** What type-checks in Effect 4 as it did in Effect 3, and would behave otherwise. Each fails without its mend. */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Latch, Layer, Metric, Option, Stream } from "effect"
import { ClientMetrics, GhostDB, TestCluster } from "effect-ghostdb"
import * as Immediate from "../src/cache/Immediate.js"
import * as Intent from "../src/cache/Intent.js"
import * as Lacking from "../src/model/Lacking.js"
import * as Clocks from "./support/Clocks.js"

describe("metrics", () => {
  it.effect("a client counts in the registry of the context that it is made in, and nowhere else", () =>
    Effect.gen(function* () {
      const hits = Effect.map(Metric.value(ClientMetrics.operations("get", "hit")), ({ count }) => count)
      const sent = Effect.map(Metric.value(ClientMetrics.cacheAsideMisses), ({ count }) => count)
      const before = [yield* hits, yield* sent]
      const own = new Map()
      const inOwn = Effect.provideService(Metric.MetricRegistry, own)
      const layer = Layer.provide(TestCluster.layer(), Layer.succeed(Metric.MetricRegistry, own))
      yield* Effect.gen(function* () {
        yield* GhostDB.put("a", 1)
        yield* GhostDB.get("a")
      }).pipe(Effect.provide(layer))
      expect([yield* hits, yield* sent]).toEqual(before)
      expect(yield* inOwn(hits)).toBe(1)
    })
  )

  it.effect("two clients do not share what they count", () =>
    Effect.gen(function* () {
      const hitsIn = (registry: Map<string, never>) =>
        Effect.provideService(Metric.value(ClientMetrics.operations("get", "hit")), Metric.MetricRegistry, registry)
      const use = (registry: Map<string, never>, times: number) =>
        Effect.gen(function* () {
          yield* GhostDB.put("a", 1)
          for (let i = 0; i < times; i++) yield* GhostDB.get("a")
        }).pipe(Effect.provide(Layer.provide(TestCluster.layer(), Layer.succeed(Metric.MetricRegistry, registry))))
      const [first, second] = [new Map<string, never>(), new Map<string, never>()]
      yield* use(first, 2)
      yield* use(second, 3)
      expect([(yield* hitsIn(first)).count, (yield* hitsIn(second)).count]).toEqual([2, 3])
    })
  )
})

describe("intents", () => {
  it.effect("a fiber does not inherit the intent of the one that forked it", () =>
    Intent.run(
      { storing: true },
      Effect.gen(function* () {
        const own = yield* Intent.current
        const forked = yield* Fiber.join(yield* Effect.forkChild(Intent.current))
        const [concurrent] = yield* Effect.all([Intent.current, Intent.current], { concurrency: 2 })
        expect([own, forked, concurrent]).toEqual([{ storing: true }, {}, {}])
      })
    )
  )

  it.effect("one within another adds to it, and ends with its commands", () =>
    Effect.gen(function* () {
      const inner = Intent.run({ fresh: true }, Intent.current)
      expect(yield* Intent.run({ strict: true }, inner)).toEqual({ strict: true, fresh: true })
      expect(yield* Intent.current).toEqual({})
    })
  )
})

describe("interruption", () => {
  it.effect("a stream that is interrupted is not taken for one that failed", () =>
    Effect.gen(function* () {
      let seen = 0
      const stream = Stream.fromEffect(Effect.interrupt).pipe(
        Lacking.catchFailure(() => {
          seen++
          return Stream.empty
        })
      )
      const exit = yield* Effect.exit(Stream.runDrain(stream))
      expect([seen, Exit.hasInterrupts(exit)]).toEqual([0, true])
      const failed = Stream.fail("no").pipe(Lacking.catchFailure(() => Stream.succeed("mended")))
      expect(yield* Stream.runCollect(failed)).toEqual(["mended"])
    })
  )

  it.live("whoever is interrupted does not wait for work that does not let itself be interrupted", () =>
    Effect.gen(function* () {
      const latch = yield* Latch.make()
      const started = yield* Deferred.make<void>()
      const stubborn = Effect.uninterruptible(Effect.andThen(Deferred.succeed(started, undefined), latch.await))
      const fiber = yield* Effect.forkChild(Lacking.disconnect(stubborn))
      yield* Deferred.await(started)
      // It would wait forever: the latch is opened after it.
      yield* Fiber.interrupt(fiber)
      yield* latch.open
      expect(Exit.hasInterrupts(yield* Fiber.await(fiber))).toBe(true)
    })
  )
})

describe("time", () => {
  it.effect("is that of the monotonic clock: a wall clock that is set meanwhile ends no command", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let wall = 0
      const jumping = Clocks.make({
        wall: () => (wall += 3_600_000),
        monotonic: () => clock.monotonicTimeNanosUnsafe(),
        sleep: (duration) => clock.sleep(duration)
      })
      const both = Effect.gen(function* () {
        yield* GhostDB.put("a", 1)
        return [yield* GhostDB.get("a"), (yield* GhostDB.getMany(["a"])).get("a")]
      })
      const provided = Effect.provideService(Effect.provide(both, TestCluster.layer()), Clock.Clock, jumping)
      expect(yield* provided).toMatchObject([Option.some(1), { _tag: "Success" }])
    })
  )
})

describe("those who wait", () => {
  it.effect("go on once the code that lets them has done its work", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const latch = yield* Latch.make()
      const deferred = yield* Deferred.make<string>()
      const wait = <A>(name: string, until: Effect.Effect<A>) =>
        Effect.forkChild(
          Effect.map(until, () => lines.push(name)),
          { startImmediately: true }
        )
      const fibers = [yield* wait("latch", latch.await), yield* wait("deferred", Deferred.await(deferred))]
      Lacking.openLater(latch)
      Lacking.doneLater(deferred, Exit.succeed("first"))
      Lacking.doneLater(deferred, Exit.succeed("second"))
      expect([latch.isOpen(), Deferred.isDoneUnsafe(deferred)]).toEqual([true, true])
      lines.push("work")
      yield* Fiber.awaitAll(fibers)
      expect(lines).toEqual(["work", "latch", "deferred"])
      expect(yield* Deferred.await(deferred)).toBe("first")
    })
  )
})

describe("results that are effects", () => {
  it("an exit with a defect is no result: the effect has to run for it", () => {
    expect(Immediate.resultOf(Exit.die("defect"))).toBe(undefined)
    expect(Immediate.resultOf(Exit.succeed(1))).toMatchObject({ _tag: "Success", success: 1 })
    expect(Immediate.resultOf(Exit.fail("no"))).toMatchObject({ _tag: "Failure", failure: "no" })
    expect(Immediate.resultOf(Effect.sync(() => 1))).toBe(undefined)
  })
})
