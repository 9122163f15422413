import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, TestClock } from "effect"
import { Client, type ClientOptions, GhostDB, HttpClientTransport, SocketTransport, TestCluster } from "effect-ghostdb"
import * as Clocks from "../support/Clocks.js"
import * as FakeTransport from "../support/FakeTransport.js"
import * as HostileServer from "../support/HostileServer.js"

/** For what would hang. Everything here ends after a second or two, unless the machine is busy. */
const hangs = "100 seconds"

const transports = {
  sockets: SocketTransport.layer,
  HttpClient: Layer.provide(HttpClientTransport.layer, FetchHttpClient.layer)
}

const silentCluster = Effect.fnUntraced(function* (count: number) {
  const nodes = yield* Effect.all(Arr.makeBy(count, () => HostileServer.make()))
  yield* Effect.forEach(nodes, ({ behave }) => behave("accepts and never answers", "badly"))
  return nodes.map(({ address }) => address)
})

for (const [name, transport] of Object.entries(transports)) {
  describe.concurrent(`over ${name}, nodes that are silent, in an uninterruptible region`, () => {
    const ends = (command: Effect.Effect<unknown, unknown, GhostDB>, options: Partial<ClientOptions>) =>
      Effect.gen(function* () {
        // One after the other, so many nodes would take a minute.
        const nodes = yield* silentCluster(75)
        const settings = { nodes, attemptTimeout: "400 millis", metrics: false, ...options } as const
        const layer = Layer.provide(Client.layer(settings), transport)
        const ended = yield* Effect.uninterruptible(Effect.exit(command)).pipe(
          Effect.provide(layer),
          Effect.disconnect,
          Effect.timeoutOption(hangs)
        )
        assert.isTrue(Option.isSome(ended))
      })
    for (const [name, command] of Object.entries<Effect.Effect<unknown, unknown, GhostDB>>({
      get: GhostDB.get("key"),
      put: GhostDB.put("key", 1),
      flush: GhostDB.flush,
      ping: GhostDB.ping,
      leader: GhostDB.leader,
      metrics: GhostDB.getSnitchMetrics
    })) {
      it.scopedLive(`${name} ends at its deadline`, () => ends(command, { deadline: "1 second" }))
    }
    it.scopedLive("a long delay of the retry schedule ends at the deadline too", () =>
      ends(GhostDB.get("key"), { deadline: "1 second", retry: Schedule.spaced("1 minute") })
    )
  })
}

describe.concurrent("while a raft cluster has no leader", () => {
  const withoutMajority = Effect.gen(function* () {
    const cluster = yield* TestCluster
    yield* GhostDB.put("key", 1)
    yield* Effect.forEach(cluster.nodes.slice(0, 2), cluster.stop)
  })

  it.effect("a delete in a finalizer ends at the deadline, and so does the scope", () =>
    Effect.gen(function* () {
      yield* withoutMajority
      const scope = yield* Effect.acquireRelease(Effect.void, () => Effect.ignore(GhostDB.delete("key"))).pipe(
        Effect.scoped,
        Effect.fork
      )
      yield* TestClock.adjust("6 seconds")
      assert.isTrue(Option.isSome(yield* Fiber.poll(scope)))
    }).pipe(Effect.provide(TestCluster.layer({ dialect: "raft" })))
  )

  it.effect("a write in an uninterruptible region names the members that have no leader", () =>
    Effect.gen(function* () {
      yield* withoutMajority
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(GhostDB.put("key", 2))))
      yield* TestClock.adjust("6 seconds")
      const exit = Option.getOrThrow(yield* Fiber.poll(fiber))
      assert.isTrue(Exit.isSuccess(exit))
      assert.include(String(Exit.isSuccess(exit) ? exit.value : ""), "NotLeader")
    }).pipe(Effect.provide(TestCluster.layer({ dialect: "raft" })))
  )
})

describe.concurrent("the wall clock steps an hour", () => {
  const hour = 3_600_000

  for (const [name, by] of [
    ["back", -hour],
    ["ahead", hour]
  ] as const) {
    it.scopedLive(`${name}: commands on a silent node end as they would`, () =>
      Effect.gen(function* () {
        const { clock, step } = yield* Clocks.settable
        const nodes = yield* silentCluster(1)
        // The deadline is far off: on a busy machine the default one could come before the attempts have timed out.
        const options = { nodes, attemptTimeout: "300 millis", deadline: "1 minute" } as const
        yield* Effect.gen(function* () {
          const fiber = yield* Effect.fork(Effect.timed(Effect.flip(GhostDB.get("key"))))
          yield* Effect.sleep("100 millis")
          yield* step(by)
          const [duration, error] = yield* Fiber.join(fiber)
          assert.include(String(error), "AttemptTimeout")
          assert.isAbove(Duration.toMillis(duration), 500)
        }).pipe(
          Effect.provide(Layer.provide(Client.layer(options), SocketTransport.layer)),
          Effect.withClock(clock),
          Effect.timeout(hangs)
        )
      })
    )

    it.scopedLive(`${name}: a raft write waits for its leader, who answers after some refusals`, () =>
      Effect.gen(function* () {
        const { clock, step } = yield* Clocks.settable
        let refusals = 0
        const raft = (Status: number, Message: string) => ({
          status: 200,
          body: JSON.stringify({ Gobj: { Key: "", Value: 1, TTL: "-1" }, Status, Message, Error: "" })
        })
        const transport = FakeTransport.layer((_, command) => {
          if (command === "ping") return Effect.succeed(raft(1, "Pong!"))
          if (command === "getLeader") return Effect.succeed(raft(200, "10.0.0.1:11000"))
          if (command === "nodeSize") return Effect.succeed(raft(1, "OK"))
          if (refusals === 3) return Effect.succeed(raft(1, "STORED"))
          refusals++
          return Effect.as(step(by), raft(500, "Error commiting to raft cluster"))
        })
        const stored = yield* GhostDB.put("key", 2).pipe(
          Effect.provide(Layer.provide(Client.layer({ nodes: ["10.0.0.1"] }), transport)),
          Effect.withClock(clock),
          Effect.timeout(hangs)
        )
        assert.strictEqual(stored, "STORED")
        assert.strictEqual(refusals, 3)
      })
    )
  }
})
