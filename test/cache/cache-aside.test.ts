import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import {
  Cause,
  Clock,
  Deferred,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  Option,
  Schedule,
  Schema,
  Scope,
  TestClock
} from "effect"
import { ClientMetrics, GhostDB, GhostDBTest, KeyError, NodeServer, NoMoreServers } from "effect-ghostdb"
import * as ReservedKeys from "../../src/cache/ReservedKeys.js"
import { clientOf } from "../support/clients.js"
import { anotherProcess, inMemory, inProcess, Nodes, observedOverHttp } from "../support/clusters.js"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.Number }) {}
class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {}) {}

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 60 })
const exact = GhostDB.forSchema(Schema.Number, { prefix: "exact:", ttl: 60, expiry: "exact" })

/** An effect that counts its runs and gives their number, once it is let go. */
const counter = Effect.gen(function* () {
  const gate = yield* Effect.makeLatch(true)
  const state = { runs: 0, interrupted: 0 }
  const effect = Effect.suspend(() => {
    const run = ++state.runs
    return Effect.onInterrupt(gate.whenOpen(Effect.succeed(run)), () => Effect.sync(() => state.interrupted++))
  })
  return { ...gate, state, effect }
})

/** Lets all that can go on without time go on. */
const settle = Effect.forEach(Array.from({ length: 200 }), () => Effect.yieldNow(), { discard: true })

