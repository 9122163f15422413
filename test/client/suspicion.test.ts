import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, Schedule } from "effect"
import { GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { failureOf, isLive, revivals, scene, topologyWhere } from "../support/scene.js"

/** Answers HTTP 500 to commands on the keys given, and as it should to all others. */
const failing =
  (keys: ReadonlyArray<string>): HostileServer.Behaviour =>
  (exchange) =>
    HostileServer.hostilities[keys.includes(exchange.request.key) ? "answers HTTP 500" : "answers as it should"](
      exchange
    )

describe.concurrent("doubtful failures", () => {
  it.scopedLive("three of different commands in a row kill a node that answers its pings", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.put(keys[0], 1))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
        assert.strictEqual(yield* GhostDB.delete(keys[0]), "NOT_FOUND")
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        assert.include(yield* GhostDB.ping, hostile.address)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("attempts of one command count as one", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ retry: Schedule.recurs(9) })
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        const from = hostile.requests.length
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
        const since = hostile.requests.slice(from).map(({ command }) => command)
        assert.deepStrictEqual(since, [...Arr.replicate("get", 10), "ping", ...Arr.replicate("get", 10), "ping"])
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a node that has not answered is pinged although the command had no time for more", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ attemptTimeout: "1 second", deadline: "1 second" })
      yield* Effect.gen(function* () {
        yield* hostile.behave("accepts and never answers", "badly")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* topologyWhere((topology) => !isLive(hostile)(topology))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a success in between clears them", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave(failing([keys[0]]))
        for (let round = 0; round < 3; round++) {
          yield* failureOf(GhostDB.get(keys[0]))
          yield* failureOf(GhostDB.get(keys[0]))
          yield* GhostDB.get(keys[1] ?? "")
        }
        assert.isTrue(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a ping does not clear them", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        assert.include(yield* GhostDB.ping, hostile.address)
        yield* failureOf(GhostDB.get(keys[0]))
        assert.include(yield* GhostDB.ping, hostile.address)
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a revived node is half-open: one more before a success kills it", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500", "badly")
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        yield* hostile.behave("answers HTTP 500", "well")
        yield* topologyWhere(isLive(hostile))
        const dead = yield* Effect.fork(topologyWhere((topology) => !isLive(hostile)(topology)))
        yield* Effect.yieldNow()
        yield* GhostDB.get(keys[0])
        yield* Fiber.join(dead)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a revived node that has served a command is as good as any", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.behave(failing([keys[0]]), "badly")
        yield* GhostDB.ping
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        yield* hostile.behave(failing([keys[0]]))
        yield* GhostDB.get(keys[1] ?? "")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )
})
