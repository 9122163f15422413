/** Values, keys and TTLs that are none: what is refused, what is a miss, and that the effect's value is never lost. */

import { KeyValueStore } from "@effect/platform"
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Either, Exit, Layer, Option, Schema, TestClock } from "effect"
import { GhostDB, KeyError } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"
import { counter, settle } from "../support/cache.js"
import { inMemory, Nodes } from "../support/clusters.js"
import { defectOf } from "../support/exits.js"

const Price = Schema.Struct({
  name: Schema.String,
  history: Schema.Array(Schema.Struct({ "per cent": Schema.Number })),
  span: Schema.optional(Schema.Duration)
})
const price = { name: "a", history: [{ "per cent": 1 }] }

describe("values that JSON would not hold as they are", () => {
  withLayer(inMemory())((it) => {
    it.effect("are refused when they are written, by key and path", () =>
      Effect.gen(function* () {
        const prices = GhostDB.forSchema(Price, { prefix: "p:", ttl: 60 })
        const bad: ReadonlyArray<readonly [typeof Price.Type, RegExp]> = [
          [{ ...price, history: [{ "per cent": Number.NaN }] }, /"p:a".*NaN at \$\.history\[0\]\["per cent"\]/],
          [{ ...price, history: [{ "per cent": 1 }, { "per cent": -Infinity }] }, /-Infinity at \$\.history\[1\]/],
          [{ ...price, name: "\ud800" }, /lone surrogate at \$\.name/]
        ]
        for (const [value, message] of bad) {
          for (const write of [prices.put("a", value), prices.add("a", value)]) {
            const error = yield* Effect.flip(write)
            expect(error._tag).toBe("ParseError")
            expect(error.message).toMatch(message)
          }
          const many = yield* prices.putMany([["a", value]])
          expect(many.get("a")).toMatchObject({ _tag: "Left", left: { _tag: "ParseError" } })
          const exit = yield* Effect.exit(prices.getOrElse("a", Effect.succeed(value)))
          expect(defectOf(exit)).toMatch(message)
        }
        expect(yield* prices.get("a")).toEqual(Option.none())
        const names = GhostDB.forSchema(Schema.Record({ key: Schema.String, value: Schema.Number }))
        expect((yield* Effect.flip(names.put("names", { "\udc00": 1 }))).message).toMatch(/a member name with a lone/)
        expect((yield* Effect.flip(GhostDB.forSchema(Schema.Number).put("n", Number.NaN))).message).toMatch(/NaN at \$/)
      })
    )

    it.effect("an infinite Duration comes back as it was", () =>
      Effect.gen(function* () {
        const prices = GhostDB.forSchema(Price, { prefix: "p:" })
        yield* prices.put("span", { ...price, span: Duration.infinity })
        expect(yield* prices.get("span")).toEqual(Option.some({ ...price, span: Duration.infinity }))
        const millis = GhostDB.forSchema(Schema.DurationFromMillis)
        expect((yield* Effect.flip(millis.put("millis", Duration.infinity))).message).toMatch(/"millis".*Infinity/)
      })
    )

    it.effect("in KeyValueStore and Persistence likewise", () =>
      Effect.gen(function* () {
        const store = yield* GhostDBKeyValueStore.make({ prefix: "values" })
        expect(yield* Effect.flip(store.set("a", "\ud800"))).toMatchObject({ _tag: "BadArgument", method: "set" })
        const backing = yield* Effect.flatMap(GhostDBPersistence.make(), (backing) => backing.make("values"))
        for (const value of [Number.NaN, { a: ["\ud800"] }, [undefined]]) {
          expect(yield* Effect.flip(backing.set("a", value, Option.none()))).toMatchObject({ reason: "BackingError" })
        }
      }).pipe(Effect.scoped)
    )
  })
})