const all = { concurrency: "unbounded" } as const

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`cache-aside: ${name}`, () => {
    withLayer(layer)((it) => {
      it.effect("1,000 callers of one cold key: one GET, one run, one PUT", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const { effect, state } = yield* counter
          const before = yield* nodes.counts
          const shared = yield* Metric.value(ClientMetrics.cacheAsideShared)
          const callers = Array.from({ length: 1000 }, () => numbers.getOrElse("cold", effect))
          expect(new Set(yield* Effect.all(callers, all))).toEqual(new Set([1]))
          expect(state.runs).toBe(1)
          const after = yield* nodes.counts
          expect([after.get - before.get, after.put - before.put]).toEqual([1, 1])
          expect(yield* numbers.get("cold")).toEqual(Option.some(1))
          expect((yield* Metric.value(ClientMetrics.cacheAsideShared)).count).toBe(shared.count + 999)
        })
      )

      it.effect("a value that is there is returned, and the effect does not run", () =>
        Effect.gen(function* () {
          const hits = yield* Metric.value(ClientMetrics.cacheAsideHits)
          yield* numbers.put("warm", 7)
          expect(yield* numbers.getOrElse("warm", Effect.die("must not run"))).toBe(7)
          expect((yield* Metric.value(ClientMetrics.cacheAsideHits)).count).toBe(hits.count + 1)
        })
      )

      it.effect("cached, in a pipe: the value is stored as its own options say", () =>
        Effect.gen(function* () {
          const { effect, state } = yield* counter
          const cached = effect.pipe(GhostDB.cached("piped", { schema: Schema.Number, ttl: 60 }))
          expect(yield* Effect.all([cached, cached, cached], all)).toEqual([1, 1, 1])
          expect(yield* cached).toBe(1)
          expect(yield* GhostDB.get("piped")).toEqual(Option.some(1))
          yield* TestClock.adjust("61 seconds")
          expect(yield* cached).toBe(2)
          expect(state.runs).toBe(2)
        })
      )

      it.effect("a failure is not stored, by default", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const before = yield* nodes.counts
          let runs = 0
          const failing = Effect.suspend(() => Effect.fail(new NotFound({ id: ++runs })))
          const callers = Array.from({ length: 10 }, () => Effect.flip(numbers.getOrElse("failing", failing)))
          expect(yield* Effect.all(callers, all)).toEqual(Array.from({ length: 10 }, () => new NotFound({ id: 1 })))
          expect(yield* Effect.flip(exact.getOrElse("failing", failing))).toEqual(new NotFound({ id: 2 }))
          expect((yield* nodes.counts).put).toBe(before.put)
          const died = yield* Effect.exit(numbers.getOrElse("failing", Effect.die("broken")))
          expect(died).toEqual(Exit.die("broken"))
        })
      )

      it.effect("a failure of the given schema is remembered for its TTL, and no other", () =>
        Effect.gen(function* () {
          let runs = 0
          const failure = { schema: NotFound, ttl: Duration.millis(500) }
          const lookup = (error: NotFound | Unavailable) =>
            Effect.either(
              exact.getOrElse(
                "negative",
                Effect.suspend(() => {
                  runs++
                  return Effect.fail(error)
                }),
                { failure, staleFor: "1 hour" }
              )
            )
          yield* lookup(new Unavailable())
          yield* lookup(new Unavailable())
          expect(runs).toBe(2)
          yield* lookup(new NotFound({ id: 1 }))
          expect(yield* GhostDB.get("exact:negative")).toEqual(
            Option.some({ failure: { _tag: "NotFound", id: 1 }, expiresAt: (yield* Clock.currentTimeMillis) + 500 })
          )
          yield* TestClock.adjust("499 millis")
          expect(yield* lookup(new NotFound({ id: 2 }))).toEqual(Either.left(new NotFound({ id: 1 })))
          expect(runs).toBe(3)
          // It is no value, and in nobody's way.
          expect(yield* exact.get("negative")).toEqual(Option.none())
          yield* TestClock.adjust("1 millis")
          expect(yield* lookup(new NotFound({ id: 4 }))).toEqual(Either.left(new NotFound({ id: 4 })))
          expect(yield* exact.getOrElse("negative", Effect.succeed(5))).toBe(5)
          expect(yield* exact.getOrElse("negative", Effect.die("must not run"), { failure })).toBe(5)
        })
      )

      it.effect("a remembered failure gives way to an add, and to an effect when it cannot be read", () =>
        Effect.gen(function* () {
          const options = { failure: { schema: NotFound, ttl: 60 } }
          const failing = Effect.fail(new NotFound({ id: 1 }))
          yield* Effect.flip(exact.getOrElse("negative:add", failing, options))
          expect(yield* exact.add("negative:add", 1)).toBe("STORED")
          expect(yield* exact.getOrElse("negative:add", failing, options)).toBe(1)
          yield* Effect.flip(exact.getOrElse("negative:old", failing, options))
          const renamed = { failure: { schema: Unavailable, ttl: 60 } }
          expect(yield* exact.getOrElse("negative:old", Effect.succeed(2), renamed)).toBe(2)
        })
      )

      it.effect("an absence is stored for a TTL of its own", () =>
        Effect.gen(function* () {
          const maybe = GhostDB.forSchema(Schema.OptionFromNullOr(Schema.Number), { prefix: "maybe:", expiry: "exact" })
          const ttl = Option.match({ onNone: () => 5, onSome: () => 60 })
          expect(yield* maybe.getOrElse("a", Effect.succeedNone, { ttl })).toEqual(Option.none())
          expect(yield* maybe.getOrElse("a", Effect.succeedSome(1), { ttl })).toEqual(Option.none())
          yield* TestClock.adjust("5 seconds")
          expect(yield* maybe.getOrElse("a", Effect.succeedSome(2), { ttl })).toEqual(Option.some(2))
          yield* TestClock.adjust("59 seconds")
          expect(yield* maybe.getOrElse("a", Effect.succeedNone, { ttl })).toEqual(Option.some(2))
        })
      )

      it.effect("a key that cannot be used is a KeyError, and the effect does not run", () =>
        Effect.gen(function* () {
          const { effect, state } = yield* counter
          const error = new KeyError({ key: "n:\ud800", reason: "NotWellFormed" })
          expect(yield* Effect.flip(numbers.getOrElse("\ud800", effect))).toEqual(error)
          expect(yield* Effect.flip(numbers.getOrElse("\ud800", effect, { lock: true }))).toEqual(error)
          expect(state.runs).toBe(0)
        })
      )

      it.effect("a value that the schema cannot encode is a defect", () =>
        Effect.gen(function* () {
          const positive = GhostDB.forSchema(Schema.Positive, { prefix: "positive:" })
          const exit = yield* Effect.exit(positive.getOrElse("a", Effect.succeed(-1)))
          expect(Exit.isFailure(exit) && String(Cause.squash(exit.cause))).toMatch(/positive|greater than 0/)
        })
      )
    })
  })
}

