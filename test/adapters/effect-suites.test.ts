/**
 * What Effect asks of a `KeyValueStore`, a `PersistedCache` and a persisted resolver in its own suites, in our words, over
 * every kind of client: what counts is that other packages' code finds what it is used to.
 */
import { PersistedCache, RequestResolver as PersistedResolver, Persistence } from "@effect/experimental"
import { KeyValueStore } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import {
  Array as Arr,
  Duration,
  Effect,
  Exit,
  Layer,
  Option,
  PrimaryKey,
  Request,
  RequestResolver,
  Schema,
  TestClock
} from "effect"
import { type GhostDB, NearCache, TestCluster } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"
import { embeddedLayer } from "../support/clients.js"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String }) {}

/** Asks for a user, whose number is negative where there is none. */
class FindUser extends Schema.TaggedRequest<FindUser>()("FindUser", {
  failure: Schema.String,
  success: User,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol]() {
    return `FindUser ${this.id}`
  }
}

/** The same, whose result is kept for a while. */
class FindUserForAWhile extends Schema.TaggedRequest<FindUserForAWhile>()("FindUserForAWhile", {
  failure: Schema.String,
  success: User,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol]() {
    return `FindUserForAWhile ${this.id}`
  }
}

const ada = (id: number) => new User({ id, name: "Ada" })

const near = (layer: Layer.Layer<GhostDB>) =>
  Layer.provide(NearCache.layer({ capacity: 1000, ttl: "10 minutes", absenceTtl: "10 minutes" }), layer)

const clients = {
  "nodes in memory": TestCluster.layer({ nodes: 3 }),
  "v1 nodes": TestCluster.layer({ nodes: 3, dialect: "v1" }),
  "a raft cluster": TestCluster.layer({ dialect: "raft" }),
  "nodes over HTTP": embeddedLayer({ nodes: 3 }),
  "a client that fails open": TestCluster.layer({ nodes: 3, client: { failOpen: true } }),
  "a near cache": near(TestCluster.layer({ nodes: 3 })),
  "a near cache before a client that fails open": near(TestCluster.layer({ nodes: 3, client: { failOpen: true } }))
} satisfies Record<string, Layer.Layer<GhostDB>>

