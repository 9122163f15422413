import { describe, expect, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Either, type Layer, Option, TestClock } from "effect"
import { type Dialect, GhostDB, type Json, KeyError, type NodesFileError, type NoMoreServers } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import { defectOf } from "../support/exits.js"

/**
 * What every implementation of the service does, whatever carries its requests. The layer's nodes share the test's clock.
 */
export const contract = (
  name: string,
  options: {
    readonly layer: Layer.Layer<GhostDB, NodesFileError>
    readonly dialect: Dialect
    /** Configured addresses, in order. */
    readonly size: number
    /**
     * `"real"` for servers of other processes. The test's clock is not theirs: in the time that a test takes nothing
     * expires, and no row of metrics is written. Default `"embedded"`.
     */
    readonly servers?: "embedded" | "real"
  }
) =>
  describe(`contract: ${name}`, () => {
    const isReal = options.servers === "real"
    withLayer(options.layer)((it) => {
      it.effect("a key without a value is a miss", () =>
        Effect.gen(function* () {
          expect(yield* GhostDB.get("contract:missing")).toEqual(Option.none())
          expect(yield* GhostDB.delete("contract:missing")).toBe("NOT_FOUND")
        })
      )

      const values: ReadonlyArray<Json> = [
        null,
        true,
        false,
        0,
        -1.5,
        1e300,
        "",
        "CACHE_MISS",
        "null",
        '"quoted" \\ \n \u2028 <&> é 日本語 😀',
        [],
        {},
        [1, [2, [null]]],
        { a: { b: [true, { c: "d" }] }, "": 1, é: 2 },
        JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
        Array.from({ length: 1000 }, (_, i) => ({ i, text: "x".repeat(i % 50) }))
      ]
      it.effect("what is put is what is got", () =>
        Effect.forEach(values, (value, i) =>
          Effect.gen(function* () {
            const key = `contract:value:${i}`
            expect(yield* GhostDB.put(key, value)).toBe("STORED")
            expect(yield* GhostDB.get(key)).toEqual(Option.some(value))
            expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
          })
        )
      )

      it.effect("a put overwrites, value and TTL", () =>
        Effect.gen(function* () {
          yield* GhostDB.put("contract:twice", 1, 10)
          expect(yield* GhostDB.put("contract:twice", { second: 2 })).toBe("STORED")
          yield* TestClock.adjust("11 seconds")
          expect(yield* GhostDB.get("contract:twice")).toEqual(Option.some({ second: 2 }))
        })
      )

      it.effect("an add stores only where the key is absent", () =>
        Effect.gen(function* () {
          expect(yield* GhostDB.add("contract:add", 1)).toBe("STORED")
          expect(yield* GhostDB.add("contract:add", 2)).toBe("NOT_STORED")
          expect(yield* GhostDB.get("contract:add")).toEqual(Option.some(1))
          expect(yield* GhostDB.delete("contract:add")).toBe("REMOVED")
          expect(yield* GhostDB.add("contract:add", 3)).toBe("STORED")
          expect(yield* GhostDB.get("contract:add")).toEqual(Option.some(3))
        })
      )

      it.effect("a delete removes once", () =>
        Effect.gen(function* () {
          yield* GhostDB.put("contract:delete", "x")
          expect(yield* GhostDB.delete("contract:delete")).toBe("REMOVED")
          expect(yield* GhostDB.get("contract:delete")).toEqual(Option.none())
          expect(yield* GhostDB.delete("contract:delete")).toBe("NOT_FOUND")
        })
      )

      const keys = [
        "with space",
        "a:b:1",
        "\u0000",
        '"',
        "\\",
        "null",
        "é",
        "日本語",
        "😀",
        "k".repeat(5000),
        "\u2028<&>"
      ]
      it.effect("any well-formed string is a key", () =>
        Effect.forEach(keys, (key, i) =>
          Effect.gen(function* () {
            expect(yield* GhostDB.put(key, i)).toBe("STORED")
            expect(yield* GhostDB.get(key)).toEqual(Option.some(i))
          })
        ).pipe(
          Effect.zipRight(Effect.forEach(keys, GhostDB.get)),
          Effect.map((found) => {
            expect(found).toEqual(keys.map((_, i) => Option.some(i)))
          })
        )
      )

      it.effect("the empty string is a key, except on a v1 server", () =>
        Effect.gen(function* () {
          const stored = yield* Effect.either(GhostDB.put("", "empty"))
          const found = yield* Effect.either(GhostDB.get(""))
          if (options.dialect === "v1") {
            expect(stored).toEqual(Either.left(new KeyError({ key: "", reason: "Empty" })))
            expect(found).toEqual(Either.left(new KeyError({ key: "", reason: "Empty" })))
          } else {
            expect(stored).toEqual(Either.right("STORED"))
            expect(found).toEqual(Either.right(Option.some("empty")))
          }
        })
      )

      it.effect("a key that is no string, or not well-formed, is a KeyError", () =>
        Effect.gen(function* () {
          const lone = "a\ud800"
          const commands: ReadonlyArray<Effect.Effect<unknown, NoMoreServers | KeyError, GhostDB>> = [
            GhostDB.get(lone),
            GhostDB.put(lone, 1),
            GhostDB.add(lone, 1),
            GhostDB.delete(lone)
          ]
          for (const command of commands) {
            const error = yield* Effect.flip(command)
            expect(error).toEqual(new KeyError({ key: lone, reason: "NotWellFormed" }))
          }
          // @ts-expect-error reachable only from untyped code
          expect(yield* Effect.flip(GhostDB.get(7))).toEqual(new KeyError({ key: 7, reason: "NotAString" }))
        })
      )

      it.effect("an entry lives for its TTL, in whole seconds or as a Duration rounded up", () =>
        Effect.gen(function* () {
          yield* GhostDB.put("contract:ttl:seconds", 1, 60)
          yield* GhostDB.put("contract:ttl:duration", 1, Duration.millis(59_001))
          yield* GhostDB.add("contract:ttl:add", 1, Duration.minutes(1))
          yield* GhostDB.put("contract:ttl:never", 1, -1)
          yield* GhostDB.put("contract:ttl:infinity", 1, Duration.infinity)
          const all = ["seconds", "duration", "add", "never", "infinity"].map((kind) => `contract:ttl:${kind}`)
          const found = Effect.map(Effect.forEach(all, GhostDB.get), (values) => values.map(Option.isSome))
          yield* TestClock.adjust("59500 millis")
          expect(yield* found).toEqual([true, true, true, true, true])
          yield* TestClock.adjust("1 second")
          if (isReal) return
          expect(yield* found).toEqual([false, false, false, true, true])
          expect(yield* GhostDB.add("contract:ttl:seconds", 2)).toBe("STORED")
        })
      )

      const noTtl = [0, -2, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, Duration.zero, "60"]
      it.effect("anything else as a TTL is a defect that says so", () =>
        Effect.forEach(noTtl, (ttl) =>
          Effect.gen(function* () {
            // @ts-expect-error one of them is a string
            const exit = yield* Effect.exit(GhostDB.put("contract:ttl:bad", 1, ttl))
            expect(defectOf(exit)).toMatch(/a TTL is/)
            expect(yield* GhostDB.get("contract:ttl:bad")).toEqual(Option.none())
          })
        )
      )

      it.effect("a value that cannot be serialised is a defect that names the key", () =>
        Effect.gen(function* () {
          const cycle: { self?: Json } = {}
          cycle.self = cycle as Json
          const exit = yield* Effect.exit(GhostDB.put("contract:cycle", cycle))
          expect(defectOf(exit)).toMatch(/"contract:cycle".*circular/)
          expect(yield* GhostDB.get("contract:cycle")).toEqual(Option.none())
        })
      )

      it.effect("a request that is too large is not stored, and harms nothing", () =>
        Effect.gen(function* () {
          expect(yield* GhostDB.put("contract:large", "x".repeat(5 * 1024 * 1024))).toBe("NOT_STORED")
          expect(yield* GhostDB.get("contract:large")).toEqual(Option.none())
          expect(yield* GhostDB.ping).toHaveLength(options.size)
        })
      )

      // Before the next one: `TestClock` visits each sleep that was ever begun, also those of commands that are over.
      it.effect("metrics have a row for each interval", () =>
        Effect.gen(function* () {
          yield* GhostDB.get("contract:metrics")
          yield* TestClock.adjust("10 minutes")
          const nodes = yield* GhostDB.ping
          const snitch = yield* GhostDB.getSnitchMetrics
          expect(snitch.metrics.map(({ node }) => node)).toEqual(nodes)
          if (!isReal) for (const { data } of snitch.metrics) expect(data.at(-1)?.HeapAlloc).toBeGreaterThan(0)
          const watchdog = yield* GhostDB.getWatchdogMetrics
          expect(watchdog.metrics.map(({ node }) => node)).toEqual(nodes)
          const gets = watchdog.metrics.map(({ data }) => data.at(-1)?.GetRequests ?? 0)
          if (options.dialect === "raft") expect(watchdog.metrics.flatMap(({ data }) => data)).toEqual([])
          else if (!isReal) expect(gets.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0)
        })
      )

      it.effect("300 commands at once each get their own answer", () =>
        Effect.gen(function* () {
          const keys = Array.from({ length: 300 }, (_, i) => `contract:many:${i}`)
          const all = { concurrency: "unbounded" } as const
          expect(new Set(yield* Effect.forEach(keys, (key) => GhostDB.put(key, { key }), all))).toEqual(
            new Set(["STORED"])
          )
          const found = yield* Effect.forEach(keys, (key) => GhostDB.get(key), all)
          expect(found).toEqual(keys.map((key) => Option.some({ key })))
        })
      )

      it.effect("ping lists the nodes that answer, topology shows all of them live", () =>
        Effect.gen(function* () {
          const nodes = yield* GhostDB.ping
          expect(nodes).toHaveLength(options.size)
          const topology = yield* topologyNow
          expect(topology.live.map(({ node }) => node)).toEqual(nodes)
          expect(topology.dead).toEqual([])
        })
      )

      it.effect("nodeSize counts a node's entries, where the server can", () =>
        Effect.gen(function* () {
          const nodes = yield* GhostDB.ping
          yield* GhostDB.flush
          for (let i = 0; i < 100; i++) yield* GhostDB.put(`contract:size:${i}`, i)
          const sizes = yield* Effect.forEach(nodes, GhostDB.nodeSize)
          if (options.dialect === "v1") expect(sizes).toEqual(nodes.map(() => Option.none()))
          else if (options.dialect === "raft") expect(sizes).toEqual(nodes.map(() => Option.some(100)))
          else expect(sizes.reduce((sum, size) => sum + Option.getOrThrow(size), 0)).toBe(100)
          expect(yield* GhostDB.nodeSize("not-in-the-cluster")).toEqual(Option.none())
        })
      )

      it.effect("flush empties every node", () =>
        Effect.gen(function* () {
          const keys = Array.from({ length: 50 }, (_, i) => `contract:flush:${i}`)
          yield* Effect.forEach(keys, (key) => GhostDB.put(key, 1))
          // A v1 server may miscount its entries, and then says of an emptied cache that it is not.
          const answers = isReal && options.dialect === "v1" ? ["FLUSHED", "ERR_FLUSH"] : ["FLUSHED"]
          expect(answers).toContain(yield* GhostDB.flush)
          expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.none()))
        })
      )
    })
  })
