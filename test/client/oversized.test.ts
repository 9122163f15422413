import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Layer, Option } from "effect"
import { GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { recorder } from "../support/recorder.js"
import { client, failureOf, isLive, scene } from "../support/scene.js"

describe.concurrent("a put of 5 MiB", () => {
  it.scopedLive("100 times: NOT_STORED and a warning each time, and nothing else happens", () =>
    Effect.gen(function* () {
      const { context, hostile, keys, sound } = yield* scene()
      const log = recorder()
      const before = [hostile, sound].map((node) => ({ ...node.bytes(), ...node.connections() }))
      const value = "x".repeat(5 * 1024 * 1024)
      const results = yield* Effect.forEach(Arr.range(1, 100), (at) =>
        at % 2 === 0 ? GhostDB.put(`large-${at}`, value) : GhostDB.add(`large-${at}`, value)
      ).pipe(Effect.provide(log.layer), Effect.provide(context))
      assert.deepStrictEqual(results, Arr.replicate("NOT_STORED", 100))
      assert.deepStrictEqual(
        log.lines.map(({ annotations, level }) => [level, annotations.key]),
        Arr.makeBy(100, (i) => ["WARN", `large-${i + 1}`])
      )
      for (const { annotations, text } of log.lines) {
        assert.isAbove(Number(annotations.bytes), value.length)
        assert.isBelow(text.length, 200)
      }
      assert.deepStrictEqual(
        [hostile, sound].map((node) => ({ ...node.bytes(), ...node.connections() })),
        before
      )
      const topology = yield* Effect.provide(topologyNow, context)
      assert.strictEqual(topology.live.length, 2)
      assert.deepStrictEqual(yield* Effect.provide(GhostDB.get(keys[0]), context), Option.some(keys[0]))
    })
  )

  it.scopedLive("is no success, and clears no doubt", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        yield* GhostDB.put(keys[0], "x".repeat(5 * 1024 * 1024))
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("is sent where the limit allows it", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const value = "x".repeat(5 * 1024 * 1024)
      const context = yield* Layer.build(
        client([node], {
          maxRequestBytes: 6 * 1024 * 1024,
          maxReplyBytes: 6 * 1024 * 1024,
          attemptTimeout: "3000 millis"
        })
      )
      assert.strictEqual(yield* Effect.provide(GhostDB.put("large", value), context), "STORED")
      assert.isTrue(Option.contains(yield* Effect.provide(GhostDB.get("large"), context), value))
    })
  )
})