for (const [name, client] of Object.entries<Layer.Layer<GhostDB>>(clients)) {
  describe(`KeyValueStore on ${name}`, () => {
    const withStore = <A, E>(effect: Effect.Effect<A, E, KeyValueStore.KeyValueStore>) =>
      Effect.provide(effect, Layer.provide(GhostDBKeyValueStore.layer({ prefix: "suite" }), client))

    it.effect("holds what was set, until it is removed or all is cleared", () =>
      withStore(
        Effect.gen(function* () {
          const store = yield* KeyValueStore.KeyValueStore
          expect(yield* store.get("/a/path")).toEqual(Option.none())
          yield* store.set("/a/path", "here")
          yield* store.set("another", "there")
          expect(yield* store.get("/a/path")).toEqual(Option.some("here"))
          yield* store.remove("/a/path")
          expect(yield* store.get("/a/path")).toEqual(Option.none())
          expect(yield* store.has("another")).toBe(true)
          yield* store.clear
          expect(yield* store.has("another")).toBe(false)
          yield* store.set("another", "again")
          expect(yield* store.get("another")).toEqual(Option.some("again"))
        })
      )
    )

    it.effect("modifies what is there, and nothing else", () =>
      withStore(
        Effect.gen(function* () {
          const store = yield* KeyValueStore.KeyValueStore
          expect(yield* store.modify("a", (value) => `${value}b`)).toEqual(Option.none())
          yield* store.set("a", "a")
          expect(yield* store.modify("a", (value) => `${value}b`)).toEqual(Option.some("ab"))
          expect(yield* store.get("a")).toEqual(Option.some("ab"))
          yield* store.set("bytes", Uint8Array.of(1, 2, 255))
          expect(yield* store.modifyUint8Array("bytes", (bytes) => bytes.slice(1))).toEqual(
            Option.some(Uint8Array.of(2, 255))
          )
          expect(yield* store.getUint8Array("bytes")).toEqual(Option.some(Uint8Array.of(2, 255)))
        })
      )
    )

    it.effect("a prefix is part of the key, of a store and of one with a schema", () =>
      withStore(
        Effect.gen(function* () {
          const store = yield* KeyValueStore.KeyValueStore
          const prefixed = KeyValueStore.prefix(store, "users/")
          yield* prefixed.set("1", "Ada")
          yield* prefixed.modify("1", (value) => `${value} L.`)
          expect(yield* prefixed.has("1")).toBe(true)
          expect(yield* store.get("users/1")).toEqual(Option.some("Ada L."))
        })
      )
    )

    it.effect("a layer of a schema encodes and decodes", () => {
      const Users = KeyValueStore.layerSchema(User, "Users")
      return Effect.gen(function* () {
        const users = yield* Users.tag
        yield* users.set("ada", ada(1))
        yield* users.modify("ada", (user) => new User({ ...user, id: 2 }))
        expect(yield* users.get("ada")).toEqual(Option.some(ada(2)))
        yield* KeyValueStore.prefix(users, "x/").set("ada", ada(3))
        expect(yield* users.get("x/ada")).toEqual(Option.some(ada(3)))
        yield* users.clear
        expect(yield* users.get("ada")).toEqual(Option.none())
      }).pipe(
        Effect.provide(Users.layer),
        Effect.provide(Layer.provide(GhostDBKeyValueStore.layer({ prefix: "users" }), client))
      )
    })
  })

  describe(`Persistence on ${name}`, () => {
    const layer = Layer.provide(GhostDBPersistence.layerResult(), client)

    it.scoped("a PersistedCache looks up once, for every cache of its store", () =>
      Effect.gen(function* () {
        const store = yield* Effect.flatMap(Persistence.ResultPersistence, (_) => _.make({ storeId: "users" }))
        let lookups = 0
        const make = PersistedCache.make({
          storeId: "users",
          lookup: ({ id }: FindUser) =>
            Effect.sync(() => {
              lookups++
              return ada(id)
            }),
          timeToLive: () => 5000
        })
        const request = new FindUser({ id: 1 })
        const cache = yield* make
        expect(yield* cache.get(request)).toEqual(ada(1))
        expect(yield* store.get(request)).toEqual(Option.some(Exit.succeed(ada(1))))
        expect(yield* cache.get(request)).toEqual(ada(1))
        expect(yield* (yield* make).get(request)).toEqual(ada(1))
        expect(lookups).toBe(1)
        yield* cache.invalidate(request)
        expect(yield* store.get(request)).toEqual(Option.none())
        expect(yield* cache.get(request)).toEqual(ada(1))
        expect(lookups).toBe(2)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a persisted resolver is asked for what is not persisted, and for results whose time is over", () =>
      Effect.gen(function* () {
        let asked = 0
        const base = RequestResolver.makeBatched((requests: ReadonlyArray<FindUser | FindUserForAWhile>) => {
          asked += requests.length
          return Effect.forEach(
            requests,
            (request) => (request.id < 0 ? Request.fail(request, "nobody") : Request.succeed(request, ada(request.id))),
            { discard: true }
          )
        })
        const persisted = yield* PersistedResolver.persisted(base, {
          storeId: "resolved",
          timeToLive: (request: FindUser | FindUserForAWhile, exit: Exit.Exit<User, string>) =>
            request._tag === "FindUser" ? Duration.infinity : Exit.isSuccess(exit) ? "5 seconds" : "1 millis"
        })
        const users = Effect.forEach(Arr.range(1, 5), (id) => Effect.request(new FindUser({ id }), persisted), {
          batching: true
        })
        const results = Effect.forEach(
          Arr.range(-1, 3),
          (id) => Effect.exit(Effect.request(new FindUserForAWhile({ id }), persisted)),
          { batching: true }
        )
        expect(yield* users).toEqual([1, 2, 3, 4, 5].map(ada))
        expect(yield* users).toEqual([1, 2, 3, 4, 5].map(ada))
        expect(asked).toBe(5)

        const first = yield* results
        expect(first).toEqual([Exit.fail("nobody"), ...[0, 1, 2, 3].map((id) => Exit.succeed(ada(id)))])
        expect(yield* results).toEqual(first)
        expect(asked).toBe(10)
        yield* TestClock.adjust("1 millis")
        expect(yield* results).toEqual(first)
        expect(asked).toBe(11)
        yield* TestClock.adjust("5 seconds")
        expect(yield* results).toEqual(first)
        expect(asked).toBe(16)

        const store = yield* Effect.flatMap(Persistence.ResultPersistence, (_) => _.make({ storeId: "resolved" }))
        yield* store.clear
        expect(yield* users).toEqual([1, 2, 3, 4, 5].map(ada))
        expect(asked).toBe(21)
      }).pipe(Effect.provide(layer))
    )
  })
}