describe("cache-aside: interruption", () => {
  it.scopedLive("of the caller that looks up: the others have the value all the same, on two GETs", () =>
    Effect.gen(function* () {
      const [server] = yield* NodeServer.cluster({ nodes: 1 })
      const { node } = server!
      yield* Effect.gen(function* () {
        yield* numbers.put("warm", 7)
        const before = yield* node.commandCounts
        const caller = numbers.getOrElse("warm", Effect.die("must not run"))
        const together = yield* Effect.all(
          Array.from({ length: 100 }, () => caller),
          all
        )
        expect(new Set(together)).toEqual(new Set([7]))
        expect((yield* node.commandCounts).get - before.get).toBe(1)

        const [first, ...others] = yield* Effect.all(Array.from({ length: 100 }, () => Effect.fork(caller)))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(first!)
        expect(new Set(yield* Effect.forEach(others, (fiber) => Fiber.join(fiber)))).toEqual(new Set([7]))
        expect((yield* node.commandCounts).get - before.get).toBeLessThanOrEqual(3)
        const lone = yield* Effect.fork(caller)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(lone)
        expect(yield* caller).toBe(7)
      }).pipe(Effect.provide(clientOf([server!])))
    })
  )

  withLayer(inMemory())((it) => {
    it.effect("where the caller that runs is interrupted, another's effect is run; the last one's ends the run", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        yield* close
        const [first, second] = yield* Effect.all([
          Effect.fork(numbers.getOrElse("shared", effect)),
          Effect.fork(numbers.getOrElse("shared", effect))
        ])
        yield* settle
        expect(state).toEqual({ runs: 1, interrupted: 0 })
        // One that waits leaves the run alone.
        const leaves = yield* Effect.fork(numbers.getOrElse("shared", effect))
        yield* settle
        yield* Fiber.interrupt(leaves)
        expect(state).toEqual({ runs: 1, interrupted: 0 })
        yield* Fiber.interrupt(first)
        const third = yield* Effect.fork(numbers.getOrElse("shared", effect))
        yield* settle
        expect(state).toEqual({ runs: 2, interrupted: 1 })
        yield* open
        expect(yield* Fiber.join(second)).toBe(2)
        expect(yield* Fiber.join(third)).toBe(2)
        expect(state).toEqual({ runs: 2, interrupted: 1 })

        yield* close
        const lone = yield* Effect.all([
          Effect.fork(numbers.getOrElse("given up", effect)),
          Effect.fork(numbers.getOrElse("given up", effect))
        ])
        yield* settle
        yield* Fiber.interruptAll(lone)
        expect(state).toEqual({ runs: 3, interrupted: 2 })
        yield* open
        expect(yield* numbers.getOrElse("given up", effect)).toBe(4)
      })
    )

    it.effect("stores of one schema share, those of two schemas or two clients do not", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const same = GhostDB.forSchema(Schema.Number, { prefix: "n:" })
        const other = GhostDB.forSchema(Schema.Int, { prefix: "n:" })
        const elsewhere = anotherProcess(yield* GhostDB)
        yield* close
        const fibers = yield* Effect.forEach(
          [numbers, same, other]
            .map((store) => store.getOrElse("whose", effect))
            .concat(numbers.getOrElse("whose", effect).pipe(inProcess(elsewhere))),
          (lookup) => Effect.fork(lookup)
        )
        yield* settle
        expect(state.runs).toBe(3)
        yield* open
        const found = yield* Effect.forEach(fibers, Fiber.join)
        expect(found[0]).toBe(found[1])
        expect(new Set(found).size).toBe(3)
      })
    )
  })
})

