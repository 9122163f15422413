import { describe, expect, layer as withLayer } from "@effect/vitest"
import { Clock, Duration, Effect, Either, Exit, Option, Request, RequestResolver, Schema, TestClock } from "effect"
import { GhostDB, KeyError, Resolver } from "effect-ghostdb"
import { inMemory, Nodes, observedOverHttp } from "../support/clusters.js"
import { defectOf } from "../support/exits.js"

class User extends Schema.Class<User>("User")({
  id: Schema.Number,
  name: Schema.optional(Schema.String),
  born: Schema.Date,
  boss: Schema.OptionFromNullOr(Schema.Number)
}) {}

const ada = new User({ id: 1, name: "Ada", born: new Date("1815-12-10"), boss: Option.none() })
const encodedAda = { id: 1, name: "Ada", born: "1815-12-10T00:00:00.000Z", boss: null }

/** Has a lone surrogate: no key. */
const lone = "a\ud800"

interface Nested {
  readonly next: Nested | number
}
const Nested: Schema.Schema<Nested> = Schema.Struct({
  next: Schema.Union(
    Schema.Number,
    Schema.suspend(() => Nested)
  )
})
const nested = (depth: number): string => `${'{"next":'.repeat(depth)}1${"}".repeat(depth)}`

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["v1 nodes in memory", inMemory("v1")],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`Store: ${name}`, () => {
    withLayer(layer)((it) => {
      it.effect("stores values as the JSON of their schema, under its prefix, and gives them back", () =>
        Effect.gen(function* () {
          const users = GhostDB.forSchema(User, { prefix: "user:" })
          expect(yield* users.get("1")).toEqual(Option.none())
          expect(yield* users.put("1", ada)).toBe("STORED")
          expect(yield* users.get("1")).toEqual(Option.some(ada))
          expect(yield* GhostDB.get("user:1")).toEqual(Option.some(encodedAda))
          expect(yield* users.add("1", new User({ ...ada, id: 2 }))).toBe("NOT_STORED")
          expect(yield* users.delete("1")).toBe("REMOVED")
          expect(yield* users.delete("1")).toBe("NOT_FOUND")
          expect(yield* users.add("1", ada)).toBe("STORED")
        })
      )

      it.effect("an entry lives for the store's TTL, or its own", () =>
        Effect.gen(function* () {
          const numbers = GhostDB.forSchema(Schema.Number, { prefix: "ttl:", ttl: 10 })
          yield* numbers.put("default", 1)
          yield* numbers.put("own", 1, 30)
          yield* numbers.add("added", 1, -1)
          yield* TestClock.adjust("11 seconds")
          expect(yield* Effect.forEach(["default", "own", "added"], numbers.get)).toEqual([
            Option.none(),
            Option.some(1),
            Option.some(1)
          ])
        })
      )

      it.effect("exact expiry is to the millisecond, by the Clock, whatever the server still holds", () =>
        Effect.gen(function* () {
          const exact = GhostDB.forSchema(Schema.Number, {
            prefix: "exact:",
            expiry: "exact",
            ttl: Duration.millis(250)
          })
          const expiresAt = (yield* Clock.currentTimeMillis) + 250
          yield* exact.put("a", 1)
          yield* exact.put("b", 2, -1)
          expect(yield* GhostDB.get("exact:a")).toEqual(Option.some({ value: 1, expiresAt }))
          expect(yield* GhostDB.get("exact:b")).toEqual(Option.some({ value: 2, expiresAt: null }))
          yield* TestClock.adjust("249 millis")
          expect(yield* exact.get("a")).toEqual(Option.some(1))
          expect(yield* exact.add("a", 3)).toBe("NOT_STORED")
          yield* TestClock.adjust("1 millis")
          expect(yield* exact.get("a")).toEqual(Option.none())
          expect(yield* GhostDB.get("exact:a")).toEqual(Option.some({ value: 1, expiresAt }))
          // The server still has the entry, and yet there is no value any more.
          expect(yield* exact.add("a", 4)).toBe("STORED")
          expect(yield* exact.get("a")).toEqual(Option.some(4))
          yield* TestClock.adjust("60 seconds")
          expect(Option.isSome(yield* GhostDB.get("exact:a"))).toBe(true)
          yield* TestClock.adjust("2 seconds")
          expect(yield* GhostDB.get("exact:a")).toEqual(Option.none())
          expect(yield* exact.get("b")).toEqual(Option.some(2))
        })
      )

      it.effect("what is no TTL is a defect in a store of either expiry", () =>
        Effect.forEach(["server", "exact"] as const, (expiry) =>
          Effect.gen(function* () {
            const numbers = GhostDB.forSchema(Schema.Number, { prefix: "bad-ttl:", expiry })
            for (const ttl of [0, -2, 1.5, Number.NaN]) {
              const exit = yield* Effect.exit(numbers.put("a", 1, ttl))
              expect(defectOf(exit)).toMatch(/a TTL is/)
            }
            expect(yield* numbers.get("a")).toEqual(Option.none())
          })
        )
      )

      it.effect("an entry of an older format is a ParseError, or a miss that is put right", () =>
        Effect.gen(function* () {
          const old = GhostDB.forSchema(Schema.Struct({ name: Schema.String }), { prefix: "old:" })
          yield* old.put("1", { name: "Ada" })
          const strict = GhostDB.forSchema(User, { prefix: "old:" })
          const lenient = GhostDB.forSchema(User, { prefix: "old:", onDecodeError: "miss" })
          const error = yield* Effect.flip(strict.get("1"))
          expect(error._tag).toBe("ParseError")
          expect(error.message).toContain("id")
          expect((yield* Effect.flip(strict.getOrElse("1", Effect.succeed(ada))))._tag).toBe("ParseError")
          expect(yield* lenient.get("1")).toEqual(Option.none())
          expect(yield* lenient.getOrElse("1", Effect.succeed(ada))).toEqual(ada)
          expect(yield* strict.get("1")).toEqual(Option.some(ada))
        })
      )

      it.effect("reads what the Python SDK has written: plain JSON", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          yield* nodes.write("python:1", '{"id": 7, "born": "1815-12-10", "boss": 3, "unknown": [1, {"a": null}]}')
          const user = new User({ id: 7, born: new Date("1815-12-10"), boss: Option.some(3) })
          expect(yield* GhostDB.forSchema(User, { prefix: "python:" }).get("1")).toEqual(Option.some(user))
          // Without its envelope an exact store takes it for nothing it has written.
          const exact = { prefix: "python:", expiry: "exact" } as const
          expect((yield* Effect.flip(GhostDB.forSchema(User, exact).get("1")))._tag).toBe("ParseError")
          const lenient = GhostDB.forSchema(User, { ...exact, onDecodeError: "miss" })
          expect(yield* lenient.get("1")).toEqual(Option.none())
        })
      )

      it.effect("reads hostile JSON safely", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const read = <A, E, R>({ get }: { get: (key: string) => Effect.Effect<A, E, R> }, json: string) =>
            Effect.zipRight(nodes.write("hostile", json), Effect.either(get("hostile")))

          const Roles = Schema.Struct({ admin: Schema.optional(Schema.Boolean) })
          const Record = Schema.Record({ key: Schema.String, value: Roles })
          const polluted = '{"__proto__": {"admin": true}, "x": {"__proto__": {"admin": true}}, "constructor": {}}'
          const record = Option.getOrThrow(Either.getOrThrow(yield* read(GhostDB.forSchema(Record), polluted)))
          expect(Object.getPrototypeOf(record)).toBe(Object.prototype)
          expect(Object.keys(record).sort()).toEqual(["constructor", "x"])
          expect(record.x?.admin).toBeUndefined()
          expect(record.admin).toBeUndefined()
          const struct = Option.getOrThrow(Either.getOrThrow(yield* read(GhostDB.forSchema(Roles), polluted)))
          expect(struct.admin).toBeUndefined()
          expect(({} as { admin?: unknown }).admin).toBeUndefined()

          expect(yield* read(GhostDB.forSchema(Nested), nested(100))).toEqual(
            Either.right(Option.some(JSON.parse(nested(100))))
          )
          const tooDeep = yield* read(GhostDB.forSchema(Nested), nested(1500))
          expect(Either.isLeft(tooDeep) && tooDeep.left.message).toMatch(/nested more than 512 levels/)

          expect(yield* read(GhostDB.forSchema(Schema.Number), "12345678901234567890")).toEqual(
            Either.right(Option.some(Number("12345678901234567890")))
          )
          expect(Either.isLeft(yield* read(GhostDB.forSchema(Schema.Finite), "1e400"))).toBe(true)
        })
      )

      it.effect("reads malformed envelopes safely", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const envelopes = [
            '{"value": 1}',
            '{"expiresAt": null}',
            '{"value": 1, "expiresAt": "never"}',
            '{"__proto__": {"value": 1}, "expiresAt": null}',
            "[1, null]",
            "null",
            "1"
          ]
          for (const json of envelopes) {
            yield* nodes.write("envelope", json)
            const strict = GhostDB.forSchema(Schema.Number, { expiry: "exact" })
            const lenient = GhostDB.forSchema(Schema.Number, { expiry: "exact", onDecodeError: "miss" })
            expect((yield* Effect.flip(strict.get("envelope")))._tag, json).toBe("ParseError")
            expect(yield* lenient.get("envelope")).toEqual(Option.none())
            expect(yield* lenient.add("envelope", 1)).toBe("NOT_STORED")
          }
          // An entry that is over is a miss, whatever it holds.
          yield* nodes.write("envelope", '{"value": {"of": "an older format"}, "expiresAt": -1}')
          expect(yield* GhostDB.forSchema(Schema.Number, { expiry: "exact" }).get("envelope")).toEqual(Option.none())
        })
      )

      it.effect("getMany, putMany and deleteMany give each key its result, and ask for each key once", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const error = (prefix = "") => Either.left(new KeyError({ key: `${prefix}${lone}`, reason: "NotWellFormed" }))
          const before = yield* nodes.counts

          const stored = yield* GhostDB.putMany(
            [
              ["m:1", 0],
              ["m:2", { two: 2 }],
              [lone, 3],
              ["m:1", 1]
            ],
            { ttl: 60 }
          )
          expect([...stored]).toEqual([
            ["m:1", Either.right("STORED")],
            ["m:2", Either.right("STORED")],
            [lone, error()]
          ])
          const found = yield* GhostDB.getMany(["m:2", "m:1", "m:3", lone, "m:1"])
          expect([...found]).toEqual([
            ["m:2", Either.right(Option.some({ two: 2 }))],
            ["m:1", Either.right(Option.some(1))],
            ["m:3", Either.right(Option.none())],
            [lone, error()]
          ])
          const removed = yield* GhostDB.deleteMany(new Set(["m:1", "m:3", lone]))
          expect([...removed]).toEqual([
            ["m:1", Either.right("REMOVED")],
            ["m:3", Either.right("NOT_FOUND")],
            [lone, error()]
          ])
          const { delete: deletes, get, put } = yield* nodes.counts
          expect([get - before.get, put - before.put, deletes - before.delete]).toEqual([3, 2, 2])

          const numbers = GhostDB.forSchema(Schema.NonNegative, { prefix: "m:" })
          const results = yield* numbers.putMany(
            new Map([
              ["a", 1],
              ["b", -1],
              [lone, 2]
            ])
          )
          expect([...results.keys()]).toEqual(["a", "b", lone])
          expect(results.get("a")).toEqual(Either.right("STORED"))
          expect(Option.map(Either.getLeft(results.get("b")!), ({ _tag }) => _tag)).toEqual(Option.some("ParseError"))
          expect(results.get(lone)).toEqual(error("m:"))
          const values = yield* numbers.getMany(["a", "2"])
          expect(values.get("a")).toEqual(Either.right(Option.some(1)))
          expect(Option.map(Either.getLeft(values.get("2")!), ({ _tag }) => _tag)).toEqual(Option.some("ParseError"))
          expect([...(yield* numbers.deleteMany(["a", "b"]))]).toEqual([
            ["a", Either.right("REMOVED")],
            ["b", Either.right("NOT_FOUND")]
          ])
        })
      )

      it.effect("requests of one traversal are one batch, each key once", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          const letters = GhostDB.forSchema(Schema.String, { prefix: "request:" })
          const numbers = GhostDB.forSchema(Schema.Number, { prefix: "request:number:" })
          yield* letters.put("a", "A")
          yield* numbers.put("a", 1)
          const before = yield* nodes.counts
          const keys = ["a", "b", "a", "a", "b"]
          const found = yield* Effect.forEach(keys, letters.request, { batching: true })
          expect(found).toEqual(keys.map((key) => (key === "a" ? Option.some("A") : Option.none())))
          expect((yield* nodes.counts).get - before.get).toBe(2)

          const cached = Effect.all([letters.request("a"), numbers.request("a")]).pipe(Effect.withRequestCaching(true))
          expect(yield* cached).toEqual([Option.some("A"), Option.some(1)])
          expect(yield* Effect.either(Effect.forEach([lone], letters.request, { batching: true }))).toEqual(
            Either.left(new KeyError({ key: `request:${lone}`, reason: "NotWellFormed" }))
          )
        })
      )

      it.effect("Resolver.cached asks the resolver behind it for what is not stored, in one batch", () =>
        Effect.gen(function* () {
          const nodes = yield* Nodes
          class NameOf extends Request.TaggedClass("NameOf")<string, "unknown", { readonly id: number }> {}
          const batches: Array<ReadonlyArray<number>> = []
          const database = RequestResolver.makeBatched((requests: ReadonlyArray<NameOf>) => {
            batches.push(requests.map(({ id }) => id))
            return Effect.forEach(
              requests,
              (request) =>
                Request.complete(
                  request,
                  request.id < 0 ? Exit.fail("unknown" as const) : Exit.succeed(`name ${request.id}`)
                ),
              { discard: true }
            )
          })
          const names = GhostDB.forSchema(Schema.String, { prefix: "name:" })
          const resolver = Resolver.cached(database, { store: names, key: ({ id }) => String(id), ttl: 60 })
          const nameOf = (id: number) => Effect.either(Effect.request(new NameOf({ id }), resolver))
          const all = (ids: ReadonlyArray<number>) => Effect.forEach(ids, nameOf, { batching: true })

          yield* names.put("2", "stored")
          const before = yield* nodes.counts
          expect(yield* all([1, 2, 3, 1, -1, 3])).toEqual([
            Either.right("name 1"),
            Either.right("stored"),
            Either.right("name 3"),
            Either.right("name 1"),
            Either.left("unknown"),
            Either.right("name 3")
          ])
          expect(batches).toEqual([[1, 3, -1]])
          const after = yield* nodes.counts
          expect([after.get - before.get, after.put - before.put]).toEqual([4, 2])

          expect(yield* all([3, 1, -1])).toEqual([
            Either.right("name 3"),
            Either.right("name 1"),
            Either.left("unknown")
          ])
          expect(batches).toEqual([[1, 3, -1], [-1]])
          yield* TestClock.adjust("61 seconds")
          yield* all([1])
          expect(batches).toHaveLength(3)
        })
      )
    })
  })
}

describe("Store: an outage", () => {
  withLayer(inMemory())((it) => {
    it.effect("each key has its NoMoreServers; requests are answered by the resolver behind the cache", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        class Double extends Request.TaggedClass("Double")<number, never, { readonly of: number }> {}
        const database = RequestResolver.fromFunction((request: Double) => request.of * 2)
        const numbers = GhostDB.forSchema(Schema.Number, { prefix: "double:" })
        const resolver = Resolver.cached(database, { store: numbers, key: (request) => String(request.of) })
        const double = (of: number) => Effect.request(new Double({ of }), resolver)

        yield* nodes.stop
        const results = yield* numbers.getMany(["1", "2"])
        expect([...results.values()].map(Either.mapLeft(({ _tag }) => _tag))).toEqual([
          Either.left("NoMoreServers"),
          Either.left("NoMoreServers")
        ])
        expect(yield* Effect.forEach([1, 2], double, { batching: true })).toEqual([2, 4])
        yield* nodes.start
        yield* TestClock.adjust("1 minute")
        expect(yield* numbers.get("1")).toEqual(Option.none())
        expect(yield* double(1)).toBe(2)
        expect(yield* numbers.get("1")).toEqual(Option.some(2))
      })
    )
  })
})
