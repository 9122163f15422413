/**
 * Replaced, since the `KeyValueStore` of Effect 4 has other answers and members. What it asks of a store, in the words of its
 * own suite, and what a cache adds to that.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { KeyValueStore } from "effect/persistence"
import { TestClock } from "effect/testing"
import { GhostDBTest, TestCluster } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"

const store = (options: Partial<GhostDBKeyValueStore.KeyValueStoreOptions> = {}) =>
  GhostDBKeyValueStore.layer({ prefix: "store", ...options }).pipe(Layer.provide(GhostDBTest))

describe("as every KeyValueStore", () => {
  const withStore = <A, E>(
    body: (store: KeyValueStore.KeyValueStore) => Effect.Effect<A, E>,
    options?: Partial<GhostDBKeyValueStore.KeyValueStoreOptions>
  ) => KeyValueStore.KeyValueStore.use(body).pipe(Effect.provide(store(options)))

  it.effect("set, get, has and remove", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        expect(yield* kv.get("/foo/bar")).toBe(undefined)
        yield* kv.set("/foo/bar", "bar")
        expect([yield* kv.get("/foo/bar"), yield* kv.has("/foo/bar")]).toEqual(["bar", true])
        yield* kv.remove("/foo/bar")
        expect([yield* kv.get("/foo/bar"), yield* kv.has("/foo/bar")]).toEqual([undefined, false])
      })
    )
  )

  it.effect("a value that is set again is the new one", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        yield* kv.set("a", "1")
        yield* kv.set("a", "2")
        expect(yield* kv.get("a")).toBe("2")
      })
    )
  )

  it.effect("bytes come back as they were set", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        const bytes = Uint8Array.from([0, 1, 127, 128, 255])
        yield* kv.set("bytes", bytes)
        expect(yield* kv.getUint8Array("bytes")).toEqual(bytes)
        expect(yield* kv.get("bytes")).toBe("AAF/gP8=")
        yield* kv.set("text", "ä")
        expect(yield* kv.getUint8Array("text")).toEqual(new TextEncoder().encode("ä"))
      })
    )
  )

  it.effect("modify changes what is there, and makes nothing", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        expect(yield* kv.modify("a", (value) => `${value}!`)).toBe(undefined)
        yield* kv.set("a", "1")
        expect(yield* kv.modify("a", (value) => `${value}!`)).toBe("1!")
        expect(yield* kv.get("a")).toBe("1!")
        yield* kv.set("bytes", Uint8Array.of(1))
        expect(yield* kv.modifyUint8Array("bytes", () => Uint8Array.of(2))).toEqual(Uint8Array.of(2))
      })
    )
  )

  it.effect("clear and the empty prefix of clearPrefix end all values", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        yield* kv.set("a", "1")
        yield* kv.clear
        expect(yield* kv.get("a")).toBe(undefined)
        yield* kv.set("b", "1")
        yield* kv.clearPrefix("")
        expect(yield* kv.get("b")).toBe(undefined)
      })
    )
  )

  it.effect("forSchema and prefix of Effect stand on it", () =>
    withStore((kv) =>
      Effect.gen(function* () {
        const Person = Schema.Struct({ name: Schema.String, age: Schema.Number })
        const people = KeyValueStore.toSchemaStore(KeyValueStore.prefix(kv, "people/"), Person)
        yield* people.set("1", { name: "Ada", age: 36 })
        expect((yield* people.get("1")) as unknown).toMatchObject({ _tag: "Some", value: { name: "Ada", age: 36 } })
        expect(yield* kv.get("people/1")).toBe(`{"name":"Ada","age":36}`)
      })
    )
  )
})

describe("as a cache", () => {
  it.effect("it does not list keys", () =>
    Effect.gen(function* () {
      const kv = yield* KeyValueStore.KeyValueStore
      const errors = [yield* Effect.flip(kv.size), yield* Effect.flip(kv.keys), yield* Effect.flip(kv.isEmpty)]
      errors.push(yield* Effect.flip(kv.clearPrefix("a")))
      expect(errors.map(({ _tag, method }) => [_tag, method])).toEqual(
        ["size", "keys", "isEmpty", "clearPrefix"].map((method) => ["KeyValueStoreError", method])
      )
    }).pipe(Effect.provide(store()))
  )

  it.effect("values end after the TTL", () =>
    Effect.gen(function* () {
      const kv = yield* KeyValueStore.KeyValueStore
      yield* kv.set("a", "1")
      yield* TestClock.adjust("59 seconds")
      expect(yield* kv.get("a")).toBe("1")
      yield* TestClock.adjust("1 second")
      expect(yield* kv.get("a")).toBe(undefined)
    }).pipe(Effect.provide(store({ ttl: 60 })))
  )

  it.effect("an outage, and a key that cannot be used, are errors with their cause", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const kv = yield* KeyValueStore.KeyValueStore
      expect(yield* Effect.flip(kv.set("a", "\ud800"))).toMatchObject({ method: "set", key: "a" })
      yield* Effect.forEach(cluster.nodes, (node) => cluster.stop(node))
      expect(yield* Effect.flip(kv.get("a"))).toMatchObject({
        _tag: "KeyValueStoreError",
        method: "get",
        key: "a",
        cause: { _tag: "NoMoreServers" }
      })
    }).pipe(
      Effect.provide(GhostDBKeyValueStore.layer({ prefix: "store" }).pipe(Layer.provideMerge(TestCluster.layer())))
    )
  )
})
