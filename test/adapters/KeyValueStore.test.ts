import { KeyValueStore } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Schema, TestClock } from "effect"
import { GhostDB } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
import * as ReservedKeys from "../../src/cache/ReservedKeys.js"
import { anotherProcess, inMemory, inProcess, Nodes, observedOverHttp } from "../support/clusters.js"

class User extends Schema.Class<User>("User")({ name: Schema.String, age: Schema.Number, born: Schema.Date }) {}

const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)

const space = (prefix: string) => ReservedKeys.space("KeyValueStore", prefix)
const generationOf = (prefix: string) =>
  Effect.map(GhostDB.get(space(prefix).generation), (stamp) => (Option.getOrThrow(stamp) as { id: string }).id)

let count = 0
/** A store that no other test knows. */
const fresh = Effect.suspend(() => GhostDBKeyValueStore.make({ prefix: `store ${count++}` }))

for (const [name, layer] of [
  ["nodes in memory", inMemory()],
  ["v1 nodes in memory", inMemory("v1")],
  ["nodes over HTTP", observedOverHttp()]
] as const) {
  describe(`KeyValueStore: ${name}`, () => {
    withLayer(layer)((it) => {
      it.effect("a string is got as it was set, until it is removed", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          expect(yield* store.get("/a/b")).toEqual(Option.none())
          expect(yield* store.has("/a/b")).toBe(false)
          for (const value of ["text", "", '{"json": true}', "aGVsbG8=", "😀 <&>\u2028"]) {
            yield* store.set("/a/b", value)
            expect(yield* store.get("/a/b")).toEqual(Option.some(value))
            expect(yield* store.getUint8Array("/a/b")).toEqual(Option.some(new TextEncoder().encode(value)))
          }
          expect(yield* store.has("/a/b")).toBe(true)
          yield* store.remove("/a/b")
          yield* store.remove("/a/b")
          expect(yield* store.get("/a/b")).toEqual(Option.none())
          expect(yield* store.getUint8Array("/a/b")).toEqual(Option.none())
        })
      )

      it.effect("bytes are got as they were set; as a string they are base64", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          for (const value of [bytes, new Uint8Array(), bytes.slice(3, 7)]) {
            yield* store.set("bytes", value)
            expect(yield* store.getUint8Array("bytes")).toEqual(Option.some(value))
            expect(yield* store.get("bytes")).toEqual(Option.some(Buffer.from(value).toString("base64")))
          }
        })
      )

      it.effect("any key is a key, and none of them is the store's own", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          const keys = ["", "generation", "#generation", ":", "a:b", "__proto__", "#lock"]
          yield* Effect.forEach(keys, (key) => store.set(key, `value of ${key}`))
          expect(yield* Effect.forEach(keys, store.get)).toEqual(keys.map((key) => Option.some(`value of ${key}`)))
        })
      )

      it.effect("modify changes what is there, and nothing where there is nothing", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          expect(yield* store.modify("a", (value) => `${value}!`)).toEqual(Option.none())
          expect(yield* store.has("a")).toBe(false)
          yield* store.set("a", "hello")
          expect(yield* store.modify("a", (value) => `${value}!`)).toEqual(Option.some("hello!"))
          expect(yield* store.get("a")).toEqual(Option.some("hello!"))
          yield* store.set("b", bytes)
          expect(yield* store.modifyUint8Array("b", (value) => value.slice(0, 2))).toEqual(
            Option.some(bytes.slice(0, 2))
          )
          expect(yield* store.getUint8Array("b")).toEqual(Option.some(bytes.slice(0, 2)))
          expect(yield* store.modifyUint8Array("c", (value) => value)).toEqual(Option.none())
        })
      )

      it.effect("clear ends the values of this store, in all processes, and nothing else", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          const other = yield* fresh
          yield* GhostDB.put("not in a store", 1)
          yield* other.set("a", "other")
          yield* store.clear
          yield* store.set("a", "1")
          yield* store.set("b", bytes)
          yield* store.clear
          expect(yield* Effect.forEach(["a", "b"], store.get)).toEqual([Option.none(), Option.none()])
          expect(yield* other.get("a")).toEqual(Option.some("other"))
          expect(yield* GhostDB.get("not in a store")).toEqual(Option.some(1))
          yield* store.set("a", "2")
          expect(yield* Effect.forEach(["a", "b"], store.get)).toEqual([Option.some("2"), Option.none()])
          // Two who begin a cleared store at once begin the same one.
          yield* store.clear
          yield* Effect.forEach(["a", "b", "c"], (key) => store.set(key, key), { concurrency: "unbounded" })
          expect(yield* Effect.forEach(["a", "b", "c"], store.get)).toEqual(["a", "b", "c"].map(Option.some))
        })
      )

      it.effect("size and isEmpty are refused", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          for (const [method, effect] of Object.entries<Effect.Effect<unknown, PlatformError>>({
            size: store.size,
            isEmpty: store.isEmpty
          })) {
            expect(yield* Effect.flip(effect)).toMatchObject({ _tag: "BadArgument", module: "KeyValueStore", method })
          }
        })
      )

      it.effect("a SchemaStore on it encodes and decodes", () =>
        Effect.gen(function* () {
          const store = (yield* fresh).forSchema(User)
          const ada = new User({ name: "Ada", age: 36, born: new Date("1815-12-10") })
          expect(yield* store.get("ada")).toEqual(Option.none())
          yield* store.set("ada", ada)
          expect(yield* store.get("ada")).toEqual(Option.some(ada))
          const older = new User({ ...ada, age: 37 })
          expect(yield* store.modify("ada", () => older)).toEqual(Option.some(older))
          expect(yield* store.get("ada")).toEqual(Option.some(older))
          expect(yield* store.has("ada")).toBe(true)
          yield* store.remove("ada")
          expect(yield* store.has("ada")).toBe(false)
        })
      )

      it.effect("a prefix on it is part of the key", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          const prefixed = KeyValueStore.prefix(store, "prefix/")
          yield* prefixed.set("a", "1")
          expect(yield* prefixed.modify("a", (value) => `${value}2`)).toEqual(Option.some("12"))
          expect(yield* prefixed.has("a")).toBe(true)
          expect(yield* store.get("prefix/a")).toEqual(Option.some("12"))
          const users = KeyValueStore.prefix(store.forSchema(Schema.Number), "user/")
          yield* users.set("1", 7)
          expect(yield* store.get("user/1")).toEqual(Option.some("7"))
        })
      )

      it.effect("values live for the store's TTL, exactly", () =>
        Effect.gen(function* () {
          const store = yield* GhostDBKeyValueStore.make({ prefix: "ttl", ttl: Duration.millis(1500) })
          yield* store.set("a", "1")
          yield* TestClock.adjust("1499 millis")
          expect(yield* store.has("a")).toBe(true)
          yield* TestClock.adjust("1 millis")
          expect(yield* store.has("a")).toBe(false)
        })
      )

      it.effect("a key that cannot be used is a BadArgument, a value that is too large a SystemError", () =>
        Effect.gen(function* () {
          const store = yield* fresh
          for (const [method, effect] of Object.entries<Effect.Effect<unknown, PlatformError>>({
            get: store.get("\ud800"),
            set: store.set("\ud800", "1"),
            remove: store.remove("\ud800")
          })) {
            expect(yield* Effect.flip(effect)).toMatchObject({ _tag: "BadArgument", module: "KeyValueStore", method })
          }
          expect(yield* Effect.flip(store.set("large", "x".repeat(5 * 1024 * 1024)))).toMatchObject({
            _tag: "SystemError",
            reason: "WriteZero",
            method: "set"
          })
          expect(yield* store.get("large")).toEqual(Option.none())
        })
      )
    })
  })
}

