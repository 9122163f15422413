import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Layer, Schedule } from "effect"
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
    "commands fail in well under a second, with a failure for each node; and the sweep brings it back",
    () =>
      Effect.gen(function* () {
        const { attemptTimeout, deadline, retry } = GhostDBConfig.defaults
        const { context, nodes } = yield* cluster({ attemptTimeout, deadline, retry })
        yield* Effect.gen(function* () {
          yield* Effect.forEach(nodes, ({ stop }) => stop)
          const refused = nodes.map(({ address }) => `${address} Refused`).sort()
          const [first, failure] = yield* Effect.timed(failureOf(GhostDB.get("key")))
          assert.isBelow(Duration.toMillis(first), 1000)
          assert.deepStrictEqual(reasonsOf(failure).sort(), refused)
          const [later, failures] = yield* Effect.timed(
            Effect.all(
              Arr.makeBy(100, (i) => failureOf(GhostDB.get(`key-${i}`))),
              { concurrency: "unbounded" }
            )
          )
          assert.isBelow(Duration.toMillis(later), 1000)
          for (const failure of failures) assert.deepStrictEqual(reasonsOf(failure).sort(), refused)

          yield* Effect.forEach(nodes, ({ start }) => start)
          // Not before a second has passed since the last sweep.
          const stored = yield* GhostDB.put("key", 1).pipe(
            Effect.retry(Schedule.spaced("50 millis")),
            Effect.timeout("2 seconds")
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