describe("TTLs", () => {
  withLayer(inMemory())((it) => {
    it.effect("0, and one that cannot be had, is no storing; the value is returned all the same", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const numbers = GhostDB.forSchema(Schema.Number, { prefix: "ttl:", expiry: "exact" })
        const before = (yield* nodes.counts).put
        const throwing = (): number => {
          throw new Error("no TTL")
        }
        const ttls = [0, "0 seconds", Duration.zero, () => 0, () => Number.NaN, () => -7, () => 1.5, throwing] as const
        for (const ttl of ttls) {
          const { effect, state } = yield* counter
          expect(yield* numbers.getOrElse("zero", effect, { ttl })).toBe(1)
          expect(yield* numbers.getOrElse("zero", effect, { ttl })).toBe(2)
          expect(state.runs).toBe(2)
        }
        expect(yield* numbers.getOrElse("tags", Effect.succeed(1), { tags: () => [String(throwing())] })).toBe(1)
        const failing = Effect.fail("down" as const)
        const failure = { schema: Schema.Literal("down"), ttl: 0 }
        expect(yield* Effect.flip(numbers.getOrElse("failing", failing, { failure }))).toBe("down")
        expect((yield* nodes.counts).put).toBe(before)
        const dynamic = GhostDB.forSchema(Schema.Number, { prefix: "dynamic:", ttl: (n) => n })
        expect(yield* dynamic.put("a", 0)).toBe("NOT_STORED")
        expect(yield* dynamic.put("a", 5)).toBe("STORED")
      })
    )

    it.effect("one that cannot be used is a defect before anything runs", () =>
      Effect.gen(function* () {
        const { effect, state } = yield* counter
        const numbers = GhostDB.forSchema(Schema.Number, { prefix: "ttl:", expiry: "exact" })
        const lookups = [
          numbers.getOrElse("a", effect, { ttl: -7 }),
          numbers.getOrElse("a", effect, { ttl: 1.5 }),
          numbers.getOrElse("a", effect, { jitter: 2 }),
          // @ts-expect-error a bare number of what?
          numbers.getOrElse("a", effect, { staleFor: 600 }),
          // @ts-expect-error a bare number of what?
          numbers.getOrElse("a", effect, { timeout: { soft: 5 } }),
          // @ts-expect-error a bare number of what?
          numbers.getOrElse("a", effect, { lock: { lease: 10 } }),
          // @ts-expect-error a bare number of what?
          numbers.getOrElse("a", effect, { lock: { wait: 5 } })
        ]
        for (const lookup of lookups) expect(Exit.isFailure(yield* Effect.exit(lookup))).toBe(true)
        expect(state.runs).toBe(0)
        expect(() => GhostDB.forSchema(Schema.Number, { ttl: -7 })).toThrow(/a TTL is/)
      })
    )

    it.effect("may be text, of a store and of a command", () =>
      Effect.gen(function* () {
        const numbers = GhostDB.forSchema(Schema.Number, { prefix: "text:", ttl: "5 minutes", expiry: "exact" })
        yield* numbers.put("a", 1)
        yield* numbers.put("b", 1, "1500 millis")
        yield* GhostDB.put("text:c", 1, "90 seconds")
        yield* TestClock.adjust("91 seconds")
        expect(yield* numbers.get("a")).toEqual(Option.some(1))
        expect(yield* numbers.get("b")).toEqual(Option.none())
        expect(yield* GhostDB.get("text:c")).toEqual(Option.none())
      })
    )
  })
})

describe("keys", () => {
  withLayer(inMemory())((it) => {
    it.effect("a symbol is a KeyError, everywhere", () =>
      Effect.gen(function* () {
        const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:" })
        const key = Symbol.for("key") as unknown as string
        const error = new KeyError({ key, reason: "NotAString" })
        const store = yield* GhostDBKeyValueStore.make({ prefix: "symbols" })
        expect(yield* Effect.flip(numbers.get(key))).toEqual(error)
        expect(yield* Effect.flip(numbers.put(key, 1))).toEqual(error)
        expect(yield* Effect.flip(numbers.delete(key))).toEqual(error)
        expect(yield* Effect.flip(numbers.getOrElse(key, Effect.succeed(1)))).toEqual(error)
        expect(yield* Effect.flip(numbers.getOrElse(key, Effect.succeed(1), { lock: true }))).toEqual(error)
        expect(yield* Effect.flip(Effect.succeed(1).pipe(GhostDB.cached(key, { schema: Schema.Number })))).toEqual(
          error
        )
        expect(yield* Effect.flip(store.get(key))).toMatchObject({ _tag: "BadArgument" })
      })
    )

    it.effect("a user's own keys are nobody else's, whatever they end in", () =>
      Effect.gen(function* () {
        const numbers = GhostDB.forSchema(Schema.Number, { ttl: 60 })
        for (const suffix of ["#lock", "#generation", ":lock", "lock:"]) {
          yield* GhostDB.put(`own${suffix}`, "mine")
        }
        const store = yield* GhostDBKeyValueStore.make({ prefix: "own" })
        yield* store.set("a", "1")
        // A lock that was taken for held would be waited for.
        expect(yield* numbers.getOrElse("own", Effect.succeed(1), { lock: true })).toBe(1)
        yield* store.clear
        yield* settle
        for (const suffix of ["#lock", "#generation", ":lock", "lock:"]) {
          expect(yield* GhostDB.get(`own${suffix}`)).toEqual(Option.some("mine"))
        }
      })
    )

    it.effect("stores whose names run into each other never collide", () =>
      Effect.gen(function* () {
        const users = yield* GhostDBKeyValueStore.make({ prefix: "users" })
        const eu = yield* GhostDBKeyValueStore.make({ prefix: "users:eu" })
        const escaped = yield* GhostDBKeyValueStore.make({ prefix: "users%3Aeu" })
        const typed = GhostDB.forSchema(Schema.String, { prefix: "users:" })
        const persisted = yield* Effect.flatMap(GhostDBPersistence.make(), (backing) => backing.make("users"))
        const split = yield* Effect.flatMap(GhostDBPersistence.make({ prefix: "us" }), (backing) => backing.make("ers"))
        yield* users.set("eu:1", "users")
        yield* eu.set("1", "eu")
        yield* escaped.set("1", "escaped")
        yield* typed.put("eu:1", "typed")
        yield* persisted.set("eu:1", "persisted", Option.none())
        yield* split.set("eu:1", "split", Option.none())
        yield* eu.clear
        expect(yield* Effect.all([users.get("eu:1"), eu.get("1"), escaped.get("1"), typed.get("eu:1")])).toEqual([
          Option.some("users"),
          Option.none(),
          Option.some("escaped"),
          Option.some("typed")
        ])
        expect(yield* persisted.get("eu:1")).toEqual(Option.some("persisted"))
        expect(yield* split.get("eu:1")).toEqual(Option.some("split"))
      }).pipe(Effect.scoped)
    )
  })
})

