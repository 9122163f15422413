import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { Client, GhostDB, NodeServer, Ring, SocketTransport, TestCluster } from "effect-ghostdb"
import * as RaftGroup from "../../src/server/RaftGroup.js"
import * as HostileServer from "../support/HostileServer.js"
import { clients, keys, replicas } from "../support/raft.js"

describe.concurrent("the leader's address", () => {
  /** Runs a few commands, and tells whom the client takes for the leader. */
  const leaderOf = Effect.gen(function* () {
    for (const key of keys.slice(0, 12)) {
      expect(yield* GhostDB.put(key, key)).toBe("STORED")
      expect(yield* GhostDB.get(key)).toEqual(Option.some(key))
    }
    return yield* Effect.map(GhostDB.leader, Option.getOrThrow)
  })

  it.scopedLive("several members on one host: the one that leads is told from the others", () =>
    Effect.gen(function* () {
      const raftGroup = yield* RaftGroup.make({ electionTime: "0 millis" })
      const servers = yield* NodeServer.cluster({ nodes: 5, dialect: "raft", raftGroup })
      yield* Effect.gen(function* () {
        for (const server of [servers[0]!, servers[1]!, servers[2]!]) {
          expect(yield* leaderOf).toBe(server.address)
          yield* raftGroup.stepDown
        }
      }).pipe(Effect.provide(clients(servers)))
    })
  )

  it.scopedLive("a host that is not in the nodes file: every member is tried", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", raftHost: "raft.internal" })
      const nodes = servers.map(({ port }) => `localhost:${port}`)
      const client = Client.layer({ nodes, replicas }).pipe(Layer.provide(SocketTransport.layer), Layer.orDie)
      expect(yield* Effect.provide(leaderOf, client)).toBe(nodes[0])
    })
  )

  it.scopedLive("a host that is another member's in the nodes file: every member is tried", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft" })
      const nodes = servers.map(({ port }, i) => (i === 0 ? `localhost:${port}` : `127.0.0.1:${port}`))
      const client = Client.layer({ nodes, replicas }).pipe(Layer.provide(SocketTransport.layer), Layer.orDie)
      expect(yield* Effect.provide(leaderOf, client)).toBe(nodes[0])
    })
  )

  it.effect("a leader that once answered a ping as another dialect does is found all the same", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const ring = Ring.make(cluster.nodes, { replicas: 1 })
      const key = keys.find((key) => Ring.owner(ring, key) === "node-2")!
      // An empty body is how a v1 server answers a ping.
      yield* cluster.inject("node-1", { reply: "" }, { command: "ping" })
      const early = yield* Effect.fork(GhostDB.put(key, "early"))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.await(early)
      yield* cluster.heal()
      const put = yield* Effect.fork(GhostDB.put(key, "value"))
      yield* TestClock.adjust("10 seconds")
      expect(yield* Fiber.join(put)).toBe("STORED")
      expect(yield* GhostDB.leader).toEqual(Option.some("node-1"))
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 3, dialect: "raft" })))
  )

  it.scopedLive("is found past a node that never answers", () =>
    Effect.gen(function* () {
      const hostile = yield* HostileServer.make()
      yield* hostile.behave("accepts and never answers", "badly")
      const servers = yield* NodeServer.cluster({ dialect: "raft" })
      const nodes = [hostile.address, ...servers.map(({ address }) => address)]
      const ring = Ring.make(nodes, { replicas })
      const key = keys.find((key) => Ring.owner(ring, key) !== hostile.address)!
      const client = Client.layer({ nodes, replicas, attemptTimeout: "1 hour", deadline: "1 hour" }).pipe(
        Layer.provide(SocketTransport.layer),
        Layer.orDie
      )
      expect(yield* Effect.provide(GhostDB.put(key, 1), client)).toBe("STORED")
    })
  )
})