describe("cache-aside: stale while refreshing", () => {
  const stale = { staleFor: "30 seconds" } as const

  withLayer(inMemory())((it) => {
    it.effect("serves the stale value at once and refreshes it once, in the background", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const staleHits = yield* Metric.value(ClientMetrics.cacheAsideStaleHits)
        expect(yield* exact.getOrElse("swr", effect, stale)).toBe(1)
        yield* TestClock.adjust("59999 millis")
        expect(yield* exact.getOrElse("swr", effect, stale)).toBe(1)
        yield* settle
        expect(state.runs).toBe(1)

        yield* close
        yield* TestClock.adjust("1 millis")
        for (let i = 0; i < 5; i++) {
          expect(
            yield* Effect.all(
              [1, 2, 3].map(() => exact.getOrElse("swr", effect, stale)),
              all
            )
          ).toEqual([1, 1, 1])
          yield* settle
        }
        expect(state.runs).toBe(2)
        // Nodes in memory answer at once, so that none of the lookups is shared.
        expect((yield* Metric.value(ClientMetrics.cacheAsideStaleHits)).count).toBe(staleHits.count + 15)
        // Without staleFor it is a miss, and waits for the refresh that is under way.
        expect(yield* exact.get("swr")).toEqual(Option.none())
        const waiting = yield* Effect.fork(exact.getOrElse("swr", effect))
        yield* settle
        expect(yield* Fiber.poll(waiting)).toEqual(Option.none())
        yield* open
        expect(yield* Fiber.join(waiting)).toBe(2)
        expect(yield* exact.getOrElse("swr", effect, stale)).toBe(2)
        expect(state.runs).toBe(2)
      })
    )

    it.effect("a refresh that fails leaves the stale value, and the next caller tries again; then it is over", () =>
      Effect.gen(function* () {
        yield* exact.getOrElse("swr:fails", Effect.succeed(1), stale)
        yield* TestClock.adjust("60 seconds")
        let runs = 0
        const failing = Effect.suspend(() => Effect.fail(new NotFound({ id: ++runs })))
        for (let i = 1; i <= 3; i++) {
          expect(yield* exact.getOrElse("swr:fails", failing, stale)).toBe(1)
          yield* settle
          expect(runs).toBe(i)
        }
        yield* TestClock.adjust("29999 millis")
        expect(yield* exact.getOrElse("swr:fails", failing, stale)).toBe(1)
        yield* settle
        yield* TestClock.adjust("1 millis")
        expect(yield* Effect.flip(exact.getOrElse("swr:fails", failing, stale))).toEqual(new NotFound({ id: 5 }))
      })
    )

    it.effect("the server keeps a value for as long as it may be served stale", () =>
      Effect.gen(function* () {
        const long = { staleFor: "1 hour" } as const
        yield* exact.getOrElse("swr:long", Effect.succeed(1), long)
        yield* TestClock.adjust("60 minutes")
        expect(yield* exact.getOrElse("swr:long", Effect.fail("down"), long)).toBe(1)
        yield* TestClock.adjust("1 minute")
        expect(yield* Effect.flip(exact.getOrElse("swr:long", Effect.fail("down"), long))).toBe("down")
      })
    )

    it.effect("a refresh outlives the caller that began it", () =>
      Effect.gen(function* () {
        const { close, effect, open } = yield* counter
        yield* exact.getOrElse("swr:caller", effect, stale)
        yield* TestClock.adjust("60 seconds")
        yield* close
        yield* Fiber.join(yield* Effect.fork(exact.getOrElse("swr:caller", effect, stale)))
        yield* settle
        yield* open
        yield* settle
        expect(yield* exact.get("swr:caller")).toEqual(Option.some(2))
      })
    )

    it.effect("one process refreshes while it has the lock", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const { close, effect, open, state } = yield* counter
        const options = { ...stale, lock: true }
        const elsewhere = inProcess(anotherProcess(yield* GhostDB))
        yield* exact.getOrElse("swr:lock", effect, options)
        yield* TestClock.adjust("60 seconds")
        yield* close
        expect(yield* exact.getOrElse("swr:lock", effect, options)).toBe(1)
        yield* settle
        // While one is under way in this process, the others cost a look at the value and nothing else.
        const { get } = yield* nodes.counts
        for (let i = 0; i < 5; i++) {
          expect(yield* exact.getOrElse("swr:lock", effect, options)).toBe(1)
          yield* settle
        }
        expect((yield* nodes.counts).get).toBe(get + 5)
        expect(yield* elsewhere(exact.getOrElse("swr:lock", effect, options))).toBe(1)
        yield* settle
        expect(state.runs).toBe(2)
        yield* open
        yield* settle
        expect(yield* GhostDB.get(ReservedKeys.lock("exact:swr:lock"))).toEqual(Option.none())
        expect(yield* elsewhere(exact.getOrElse("swr:lock", effect, options))).toBe(2)
        expect(state.runs).toBe(2)
      })
    )

    it.effect("a process that gets the lock only after another's refresh leaves it at that", () =>
      Effect.gen(function* () {
        const { effect, state } = yield* counter
        const options = { ...stale, lock: true }
        const latch = yield* Effect.makeLatch(false)
        const late = inProcess(
          anotherProcess(yield* GhostDB, (_, key, command) =>
            ReservedKeys.isVolatile(key) ? latch.whenOpen(command) : command
          )
        )
        yield* exact.getOrElse("swr:late", effect, options)
        yield* TestClock.adjust("60 seconds")
        expect(yield* late(exact.getOrElse("swr:late", effect, options))).toBe(1)
        yield* settle
        expect(yield* exact.getOrElse("swr:late", effect, options)).toBe(1)
        yield* settle
        expect(state.runs).toBe(2)
        yield* latch.open
        yield* settle
        expect(state.runs).toBe(2)
        expect(yield* GhostDB.get(ReservedKeys.lock("exact:swr:late"))).toEqual(Option.none())
      })
    )
  })

  it.effect("a refresh ends with the client's layer", () =>
    Effect.gen(function* () {
      const { close, effect, state } = yield* counter
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(GhostDBTest, scope)
      const lookup = Effect.provide(exact.getOrElse("swr:layer", effect, stale), context)
      yield* lookup
      yield* TestClock.adjust("60 seconds")
      yield* close
      yield* lookup
      yield* settle
      expect(state).toEqual({ runs: 2, interrupted: 0 })
      yield* Scope.close(scope, Exit.void)
      yield* settle
      expect(state).toEqual({ runs: 2, interrupted: 1 })
    })
  )
})

