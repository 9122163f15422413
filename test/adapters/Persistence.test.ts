import { RequestResolver as ExperimentalResolver, PersistedCache, Persistence } from "@effect/experimental"
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Option, PrimaryKey, Request, RequestResolver, Schema, TestClock } from "effect"
import { GhostDB } from "effect-ghostdb"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"
import * as ReservedKeys from "../../src/cache/ReservedKeys.js"
import { inMemory, Nodes, observedOverHttp } from "../support/clusters.js"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String, born: Schema.Date }) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

class GetUser extends Schema.TaggedRequest<GetUser>()("GetUser", {
  failure: NotFound,
  success: User,
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol]() {
    return `user ${this.id}`
  }
}

const user = (id: number) => new User({ id, name: `name ${id}`, born: new Date(id * 1000) })

/** Answers, and remembers whom it was asked for; those below 0 are not found. */
const directory = () => {
  const asked: Array<number> = []
  return {
    asked,
    lookup: ({ id }: GetUser) =>
      Effect.suspend(() => {
        asked.push(id)
        return id < 0 ? Effect.fail(new NotFound()) : Effect.succeed(user(id))
      })
  }
}

const timeToLive = (_: GetUser, exit: Exit.Exit<User, NotFound>) => (Exit.isSuccess(exit) ? "5 seconds" : "1500 millis")

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["v1 nodes in memory", inMemory("v1")],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`BackingPersistence: ${name}`, () => {
    withLayer(Layer.provideMerge(GhostDBPersistence.layer(), layer))((it) => {
      const open = (storeId: string) =>
        Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make(storeId))
      const forever = Option.none<Duration.Duration>()

      it.scoped("keeps values under their store and key", () =>
        Effect.gen(function* () {
          const users = yield* open("users")
          const orders = yield* open("orders")
          expect(yield* users.get("1")).toEqual(Option.none())
          yield* users.set("1", { name: "Ada", tags: ["a", null, 1.5] }, forever)
          expect(yield* users.get("1")).toEqual(Option.some({ name: "Ada", tags: ["a", null, 1.5] }))
          expect(yield* (yield* open("users")).get("1")).toEqual(Option.some({ name: "Ada", tags: ["a", null, 1.5] }))
          expect(yield* orders.get("1")).toEqual(Option.none())
          yield* users.set("1", "another", forever)
          expect(yield* users.get("1")).toEqual(Option.some("another"))
          yield* users.remove("1")
          yield* users.remove("1")
          expect(yield* users.get("1")).toEqual(Option.none())
        })
      )

      it.scoped("a value lives for its TTL, to the millisecond", () =>
        Effect.gen(function* () {
          const store = yield* open("ttl")
          yield* store.set("a", 1, Option.some(Duration.millis(1500)))
          yield* store.set("b", 1, Option.some(Duration.zero))
          yield* store.setMany([
            ["c", 1, Option.some(Duration.millis(10))],
            ["d", 1, forever]
          ])
          expect(yield* store.get("b")).toEqual(Option.none())
          yield* TestClock.adjust("9 millis")
          expect(yield* store.get("c")).toEqual(Option.some(1))
          yield* TestClock.adjust("1 millis")
          expect(yield* store.get("c")).toEqual(Option.none())
          yield* TestClock.adjust("1489 millis")
          expect(yield* store.get("a")).toEqual(Option.some(1))
          yield* TestClock.adjust("1 millis")
          expect(yield* store.getMany(["a", "d"])).toEqual([Option.none(), Option.some(1)])
          yield* TestClock.adjust("365 days")
          expect(yield* store.get("d")).toEqual(Option.some(1))
        })
      )

      it.scoped("getMany answers in the order of its keys", () =>
        Effect.gen(function* () {
          const store = yield* open("many")
          expect(yield* store.getMany(["a"])).toEqual([Option.none()])
          yield* store.setMany(Array.from({ length: 300 }, (_, i) => [`k${i}`, i, forever] as const))
          const keys = ["k299", "missing", "k0", "k0", "k7"]
          expect(yield* store.getMany(keys)).toEqual([299, undefined, 0, 0, 7].map(Option.fromNullable))
          expect(yield* store.getMany([])).toEqual([])
        })
      )

      it.scoped("clear ends the values of one store, and nothing else", () =>
        Effect.gen(function* () {
          const store = yield* open("cleared")
          const again = yield* open("cleared")
          const other = yield* open("kept")
          yield* GhostDB.put("raw", 1)
          yield* store.set("a", 1, forever)
          yield* other.set("a", 2, forever)
          yield* again.clear
          yield* again.clear
          expect(yield* store.get("a")).toEqual(Option.none())
          expect(yield* other.get("a")).toEqual(Option.some(2))
          expect(yield* GhostDB.get("raw")).toEqual(Option.some(1))
          yield* store.set("b", 3, forever)
          expect(yield* store.getMany(["a", "b"])).toEqual([Option.none(), Option.some(3)])
        })
      )

      it.scoped("what cannot be stored is a PersistenceBackingError", () =>
        Effect.gen(function* () {
          const store = yield* open("refused")
          const cycle: { self?: unknown } = {}
          cycle.self = cycle
          for (const value of [cycle, 1n, "x".repeat(5 * 1024 * 1024)]) {
            for (const set of [store.set("a", value, forever), store.setMany([["a", value, forever]])]) {
              expect(yield* Effect.flip(set)).toMatchObject({ _tag: "PersistenceError", reason: "BackingError" })
            }
          }
          expect(yield* Effect.flip(store.get("\ud800"))).toMatchObject({ reason: "BackingError", method: "get" })
          expect(yield* Effect.flip(store.getMany(["a", "\ud800"]))).toMatchObject({ method: "getMany" })
          expect(yield* store.get("a")).toEqual(Option.none())
        })
      )
    })
  })

  describe(`PersistedCache: ${name}`, () => {
    withLayer(Layer.provideMerge(GhostDBPersistence.layerResult({ prefix: "app:" }), layer))((it) => {
      it.scoped("looks up once; a cache made later, as in another process, finds what was persisted", () =>
        Effect.gen(function* () {
          const persistence = yield* Persistence.ResultPersistence
          const { asked, lookup } = directory()
          const make = PersistedCache.make({ storeId: "cache", lookup, timeToLive, inMemoryTTL: 0 })
          const cache = yield* make
          const store = yield* persistence.make({ storeId: "cache" })
          expect(yield* store.get(new GetUser({ id: 1 }))).toEqual(Option.none())
          expect(yield* cache.get(new GetUser({ id: 1 }))).toEqual(user(1))
          expect(yield* store.get(new GetUser({ id: 1 }))).toEqual(Option.some(Exit.succeed(user(1))))
          expect(yield* cache.get(new GetUser({ id: 1 }))).toEqual(user(1))
          expect(yield* (yield* make).get(new GetUser({ id: 1 }))).toEqual(user(1))
          expect(asked).toEqual([1])
        })
      )

      it.scoped("a failure is persisted as one, and each result lives for its own TTL", () =>
        Effect.gen(function* () {
          const { asked, lookup } = directory()
          const cache = yield* PersistedCache.make({ storeId: "ttl", lookup, timeToLive, inMemoryTTL: 0 })
          const get = (id: number) => Effect.either(cache.get(new GetUser({ id })))
          yield* get(1)
          const failure = yield* get(-1)
          expect(failure).toMatchObject({ _tag: "Left", left: { _tag: "NotFound" } })
          yield* TestClock.adjust("1499 millis")
          expect(yield* get(-1)).toEqual(failure)
          expect(asked).toEqual([1, -1])
          yield* TestClock.adjust("1 millis")
          yield* get(-1)
          yield* TestClock.adjust("3499 millis")
          yield* get(1)
          expect(asked).toEqual([1, -1, -1])
          yield* TestClock.adjust("1 millis")
          yield* get(1)
          expect(asked).toEqual([1, -1, -1, 1])
        })
      )

      it.scoped("invalidate makes it look up anew, and so does the store's clear", () =>
        Effect.gen(function* () {
          const persistence = yield* Persistence.ResultPersistence
          const { asked, lookup } = directory()
          const cache = yield* PersistedCache.make({ storeId: "invalidated", lookup, timeToLive, inMemoryTTL: 0 })
          const store = yield* persistence.make({ storeId: "invalidated" })
          const request = new GetUser({ id: 1 })
          yield* cache.get(request)
          yield* cache.invalidate(request)
          expect(yield* store.get(request)).toEqual(Option.none())
          yield* cache.get(request)
          expect(asked).toEqual([1, 1])
          yield* store.clear
          // What a PersistedCache holds in memory is its own; another one sees that nothing is left.
          yield* (yield* PersistedCache.make({ storeId: "invalidated", lookup, timeToLive })).get(request)
          expect(asked).toEqual([1, 1, 1])
        })
      )

      it.scoped("a ResultPersistence keeps many results, and drops those that it cannot read", () =>
        Effect.gen(function* () {
          const persistence = yield* Persistence.ResultPersistence
          const store = yield* persistence.make({ storeId: "results", timeToLive: () => Duration.infinity })
          const requests = [1, 2, 3].map((id) => new GetUser({ id }))
          yield* store.setMany([
            [requests[0]!, Exit.succeed(user(1))],
            [requests[2]!, Exit.fail(new NotFound())]
          ])
          expect(yield* store.getMany(requests)).toEqual([
            Option.some(Exit.succeed(user(1))),
            Option.none(),
            Option.some(Exit.fail(new NotFound()))
          ])
          const backing = yield* Effect.flatMap(GhostDBPersistence.make({ prefix: "app:" }), (_) => _.make("results"))
          yield* backing.set("user 2", { an: "older format" }, Option.none())
          expect(yield* Effect.flip(store.get(requests[1]!))).toMatchObject({ reason: "ParseError" })
          expect((yield* store.getMany(requests))[1]).toEqual(Option.none())
          expect(yield* backing.get("user 2")).toEqual(Option.none())
          yield* store.remove(requests[0]!)
          expect(yield* store.get(requests[0]!)).toEqual(Option.none())
        })
      )

      it.scoped("a persisted resolver asks for what is not persisted, in one batch", () =>
        Effect.gen(function* () {
          const batches: Array<ReadonlyArray<number>> = []
          const resolver = yield* RequestResolver.makeBatched((requests: ReadonlyArray<GetUser>) => {
            batches.push(requests.map(({ id }) => id))
            return Effect.forEach(
              requests,
              (request) =>
                Request.complete(request, request.id < 0 ? Exit.fail(new NotFound()) : Exit.succeed(user(request.id))),
              { discard: true }
            )
          }).pipe((self) => ExperimentalResolver.persisted(self, { storeId: "resolver", timeToLive }))
          const all = (ids: ReadonlyArray<number>) =>
            Effect.forEach(ids, (id) => Effect.either(Effect.request(new GetUser({ id }), resolver)), {
              batching: true
            })
          const first = yield* all([1, 2, -1])
          expect(first.map(({ _tag }) => _tag)).toEqual(["Right", "Right", "Left"])
          expect(yield* all([3, 2, 1, -1])).toEqual([expect.anything(), first[1], first[0], first[2]])
          expect(batches).toEqual([[1, 2, -1], [3]])
          yield* TestClock.adjust("1500 millis")
          yield* all([1, -1])
          expect(batches).toEqual([[1, 2, -1], [3], [-1]])
        })
      )
    })
  })
}

