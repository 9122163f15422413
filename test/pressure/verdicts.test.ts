/** What a failure means for a node, and for the commands that are under way on it. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Layer, Schedule } from "effect"
import {
  Client,
  type FailureReason,
  GhostDB,
  type NodeFailure,
  type NoMoreServers,
  SocketTransport
} from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as FakeTransport from "../support/FakeTransport.js"
import * as HostileServer from "../support/HostileServer.js"

type Fault = Omit<NodeFailure, "node">

describe.concurrent("what this client could not do in time", () => {
  for (const reason of ["ReplyTooLarge", "QueueTimeout", "Overloaded"] satisfies ReadonlyArray<FailureReason>) {
    it.live(`${reason}: the command says so; no ping, no failover, and nothing is counted`, () =>
      Effect.gen(function* () {
        const asked: Array<string> = []
        const transport = FakeTransport.layer((node, command, body) => {
          asked.push(`${node} ${command}`)
          return body.includes("bad")
            ? Effect.fail({ reason, detail: "as it is" })
            : FakeTransport.hit(node, command, body)
        })
        yield* Effect.gen(function* () {
          yield* GhostDB.get("first")
          yield* GhostDB.getMany(Arr.makeBy(20, (i) => `key-${i}`))
          asked.length = 0
          for (let i = 0; i < 5; i++) {
            const error = yield* Effect.flip(GhostDB.get("bad"))
            assert.strictEqual(error._tag, "NoMoreServers")
            assert.include(error.message, reason)
            assert.strictEqual((error as NoMoreServers).failures.length, 1)
          }
          assert.deepStrictEqual([...new Set(asked)].length, 1)
          assert.notInclude(asked.join(), "ping")
          assert.deepStrictEqual((yield* topologyNow).dead, [])
        }).pipe(
          Effect.provide(
            Layer.provide(Client.layer({ nodes: ["a", "b"], failureThreshold: 2, retry: Schedule.stop }), transport)
          )
        )
      })
    )
  }
})

describe("a ping after an attempt without an answer", () => {
  for (const reason of ["QueueTimeout", "Overloaded", "Deadline"] satisfies ReadonlyArray<FailureReason>) {
    it.live(`${reason}: this client could not ask in time, so that the node stays`, () =>
      Effect.gen(function* () {
        let greeted = false
        const pinged = yield* Deferred.make<void>()
        const transport = FakeTransport.layer((node, command, body) => {
          if (command !== "ping") return Effect.fail({ reason: "Deadline", detail: "late" } as const)
          if (!greeted) {
            greeted = true
            return FakeTransport.hit(node, command, body)
          }
          return Effect.zipRight(
            Deferred.succeed(pinged, undefined),
            Effect.fail({ reason, detail: "as it is" } as const)
          )
        })
        yield* Effect.gen(function* () {
          yield* Effect.flip(GhostDB.get("key"))
          yield* Deferred.await(pinged)
          for (let i = 0; i < 100; i++) yield* Effect.yieldNow()
          assert.deepStrictEqual((yield* topologyNow).dead, [])
        }).pipe(Effect.provide(Layer.provide(Client.layer({ nodes: ["a"] }), transport)))
      })
    )
  }
})

describe.concurrent("a frozen node", () => {
  const frozen = Effect.fnUntraced(function* (count: number) {
    const nodes = yield* Effect.all(Arr.makeBy(5, () => HostileServer.make()))
    const client = Layer.provide(
      Client.layer({
        nodes: nodes.map(({ address }) => address),
        replicas: HostileServer.replicas,
        attemptTimeout: "500 millis",
        deadline: "10 seconds"
      }),
      SocketTransport.layer
    )
    const context = yield* Layer.build(client)
    const keys = nodes.map((node) => HostileServer.keysOf(nodes, node, 50))
    yield* Effect.forEach(keys, (list) => GhostDB.get(list[0]!)).pipe(Effect.provide(context))
    yield* Effect.forEach(nodes.slice(0, count), ({ behave }) => behave("accepts and never answers", "badly"))
    return { nodes, context, keys }
  })

  it.scopedLive("is dead soon, and all that was under way on it ends then and is answered elsewhere", () =>
    Effect.gen(function* () {
      const { context, keys } = yield* frozen(1)
      const values = yield* Effect.forEach(keys[0]!, (key) => GhostDB.put(key, key), { concurrency: "unbounded" }).pipe(
        Effect.provide(context),
        Effect.timeout("30 seconds")
      )
      assert.deepStrictEqual([...new Set(values)], ["STORED"])
      const { dead } = yield* Effect.provide(topologyNow, context)
      assert.deepStrictEqual(
        dead.map(({ failure }) => failure.reason),
        ["AttemptTimeout"]
      )
    })
  )

  it.scopedLive("and its neighbour on the ring too: commands are answered within the deadline", () =>
    Effect.gen(function* () {
      const { context, keys } = yield* frozen(2)
      const values = yield* Effect.forEach(keys[0]!, (key) => GhostDB.put(key, key), { concurrency: "unbounded" }).pipe(
        Effect.provide(context),
        Effect.timeout("30 seconds")
      )
      assert.deepStrictEqual([...new Set(values)], ["STORED"])
    })
  )
})

describe.concurrent("a node that another command finds dead", () => {
  it.live("ends the attempts under way on it through the transport", () =>
    Effect.gen(function* () {
      const found: Fault = { reason: "Reset", detail: "the node has been found dead" }
      const ended = yield* Deferred.make<never, Fault>()
      const transport = FakeTransport.layer(
        (node, command, body) => {
          if (node === "a" && body.includes("slow")) return Deferred.await(ended)
          if (node === "a" && body.includes("down")) return Effect.fail({ reason: "Refused", detail: "" } as const)
          return FakeTransport.hit(node, command, body)
        },
        { interrupt: () => Effect.asVoid(Deferred.fail(ended, found)) }
      )
      yield* Effect.gen(function* () {
        const keys = Arr.makeBy(50, String)
        yield* GhostDB.getMany(keys)
        // Of either word, a key of the node "a".
        const keyOf = (word: string) => Arr.makeBy(64, (i) => `${word}-${i}`)
        const slow = yield* Effect.fork(Effect.all(keyOf("slow").map(GhostDB.get), { concurrency: "unbounded" }))
        yield* Effect.yieldNow()
        yield* Effect.all(keyOf("down").map(GhostDB.get), { concurrency: "unbounded" })
        yield* Effect.timeout(Fiber.join(slow), "30 seconds")
        assert.deepStrictEqual(
          (yield* topologyNow).dead.map(({ node }) => node),
          ["a"]
        )
      }).pipe(
        Effect.provide(
          Layer.provide(Client.layer({ nodes: ["a", "b"], retry: Schedule.stop, replicas: 50 }), transport)
        )
      )
    })
  )
})
