import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Layer, Schedule } from "effect"
import { type ClientOptions, GhostDB, GhostDBConfig } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { client, failureOf, greet, reasonsOf } from "../support/scene.js"

describe.concurrent("with no live node", () => {
  /** All nodes of a cluster that has been spoken to, and does not revive by itself. */
  const cluster = Effect.fnUntraced(function* (options: Partial<ClientOptions> = {}) {
    const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
    const context = yield* Layer.build(client(nodes, options))
    yield* Effect.provide(greet, context)
    return { nodes, context }
  })

  it.scopedLive(
    "commands wait neither for their deadline nor for a node to be back, and name each node; the probe brings it back",
    () =>
      Effect.gen(function* () {
        const { retry } = GhostDBConfig.defaults
        const { context, nodes } = yield* cluster({ attemptTimeout: "1 hour", deadline: "1 hour", retry })
        yield* Effect.gen(function* () {
          yield* Effect.forEach(nodes, ({ stop }) => stop)
          const refused = nodes.map(({ address }) => `${address} Refused`).sort()
          const failure = yield* failureOf(GhostDB.get("key"))
          assert.deepStrictEqual(reasonsOf(failure).sort(), refused)
          const failures = yield* Effect.all(
            Arr.makeBy(100, (i) => failureOf(GhostDB.get(`key-${i}`))),
            { concurrency: "unbounded" }
          )
          for (const failure of failures) assert.deepStrictEqual(reasonsOf(failure).sort(), refused)

          yield* Effect.forEach(nodes, ({ start }) => start)
          // Not before a second has passed since the last sweep.
          const stored = yield* GhostDB.put("key", 1).pipe(
            Effect.retry(Schedule.spaced("50 millis")),
            Effect.timeout("1 minute")
          )
          assert.strictEqual(stored, "STORED")
          assert.strictEqual((yield* topologyNow).live.length, 3)
        }).pipe(Effect.provide(context))
      })
  )

  it.scopedLive("there is one sweep for all who wait, and at most one a second", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster()
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ behave }) => behave("answers HTTP 500", "badly"))
        const volley = Effect.all(
          Arr.makeBy(50, (i) => failureOf(GhostDB.get(`key-${i}`))),
          { concurrency: "unbounded" }
        )
        yield* volley
        const pings = () => nodes.map(({ requests }) => requests.filter(({ command }) => command === "ping").length)
        const swept = pings()
        yield* volley
        yield* failureOf(GhostDB.flush)
        assert.deepStrictEqual(pings(), swept)
        assert.strictEqual((yield* topologyNow).live.length, 0)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a command that waits for the sweep goes on with the node it finds", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ dialect: "v2" })
      const [first] = nodes
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ stop }) => stop)
        yield* Effect.forEach(nodes, ({ address }) => GhostDB.nodeSize(address).pipe(Effect.flip))
        assert.strictEqual((yield* topologyNow).dead.length, 3)
        yield* first.start
        const results = yield* Effect.all(
          Arr.makeBy(50, (i) => GhostDB.put(`key-${i}`, i)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(results, Arr.replicate("STORED", 50))
        assert.strictEqual(first.values.size, 50)
        assert.strictEqual(first.requests.filter(({ command }) => command === "ping").length, 1)
      }).pipe(Effect.provide(context))
    })
  )
})
