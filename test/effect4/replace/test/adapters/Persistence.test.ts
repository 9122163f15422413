/**
 * Replaced, since `effect/persistence` has other classes for keys, and keeps objects. What Effect's own suite asks of a
 * backing, in our words, and what a cluster adds to that.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { Persistable, PersistedCache, Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"
import { GhostDBTest, TestCluster } from "effect-ghostdb"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String }) {}

class GetUser extends Persistable.Class<{ payload: { readonly id: number } }>()("GetUser", {
  primaryKey: ({ id }) => `user:${id}`,
  success: User,
  error: Schema.String
}) {}

const persistence = GhostDBPersistence.layerResult().pipe(Layer.provide(GhostDBTest))

describe("Persistence", () => {
  it.effect("exits come back as they were set, and undefined where there is none", () =>
    Effect.gen(function* () {
      const store = yield* (yield* Persistence.Persistence).make({ storeId: "users" })
      const [one, two] = [new GetUser({ id: 1 }), new GetUser({ id: 2 })]
      expect(yield* store.get(one)).toBe(undefined)
      yield* store.set(one, Exit.succeed(new User({ id: 1, name: "Ada" })))
      yield* store.set(two, Exit.fail("not found"))
      expect(yield* store.getMany([one, two, new GetUser({ id: 3 })])).toEqual([
        Exit.succeed(new User({ id: 1, name: "Ada" })),
        Exit.fail("not found"),
        undefined
      ])
    }).pipe(Effect.provide(persistence))
  )

  it.effect("remove and clear end values, those of other stores stay", () =>
    Effect.gen(function* () {
      const { make } = yield* Persistence.Persistence
      const [users, others] = [yield* make({ storeId: "users" }), yield* make({ storeId: "others" })]
      const [one, two] = [new GetUser({ id: 1 }), new GetUser({ id: 2 })]
      const ada = Exit.succeed(new User({ id: 1, name: "Ada" }))
      yield* Effect.forEach([users, others], (store) => Effect.andThen(store.set(one, ada), store.set(two, ada)))
      yield* users.remove(one)
      expect([yield* users.get(one), yield* users.get(two)]).toEqual([undefined, ada])
      yield* users.clear
      expect([yield* users.get(two), yield* others.get(two)]).toEqual([undefined, ada])
    }).pipe(Effect.provide(persistence))
  )

  it.effect("values end after their time to live", () =>
    Effect.gen(function* () {
      const store = yield* (yield* Persistence.Persistence).make({ storeId: "users", timeToLive: () => "5 seconds" })
      const one = new GetUser({ id: 1 })
      yield* store.set(one, Exit.succeed(new User({ id: 1, name: "Ada" })))
      yield* TestClock.adjust("4999 millis")
      expect(yield* store.get(one)).not.toBe(undefined)
      yield* TestClock.adjust("1 millis")
      expect(yield* store.get(one)).toBe(undefined)
    }).pipe(Effect.provide(persistence))
  )

  it.effect("an outage is a PersistenceError with its cause", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const store = yield* (yield* Persistence.Persistence).make({ storeId: "users" })
      yield* Effect.forEach(cluster.nodes, (node) => cluster.stop(node))
      expect(yield* Effect.flip(store.get(new GetUser({ id: 1 })))).toMatchObject({
        _tag: "PersistenceError",
        cause: { _tag: "NoMoreServers" }
      })
    }).pipe(Effect.provide(GhostDBPersistence.layerResult().pipe(Layer.provideMerge(TestCluster.layer()))))
  )
})

describe("PersistedCache", () => {
  it.effect("a lookup runs once for all processes, until its result has ended", () =>
    Effect.gen(function* () {
      let runs = 0
      const lookup = ({ id }: GetUser) =>
        Effect.sync(() => {
          runs++
          return new User({ id, name: "Ada" })
        })
      const make = PersistedCache.make(lookup, { storeId: "users", timeToLive: () => "60 seconds" })
      const [one, other] = [yield* make, yield* make]
      const key = new GetUser({ id: 1 })
      expect(yield* one.get(key)).toEqual(new User({ id: 1, name: "Ada" }))
      expect(yield* other.get(key)).toEqual(new User({ id: 1, name: "Ada" }))
      expect(runs).toBe(1)
      yield* one.invalidate(key)
      yield* one.get(key)
      expect(runs).toBe(2)
    }).pipe(Effect.provide(persistence))
  )
})