describe("cache-aside: the lock", () => {
  const lock = { lease: "10 seconds", wait: "5 seconds", poll: Schedule.spaced("100 millis") } as const

  withLayer(inMemory())((it) => {
    const twoProcesses = Effect.map(
      GhostDB,
      (db) => [inProcess(anotherProcess(db)), inProcess(anotherProcess(db))] as const
    )

    it.effect("one process computes, the other waits for what it stores", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const [one, two] = yield* twoProcesses
        yield* close
        const first = yield* Effect.fork(one(numbers.getOrElse("lock", effect, { lock })))
        yield* settle
        const second = yield* Effect.fork(two(numbers.getOrElse("lock", effect, { lock })))
        yield* settle
        yield* TestClock.adjust("4 seconds")
        expect(state.runs).toBe(1)
        expect(yield* Fiber.poll(second)).toEqual(Option.none())
        yield* open
        expect(yield* Fiber.join(first)).toBe(1)
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(second)).toBe(1)
        expect(state.runs).toBe(1)
        expect(yield* GhostDB.get(ReservedKeys.lock("n:lock"))).toEqual(Option.none())
      })
    )

    it.effect("where the holder fails or is interrupted, the other computes as soon as it looks again", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const [one, two] = yield* twoProcesses
        yield* close
        const first = yield* Effect.fork(
          one(numbers.getOrElse("lock:fails", Effect.zipRight(effect, Effect.fail("no")), { lock }))
        )
        yield* settle
        const second = yield* Effect.fork(two(numbers.getOrElse("lock:fails", effect, { lock })))
        yield* settle
        yield* open
        expect(yield* Effect.flip(Fiber.join(first))).toBe("no")
        expect(state.runs).toBe(1)
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(second)).toBe(2)

        yield* close
        const third = yield* Effect.fork(one(numbers.getOrElse("lock:interrupted", effect, { lock })))
        yield* settle
        const fourth = yield* Effect.fork(two(numbers.getOrElse("lock:interrupted", effect, { lock })))
        yield* settle
        yield* Fiber.interrupt(third)
        yield* open
        yield* TestClock.adjust("100 millis")
        expect(yield* Fiber.join(fourth)).toBe(4)
      })
    )

    it.effect("a holder that died counts until its lease is over; then one of those who look takes its place", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const db = yield* GhostDB
        let alive = true
        // A process that is gone sends nothing any more, not even what releases its lock.
        const mortal = inProcess(anotherProcess(db, (_, __, command) => (alive ? command : Effect.never)))
        const [one, two] = yield* twoProcesses
        const patient = { lock: { ...lock, poll: Schedule.spaced("2 seconds"), wait: "1 minute" } } as const
        yield* close
        yield* Effect.forkDaemon(mortal(numbers.getOrElse("lock:dies", effect, { lock })))
        yield* settle
        alive = false
        expect(state.runs).toBe(1)
        const others = yield* Effect.forEach([one, two], (process) =>
          Effect.fork(process(numbers.getOrElse("lock:dies", effect, patient)))
        )
        yield* settle
        // Looking puts the server's own TTL off forever; the deadline is in the value.
        yield* TestClock.adjust("9900 millis")
        expect(state.runs).toBe(1)
        yield* TestClock.adjust("200 millis")
        expect(state.runs).toBe(2)
        yield* open
        yield* TestClock.adjust("2 seconds")
        expect(new Set(yield* Effect.forEach(others, Fiber.join))).toEqual(new Set([2]))
        expect(state.runs).toBe(2)
      })
    )

    it.effect("nobody waits longer than `wait`", () =>
      Effect.gen(function* () {
        const { close, effect, open, state } = yield* counter
        const [one, two] = yield* twoProcesses
        yield* close
        const first = yield* Effect.fork(one(numbers.getOrElse("lock:wait", effect, { lock })))
        yield* settle
        const seldom = { lock: { ...lock, poll: Schedule.spaced("1 second") } } as const
        const second = yield* Effect.fork(two(numbers.getOrElse("lock:wait", Effect.succeed(100), seldom)))
        yield* settle
        yield* TestClock.adjust("4900 millis")
        expect(yield* Fiber.poll(second)).toEqual(Option.none())
        yield* TestClock.adjust("200 millis")
        expect(yield* Fiber.join(second)).toBe(100)
        expect(state.runs).toBe(1)
        yield* open
        expect(yield* Fiber.join(first)).toBe(1)
      })
    )

    it.effect("who outlasts its lease leaves its successor's lock alone", () =>
      Effect.gen(function* () {
        const one = yield* counter
        const two = yield* counter
        const [first, second] = yield* twoProcesses
        const patient = { lock: { ...lock, poll: Schedule.spaced("2 seconds"), wait: "1 minute" } } as const
        yield* Effect.zip(one.close, two.close)
        const slow = yield* Effect.fork(first(numbers.getOrElse("lock:lease", one.effect, { lock })))
        yield* settle
        const successor = yield* Effect.fork(second(numbers.getOrElse("lock:lease", two.effect, patient)))
        yield* settle
        yield* TestClock.adjust("10100 millis")
        expect([one.state.runs, two.state.runs]).toEqual([1, 1])
        const held = yield* GhostDB.get(ReservedKeys.lock("n:lock:lease"))
        yield* one.open
        yield* Fiber.join(slow)
        expect(yield* GhostDB.get(ReservedKeys.lock("n:lock:lease"))).toEqual(held)
        yield* two.open
        yield* Fiber.join(successor)
        yield* settle
        expect(yield* GhostDB.get(ReservedKeys.lock("n:lock:lease"))).toEqual(Option.none())
      })
    )

    it.effect("a lock whose reply was lost is one's own", () =>
      Effect.gen(function* () {
        const { effect } = yield* counter
        const db = yield* GhostDB
        let lost = 0
        const unlucky = anotherProcess(db, (command, _, effect) =>
          command === "add"
            ? Effect.zipRight(
                Effect.sync(() => lost++),
                Effect.zipRight(effect, effect)
              )
            : effect
        )
        expect(yield* numbers.getOrElse("lock:lost", effect, { lock }).pipe(inProcess(unlucky))).toBe(1)
        expect(lost).toBe(1)
        yield* settle
        expect(yield* GhostDB.get(ReservedKeys.lock("n:lock:lost"))).toEqual(Option.none())
      })
    )

    it.effect("a client that fails open makes nobody wait for a lock that cannot be had", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const { effect } = yield* counter
        yield* nodes.stop
        expect(yield* numbers.getOrElse("lock:open", effect, { lock }).pipe(GhostDB.failOpen)).toBe(1)
        yield* nodes.start
        yield* TestClock.adjust("1 minute")
      })
    )

    it.effect("what stands in the place of a lock and is none is never deleted", () =>
      Effect.gen(function* () {
        yield* GhostDB.put(ReservedKeys.lock("n:lock:foreign"), "somebody's value")
        const lookup = yield* Effect.fork(numbers.getOrElse("lock:foreign", Effect.succeed(1), { lock }))
        yield* settle
        yield* TestClock.adjust("6 seconds")
        expect(yield* Fiber.join(lookup)).toBe(1)
        expect(yield* GhostDB.get(ReservedKeys.lock("n:lock:foreign"))).toEqual(Option.some("somebody's value"))
      })
    )

    it.effect("an outage of the lock is one of the cache: the effect runs, or it is a NoMoreServers", () =>
      Effect.gen(function* () {
        const { effect, state } = yield* counter
        const down = inProcess(
          anotherProcess(yield* GhostDB, (_, key, command) =>
            ReservedKeys.isVolatile(key)
              ? Effect.zipRight(Effect.fail(new NoMoreServers({ failures: [] }) as never), command)
              : command
          )
        )
        expect(yield* down(numbers.getOrElse("lock:outage", effect, { lock }))).toBe(1)
        // Nobody waits for it, but it is stored.
        yield* Effect.repeat(numbers.get("lock:outage"), { until: Option.contains(1) })
        const error = yield* Effect.flip(
          down(numbers.getOrElse("lock:outage:fail", effect, { lock, onOutage: "fail" }))
        )
        expect(error._tag).toBe("NoMoreServers")
        expect(state.runs).toBe(1)
      })
    )
  })

  it.scopedLive("over HTTP, two clients of one cluster", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      const started = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      let runs = 0
      const effect = Effect.suspend(() => {
        runs++
        return Effect.zipRight(Deferred.succeed(started, undefined), Effect.as(Deferred.await(release), 42))
      })
      const lookup = Effect.provide(numbers.getOrElse("lock", effect, { lock: true }), clientOf(servers))
      const first = yield* Effect.fork(lookup)
      yield* Deferred.await(started)
      const others = yield* Effect.forEach([1, 2, 3], () => Effect.fork(lookup))
      // They have looked at the lock, and found it held.
      yield* Effect.repeat(
        Effect.forEach(servers, ({ node }) => node.commandCounts),
        {
          until: (counts) => counts.reduce((sum, { get }) => sum + get, 0) >= 3 + 3 * 3,
          schedule: Schedule.spaced("5 millis")
        }
      )
      yield* Deferred.succeed(release, undefined)
      expect(yield* Effect.forEach([first, ...others], Fiber.join)).toEqual([42, 42, 42, 42])
      expect(runs).toBe(1)
    })
  )
})

