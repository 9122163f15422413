/** A near cache holds nothing longer than it lives, and stands in nobody's way. */
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Schema, TestClock } from "effect"
import { GhostDB, type GhostDBService, Invalidations, NearCache, type NearCacheOptions } from "effect-ghostdb"
import { counter, settle } from "../support/cache.js"
import { anotherProcess, inMemory, inProcess, Nodes } from "../support/clusters.js"

const exact = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 5, expiry: "exact" })
const server = GhostDB.forSchema(Schema.Number, { prefix: "s:", ttl: 5 })

/** Another process behind a near cache of its own. */
const process = (db: GhostDBService, options: Partial<NearCacheOptions> = {}) =>
  Effect.map(
    Effect.provideService(
      Layer.build(NearCache.layer({ capacity: 100, ttl: 30, ...options })),
      GhostDB,
      anotherProcess(db)
    ),
    (context) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(effect, context)
  )

describe("near cache", () => {
  withLayer(inMemory())((it) => {
    it.scoped("an entry is not near for longer than it lives", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const near = yield* process(db)
        yield* exact.put("a", 1)
        yield* server.put("a", 1)
        yield* near(GhostDB.put("own", 1, 5))
        yield* near(GhostDB.add("added", 1, 5))
        yield* near(GhostDB.putMany([["many", 1]], { ttl: 5 }))
        yield* near(GhostDB.addMany([["added many", 1]], { ttl: 5 }))
        // What is there already keeps its time.
        yield* near(GhostDB.add("added", 2, 60))
        yield* near(GhostDB.addMany([["added many", 2]], { ttl: 60 }))
        const own = ["own", "added", "many", "added many"].map(GhostDB.get)
        const read = near(Effect.all([exact.get("a"), server.get("a"), ...own]))
        expect(yield* read).toEqual([1, 1, 1, 1, 1, 1].map(Option.some))
        yield* TestClock.adjust("4999 millis")
        expect(yield* read).toEqual([1, 1, 1, 1, 1, 1].map(Option.some))
        yield* TestClock.adjust("1001 millis")
        expect(yield* read).toEqual([1, 1, 1, 1, 1, 1].map(() => Option.none()))
      })
    )

    it.scoped("8 processes with near caches and a lock: one refreshes, and all see its value", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const { effect, state } = yield* counter
        const slow = Effect.zipLeft(effect, Effect.sleep("1 second"))
        const processes = yield* Effect.forEach(Array.from({ length: 8 }), () => process(db))
        const options = { lock: true, staleFor: "1 minute" } as const
        const ask = Effect.forEach(processes, (near) => near(exact.getOrElse("refreshed", slow, options)), {
          concurrency: "unbounded"
        })
        const first = yield* Effect.fork(ask)
        yield* settle
        yield* TestClock.adjust("2 seconds")
        expect(yield* Fiber.join(first)).toEqual(Array.from({ length: 8 }, () => 1))
        yield* TestClock.adjust("5 seconds")
        expect(yield* ask).toEqual(Array.from({ length: 8 }, () => 1))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* settle
        expect(state.runs).toBe(2)
        expect(yield* ask).toEqual(Array.from({ length: 8 }, () => 2))
        expect(state.runs).toBe(2)
      })
    )

    it.scoped("100 cold gets at once are one request", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const db = yield* GhostDB
        yield* db.put("cold", 1)
        const before = yield* nodes.counts
        // A request takes a moment, as over a network.
        const slow = { ...db, get: (key: string) => Effect.zipRight(Effect.yieldNow(), db.get(key)) }
        const near = yield* process(slow)
        const gets = Effect.forEach(Array.from({ length: 100 }), () => GhostDB.get("cold"), {
          concurrency: "unbounded"
        })
        expect(new Set((yield* near(gets)).map(Option.getOrNull))).toEqual(new Set([1]))
        expect((yield* nodes.counts).get - before.get).toBe(1)
      })
    )

    it.scoped("a put that was interrupted and is carried out later is seen", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        // The node gets to the request after its caller has gone.
        const late = {
          ...db,
          put: ((key, value, ttl) =>
            Effect.zipRight(
              Effect.forkDaemon(Effect.delay(db.put(key, value, ttl), "3 seconds")),
              Effect.never
            )) as typeof db.put
        }
        const near = yield* process(late)
        yield* db.put("late", "old")
        const put = yield* Effect.fork(near(GhostDB.put("late", "new")))
        yield* settle
        yield* Fiber.interrupt(put)
        expect(yield* near(GhostDB.get("late"))).toEqual(Option.some("old"))
        yield* TestClock.adjust("3 seconds")
        expect(yield* near(GhostDB.get("late"))).toEqual(Option.some("new"))
      })
    )

    it.scoped("absences are held for their own TTL, if it is given", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const db = yield* GhostDB
        const near = yield* process(db, { absenceTtl: Duration.seconds(2) })
        const before = (yield* nodes.counts).get
        for (let i = 0; i < 3; i++) expect(yield* near(GhostDB.get("absent"))).toEqual(Option.none())
        expect((yield* nodes.counts).get - before).toBe(1)
        yield* db.put("absent", 1)
        yield* TestClock.adjust("2 seconds")
        expect(yield* near(GhostDB.get("absent"))).toEqual(Option.some(1))
        yield* near(GhostDB.delete("absent"))
        expect(yield* near(GhostDB.get("absent"))).toEqual(Option.none())
        yield* near(GhostDB.put("absent", 2))
        expect(yield* near(GhostDB.get("absent"))).toEqual(Option.some(2))
      })
    )

    it.scoped("holds no more bytes than it may", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const context = yield* Layer.build(NearCache.layer({ capacity: 1000, maxBytes: 10_000, ttl: 30 }))
        const nearCache = yield* Effect.provide(NearCache, context)
        const keys = Array.from({ length: 20 }, (_, i) => `large:${i}`)
        yield* Effect.forEach(keys, (key) => db.put(key, "x".repeat(1000)))
        yield* db.put("large", "x".repeat(10_000))
        yield* Effect.provide(Effect.forEach([...keys, "large"], GhostDB.get), context)
        const { size } = yield* nearCache.stats
        expect(size).toBeGreaterThanOrEqual(3)
        expect(size).toBeLessThanOrEqual(5)
        expect(yield* nearCache.bytes).toBeLessThanOrEqual(10_000)
        yield* nearCache.clear
        expect(yield* nearCache.bytes).toBe(0)
      })
    )

    it.scoped("invalidations tell other processes of writes, flushes and expired tags", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        const invalidations = yield* Invalidations.inProcess
        const [one, two] = yield* Effect.all([process(db, { invalidations }), process(db, { invalidations })])
        const deaf = yield* process(db)
        yield* settle
        const tagged = GhostDB.forSchema(Schema.Number, { prefix: "t:", ttl: 600, expiry: "exact", tags: ["tag"] })
        yield* db.put("told", 1)
        yield* tagged.put("a", 1)
        const read = Effect.all([GhostDB.get("told"), tagged.get("a")])
        for (const near of [one, two, deaf]) expect(yield* near(read)).toEqual([Option.some(1), Option.some(1)])
        yield* one(GhostDB.put("told", 2))
        yield* one(GhostDB.expireTags(["tag"]))
        yield* settle
        expect(yield* two(read)).toEqual([Option.some(2), Option.none()])
        expect(yield* deaf(read)).toEqual([Option.some(1), Option.some(1)])
        yield* one(GhostDB.flush)
        yield* settle
        expect(yield* two(read)).toEqual([Option.none(), Option.none()])
      })
    )

    it.scoped("a channel that fails or hangs holds up nobody", () =>
      Effect.gen(function* () {
        const invalidations = yield* Invalidations.inProcess
        for (const publish of [() => Effect.die("broken"), () => Effect.never]) {
          const near = yield* process(yield* GhostDB, { invalidations: { ...invalidations, publish } })
          expect(yield* near(GhostDB.put("channel", 1))).toBe("STORED")
        }
      })
    )
  })
})

