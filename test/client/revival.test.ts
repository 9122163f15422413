import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schedule, TestClock } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { client, isLive, type Node, revivals, scene, topologyWhere } from "../support/scene.js"

describe.concurrent("revival", () => {
  it.scopedLive("keeps what the node holds", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.stop
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.none())
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.some(keys[0]))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("with onRevival flush, empties the node before it takes keys", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ ...revivals, onRevival: "flush" })
      yield* Effect.gen(function* () {
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        const from = hostile.requests.length
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        assert.strictEqual(hostile.values.size, 0)
        assert.deepStrictEqual(
          hostile.requests.slice(from).map(({ command }) => command),
          ["ping", "flush"]
        )
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.none())
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("with onRevival flush, a node that does not flush stays dead", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ ...revivals, onRevival: "flush" })
      yield* Effect.gen(function* () {
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        yield* hostile.behave("answers HTTP 500")
        yield* hostile.start
        const flushes = () => hostile.requests.filter(({ command }) => command === "flush").length
        yield* HostileServer.eventually("the third flush", () => flushes() >= 3)
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        yield* hostile.behave("answers as it should")
        yield* topologyWhere(isLive(hostile))
      }).pipe(Effect.provide(context))
    })
  )

  it.effect("with onRevival flush, a v1 node is back although it miscounts what it has emptied", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const dead = Effect.map(topologyNow, ({ dead }) => dead.map(({ node }) => node))
      yield* GhostDB.put("key", 1)
      yield* Effect.forEach(cluster.nodes, cluster.stop)
      yield* Effect.flip(GhostDB.get("key"))
      assert.deepStrictEqual(yield* dead, cluster.nodes)
      yield* cluster.inject("node-1", { reply: '{"Message":"ERR_FLUSH"}' }, { command: "flush" })
      yield* Effect.forEach(cluster.nodes, (node) => cluster.start(node))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* dead, [])
    }).pipe(
      Effect.provide(
        TestCluster.layer({ dialect: "v1", client: { onRevival: "flush", revive: Schedule.spaced("100 millis") } })
      )
    )
  )

  it.scopedLive("a schedule that has ended begins again with the next death", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
      const [first, second] = nodes
      let ended = false
      const revive = Schedule.spaced("20 millis").pipe(
        Schedule.whileOutput((times) => {
          ended = times >= 2
          return !ended
        })
      )
      const context = yield* Layer.build(client(nodes, { revive }))
      yield* Effect.gen(function* () {
        const die = (node: Node) =>
          Effect.zipRight(
            node.behave("answers HTTP 500", "badly"),
            GhostDB.get(HostileServer.keysOf(nodes, node, 1)[0])
          )
        yield* die(first)
        yield* HostileServer.eventually("the end of the schedule", () => ended)
        yield* first.behave("answers as it should")
        assert.isFalse(isLive(first)(yield* topologyNow))
        yield* die(second)
        yield* topologyWhere(isLive(first))
      }).pipe(Effect.provide(context))
    })
  )
})