describe("Persistence", () => {
  withLayer(Layer.provideMerge(GhostDBPersistence.layer(), inMemory()))((it) => {
    it.scoped("an outage is a PersistenceBackingError, which has the nodes' failures", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const store = yield* Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make("outage"))
        yield* nodes.stop
        const effects: ReadonlyArray<Effect.Effect<unknown, Persistence.PersistenceError>> = [
          store.get("a"),
          store.getMany(["a"]),
          store.set("a", 1, Option.none()),
          store.setMany([["a", 1, Option.none()]]),
          store.remove("a"),
          store.clear
        ]
        for (const effect of effects) {
          expect(yield* Effect.flip(effect)).toMatchObject({ reason: "BackingError", cause: { _tag: "NoMoreServers" } })
        }
        yield* nodes.start
        yield* TestClock.adjust("1 minute")
      })
    )

    it.scoped("hostile JSON comes back without what would change prototypes", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const store = yield* Effect.flatMap(Persistence.BackingPersistence, (backing) => backing.make("hostile"))
        yield* store.set("a", 1, Option.none())
        const space = ReservedKeys.space("Persistence", "", "hostile")
        const stamp = Option.getOrThrow(yield* GhostDB.get(space.generation)) as { readonly id: string }
        const generation = JSON.stringify(stamp.id)
        yield* nodes.write(
          space.entry("a"),
          `{"generation": ${generation}, "value": {"__proto__": {"admin": true}, "b": 1}, "expiresAt": null}`
        )
        expect(Option.getOrThrow(yield* store.get("a"))).toEqual({ b: 1 })
        const deep = `${"[".repeat(2000)}${"]".repeat(2000)}`
        yield* nodes.write(space.entry("a"), `{"generation": ${generation}, "value": ${deep}, "expiresAt": null}`)
        expect(yield* store.get("a")).toEqual(Option.none())
      })
    )
  })

  it.effect("a read costs one look at the generation, however many keys it has", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const store = yield* Effect.flatMap(GhostDBPersistence.make(), (backing) => backing.make("cost"))
      const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
      const before = yield* nodes.counts
      yield* store.getMany(keys)
      expect((yield* nodes.counts).get - before.get).toBe(21)
    }).pipe(Effect.scoped, Effect.provide(inMemory()))
  )
})