it.effect('a decoder that throws is a miss with onDecodeError: "miss"', () =>
  Effect.gen(function* () {
    const Throwing = Schema.transform(Schema.String, Schema.String, {
      strict: true,
      decode: (text) => {
        if (text === "old") throw new Error("cannot be read")
        return text
      },
      encode: (text) => text
    })
    for (const expiry of ["server", "exact"] as const) {
      const texts = GhostDB.forSchema(Throwing, { prefix: `${expiry}:`, expiry, onDecodeError: "miss" })
      yield* texts.put("a", "old")
      expect(yield* texts.get("a")).toEqual(Option.none())
      expect(yield* texts.getOrElse("a", Effect.succeed("new"))).toBe("new")
      expect(yield* texts.get("a")).toEqual(Option.some("new"))
      yield* texts.put("b", "old")
      yield* texts.put("c", "kept")
      const load = (keys: ReadonlyArray<string>) => Effect.succeed(keys.map((key) => [key, `new ${key}`] as const))
      expect([...(yield* texts.getMany(["b", "c"])).values()]).toEqual([
        Either.right(Option.none()),
        Either.right(Option.some("kept"))
      ])
      expect([...(yield* texts.getOrElseMany(["b", "c"], load))]).toEqual([
        ["b", "new b"],
        ["c", "kept"]
      ])
      yield* texts.put("b", "old")
      const strict = GhostDB.forSchema(Schema.Number, { prefix: `${expiry}:`, expiry })
      expect(yield* strict.getOrElse("b", Effect.succeed(5), { onDecodeError: "miss" })).toBe(5)
    }
  }).pipe(Effect.provide(inMemory()))
)

describe("failing open", () => {
  const layers = Layer.merge(GhostDBKeyValueStore.layer({ prefix: "open" }), GhostDBPersistence.layer())
  const outage = Effect.gen(function* () {
    const nodes = yield* Nodes
    const store = yield* KeyValueStore.KeyValueStore
    const backing = yield* Effect.flatMap(GhostDBPersistence.make(), (backing) => backing.make("open"))
    yield* store.set("a", "1")
    yield* backing.set("a", 1, Option.none())
    yield* nodes.stop
    yield* store.set("b", "2")
    yield* store.remove("c")
    expect(yield* store.get("a")).toEqual(Option.none())
    yield* backing.set("b", 2, Option.none())
    yield* backing.setMany([["b", 2, Option.none()]])
    expect(yield* backing.getMany(["a", "b"])).toEqual([Option.none(), Option.none()])
    // A clear that no node has seen is one in this process nevertheless.
    yield* store.clear
    yield* nodes.start
    yield* TestClock.adjust("1 minute")
    expect(yield* store.get("a")).toEqual(Option.none())
    expect(yield* backing.get("a")).toEqual(Option.some(1))
    const large = "x".repeat(5 * 1024 * 1024)
    expect(yield* Effect.flip(store.set("large", large))).toMatchObject({ reason: "WriteZero" })
    expect(yield* Effect.flip(backing.set("large", large, Option.none()))).toMatchObject({ reason: "BackingError" })
  })

  it.effect("an outage is a miss in KeyValueStore and Persistence, and too large a value is an error", () =>
    GhostDB.failOpen(Effect.provide(outage, layers)).pipe(Effect.scoped, Effect.provide(inMemory()))
  )
})