it.effect("nodes that answer late: a lock holds nobody up beyond its wait, nor when he leaves", () =>
  Effect.gen(function* () {
    const db = yield* GhostDB
    const late = anotherProcess(db, (_, __, command) => Effect.delay(command, "2 seconds"))
    const started = yield* TestClock.currentTimeMillis
    const lookup = yield* Effect.fork(
      inProcess(late)(server.getOrElse("late", Effect.succeed(1), { lock: { wait: "5 seconds" } }))
    )
    let ended = 0
    yield* Effect.fork(
      Effect.zipRight(
        Fiber.join(lookup),
        Effect.flatMap(TestClock.currentTimeMillis, (now) =>
          Effect.sync(() => {
            ended = now - started
          })
        )
      )
    )
    for (let i = 0; i < 40; i++) {
      yield* settle
      yield* TestClock.adjust("500 millis")
    }
    yield* settle
    // The lookup, the wait, and the put of the value; not the release.
    expect(ended).toBeLessThanOrEqual(2000 + 5000 + 2000 + 500)
    expect(ended).toBeGreaterThan(0)

    const leaver = yield* Effect.fork(
      inProcess(late)(server.getOrElse("leaver", Effect.never, { lock: { wait: "5 seconds" } }))
    )
    for (let i = 0; i < 20; i++) {
      yield* settle
      yield* TestClock.adjust("500 millis")
    }
    // Without any time passing.
    yield* Fiber.interrupt(leaver)
  }).pipe(Effect.provide(inMemory()))
)
