/** What is done for many keys takes no fiber for each: that would cost more than all the rest. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"
import { FiberCount } from "../support/FiberCount.js"

/** How many fibers an effect starts. */
const fibersOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const count = new FiberCount()
    return Effect.map(count.within(effect), () => count.started)
  })

const User = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  email: Schema.String,
  active: Schema.Boolean,
  score: Schema.NullOr(Schema.Number)
})

const user = { id: 1, name: "Ann", email: "ann@example.org", active: true, score: null }

const keysOf = (count: number) => Array.from({ length: count }, (_, i) => `user-${i}`)

const stores = {
  "expired by the server": GhostDB.forSchema(User, { prefix: "u:", ttl: 60 }),
  "expired exactly": GhostDB.forSchema(User, { prefix: "u:", ttl: 60, expiry: "exact" })
}

const keys = keysOf(1000)

for (const [name, store] of Object.entries(stores)) {
  describe(`a store whose entries are ${name} starts no more fibers than the client`, () => {
    it.effect("for putMany, getMany and deleteMany", () =>
      Effect.gen(function* () {
        yield* GhostDB.get("warm")
        const put = yield* fibersOf(GhostDB.putMany(keys.map((key) => [key, user] as const)))
        const got = yield* fibersOf(GhostDB.getMany(keys))
        const deleted = yield* fibersOf(GhostDB.deleteMany(keys))
        expect(yield* fibersOf(store.putMany(keys.map((key) => [key, user] as const)))).toBe(put)
        expect(yield* fibersOf(store.getSomes(keys))).toBe(got)
        expect(yield* fibersOf(store.deleteMany(keys))).toBe(deleted)
      }).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
    )
  })
}

describe("getOrElseMany starts no more fibers than a lookup, and a write of what is missing", () => {
  const store = stores["expired exactly"]
  const loader = (keys: ReadonlyArray<string>) => Effect.succeed(keys.map((key) => [key, user] as const))

  it.effect("for keys that are missing, and for those that are not", () =>
    Effect.gen(function* () {
      yield* GhostDB.get("warm")
      const got = yield* fibersOf(store.getSomes(keys))
      const put = yield* fibersOf(GhostDB.putMany(keys.map((key) => [key, user] as const)))
      expect(yield* fibersOf(store.getOrElseMany(keys, loader))).toBe(got + put)
      expect(yield* fibersOf(store.getOrElseMany(keys, loader))).toBe(got)
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
  )

  it.effect("for keys that another caller loads, and for a failure that is remembered", () =>
    Effect.gen(function* () {
      yield* GhostDB.get("warm")
      const got = yield* fibersOf(store.getSomes(keys))
      const put = yield* fibersOf(GhostDB.putMany(keys.map((key) => [key, user] as const)))
      const both = Effect.all([store.getOrElseMany(keys, loader), store.getOrElseMany(keys, loader)], {
        concurrency: "unbounded"
      })
      const two = yield* fibersOf(
        Effect.all([Effect.yieldNow(), Effect.yieldNow()], { concurrency: "unbounded", discard: true })
      )
      expect(yield* fibersOf(both)).toBe(got + put + two)
      const failing = store.getOrElseMany(
        keys.map((key) => `no ${key}`),
        () => Effect.fail("no database"),
        { failure: { schema: Schema.String, ttl: 60 } }
      )
      expect(yield* fibersOf(Effect.flip(failing))).toBe(got + put)
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
  )

  it.effect("in an outage", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.get("warm")
      yield* Effect.forEach(cluster.nodes, cluster.stop)
      yield* GhostDB.getMany(keys)
      const got = yield* fibersOf(store.getSomes(keys).pipe(Effect.ignore))
      const values = store.getOrElseMany(keys, loader)
      expect(yield* fibersOf(values)).toBe(got)
      expect((yield* values).size).toBe(keys.length)
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
  )
})