describe("KeyValueStore: what others do to it", () => {
  withLayer(inMemory())((it) => {
    it.effect("stores of one prefix are one, in whatever process; a set during another's clear is lost with it", () =>
      Effect.gen(function* () {
        const db = yield* GhostDB
        let gate = Effect.void
        const slow = inProcess(
          anotherProcess(db, (command, _, effect) => (command === "put" ? Effect.zipRight(gate, effect) : effect))
        )
        const store = yield* GhostDBKeyValueStore.make({ prefix: "shared" })
        const same = yield* slow(GhostDBKeyValueStore.make({ prefix: "shared" }))
        yield* store.set("a", "1")
        expect(yield* same.get("a")).toEqual(Option.some("1"))
        const latch = yield* Effect.makeLatch(false)
        gate = latch.await
        const set = yield* Effect.fork(same.set("b", "2"))
        yield* Effect.repeat(Effect.yieldNow(), { times: 50 })
        yield* store.clear
        yield* store.set("c", "3")
        yield* latch.open
        yield* Fiber.join(set)
        expect(yield* Effect.forEach(["a", "b", "c"], store.get)).toEqual([
          Option.none(),
          Option.none(),
          Option.some("3")
        ])
      })
    )

    it.effect("an eviction of its generation empties it, and revives nothing", () =>
      Effect.gen(function* () {
        const store = yield* GhostDBKeyValueStore.make({ prefix: "evicted" })
        yield* store.set("a", "1")
        yield* store.set("b", "2")
        yield* GhostDB.delete(space("evicted").generation)
        expect(yield* store.get("a")).toEqual(Option.none())
        yield* store.set("a", "3")
        expect(yield* Effect.forEach(["a", "b"], store.get)).toEqual([Option.some("3"), Option.none()])
        // What is no generation is replaced by one.
        yield* GhostDB.put(space("evicted").generation, { not: "a generation" })
        expect(yield* store.get("a")).toEqual(Option.none())
        yield* store.set("a", "4")
        expect(yield* store.get("a")).toEqual(Option.some("4"))
      })
    )

    it.effect("what is no entry of the store is none; an entry that is broken is a SystemError", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const store = yield* GhostDBKeyValueStore.make({ prefix: "foreign" })
        yield* store.set("a", "1")
        const generation = JSON.stringify(yield* generationOf("foreign"))
        for (const json of [
          "1",
          "null",
          '"text"',
          '{"value": "text"}',
          `{"generation": ${generation}, "value": "x"}`
        ]) {
          yield* nodes.write(space("foreign").entry("a"), json)
          expect(yield* store.get("a")).toEqual(Option.none())
        }
        for (const value of ["1", '{"base64": 1}', "null", "[]"]) {
          yield* nodes.write(
            space("foreign").entry("a"),
            `{"generation": ${generation}, "value": ${value}, "expiresAt": null}`
          )
          expect(yield* Effect.flip(store.get("a"))).toMatchObject({ _tag: "SystemError", reason: "InvalidData" })
        }
        yield* nodes.write(
          space("foreign").entry("a"),
          `{"generation": ${generation}, "value": {"base64": "?"}, "expiresAt": null}`
        )
        expect(yield* Effect.flip(store.getUint8Array("a"))).toMatchObject({ reason: "InvalidData" })
      })
    )

    it.effect("an outage is a SystemError, which has the nodes' failures", () =>
      Effect.gen(function* () {
        const nodes = yield* Nodes
        const store = yield* fresh
        yield* nodes.stop
        for (const [method, effect] of Object.entries<Effect.Effect<unknown, PlatformError>>({
          get: store.get("a"),
          set: store.set("a", "1"),
          remove: store.remove("a"),
          clear: store.clear
        })) {
          const error = yield* Effect.flip(effect)
          expect(error).toMatchObject({ _tag: "SystemError", reason: "Unknown", module: "KeyValueStore", method })
          expect(error.cause).toMatchObject({ _tag: "NoMoreServers" })
        }
        yield* nodes.start
        yield* TestClock.adjust("1 minute")
      })
    )
  })

  it.effect("the layer gives platform code its store", () =>
    Effect.gen(function* () {
      const store = yield* KeyValueStore.KeyValueStore
      yield* store.set("a", "1")
      expect(yield* GhostDB.get(space("layer").entry("a"))).toMatchObject(Option.some({ value: "1", expiresAt: null }))
    }).pipe(Effect.provide(Layer.provideMerge(GhostDBKeyValueStore.layer({ prefix: "layer" }), inMemory())))
  )
})