describe("cache-aside: an outage", () => {
  const logged = Effect.gen(function* () {
    const messages: Array<string> = []
    const logger = Logger.make(({ message }) => {
      messages.push(String(Array.isArray(message) ? message[0] : message))
    })
    return { messages, layer: Logger.replace(Logger.defaultLogger, logger) }
  })

  withLayer(inMemory())((it) => {
    it.effect("the effect runs and nothing is stored; counted, and logged once a minute", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const { layer, messages } = yield* logged
        const { effect, state } = yield* counter
        const outages = Effect.map(Metric.value(ClientMetrics.outages), ({ count }) => count)
        const before = yield* outages
        const ours = () => messages.filter((message) => message.includes("without the cache")).length
        yield* Effect.gen(function* () {
          yield* nodes.stop
          for (let i = 1; i <= 10; i++) expect(yield* numbers.getOrElse("outage", effect)).toBe(i)
          expect(yield* effect.pipe(GhostDB.cached("outage", { schema: Schema.NumberFromString }))).toBe(11)
          expect(state.runs).toBe(11)
          expect(ours()).toBe(1)
          yield* TestClock.adjust("1 minute")
          yield* numbers.getOrElse("outage", effect)
          expect(ours()).toBe(2)
          expect(yield* outages).toBe(before + 12)
          yield* nodes.start
          yield* TestClock.adjust("1 minute")
          expect(yield* numbers.getOrElse("outage", effect)).toBe(13)
          expect(yield* numbers.get("outage")).toEqual(Option.some(13))
          expect(yield* outages).toBe(before + 12)
        }).pipe(Effect.provide(layer))
      })
    )

    it.effect('with onOutage: "fail" it is a NoMoreServers, of the lookup and of the store', () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const down = (commands: ReadonlyArray<string>) =>
          inProcess(
            anotherProcess(db, (command, _, effect) =>
              commands.includes(command)
                ? Effect.zipRight(Effect.fail(new NoMoreServers({ failures: [] }) as never), effect)
                : effect
            )
          )
        const { effect, state } = yield* counter
        const lookup = numbers.getOrElse("outage:fail", effect, { onOutage: "fail" })
        expect((yield* Effect.flip(down(["get"])(lookup)))._tag).toBe("NoMoreServers")
        expect(state.runs).toBe(0)
        expect((yield* Effect.flip(down(["put"])(lookup)))._tag).toBe("NoMoreServers")
        expect(state.runs).toBe(1)
        expect(yield* down(["put"])(numbers.getOrElse("outage:fail", effect))).toBe(2)
      })
    )

    it.effect("callers that differ in what they make of an outage, or of a broken entry, share no lookup", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const down = inProcess(
          anotherProcess(db, (_, __, effect) =>
            Effect.zipRight(Effect.fail(new NoMoreServers({ failures: [] }) as never), effect)
          )
        )
        const { effect } = yield* counter
        const [run, fail] = yield* Effect.all(
          [
            Effect.either(down(numbers.getOrElse("outage:both", effect))),
            Effect.either(down(numbers.getOrElse("outage:both", effect, { onOutage: "fail" })))
          ],
          all
        )
        expect([run._tag, fail._tag]).toEqual(["Right", "Left"])

        yield* GhostDB.put("n:broken", "no number")
        const lenient = GhostDB.forSchema(Schema.Number, { prefix: "n:", onDecodeError: "miss" })
        const [strict, put] = yield* Effect.all(
          [Effect.either(numbers.getOrElse("broken", effect)), Effect.either(lenient.getOrElse("broken", effect))],
          all
        )
        expect([strict._tag, put._tag]).toEqual(["Left", "Right"])
      })
    )

    it.effect("a NoMoreServers of the effect itself is its failure, and no outage of this cache", () =>
      Effect.gen(function* () {
        let runs = 0
        const error = new NoMoreServers({ failures: [] })
        const effect = Effect.suspend(() => {
          runs++
          return Effect.fail(error)
        })
        const before = yield* Metric.value(ClientMetrics.outages)
        expect(yield* Effect.flip(numbers.getOrElse("outage:own", effect))).toBe(error)
        expect(yield* Effect.flip(numbers.getOrElse("outage:own", effect, { lock: true }))).toBe(error)
        expect(runs).toBe(2)
        expect((yield* Metric.value(ClientMetrics.outages)).count).toBe(before.count)
      })
    )
  })
})
