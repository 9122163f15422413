import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Schedule, TestClock } from "effect"
import { CacheNode, Client, GhostDB, NodeServer, RaftGroup, Ring, TestCluster } from "effect-ghostdb"
import { clientOf, topologyNow } from "../support/clients.js"
import * as FakeTransport from "../support/FakeTransport.js"

const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`)
const putAll = (value: string) => Effect.forEach(keys, (key) => GhostDB.put(key, value), { discard: true })
const getAll = Effect.forEach(keys, GhostDB.get)
const is = (text: string) => Option.exists((value) => value === text)
const client = { revive: Schedule.spaced("100 millis"), replicas: 10 } as const

describe.concurrent("what a stand-in was given is deleted there when the owner is back", () => {
  for (const onRevival of ["keep", "flush"] as const) {
    it.effect(`at the owner's next outage no old value comes to light (onRevival: "${onRevival}")`, () =>
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* putAll("first")
        yield* cluster.stop("node-2")
        yield* putAll("second")
        yield* cluster.start("node-2")
        yield* TestClock.adjust("1 second")
        expect((yield* topologyNow).dead).toEqual([])
        yield* putAll("third")
        yield* cluster.stop("node-2")
        const found = yield* getAll
        expect(found.filter(is("second"))).toEqual([])
        expect(found.some(Option.isNone)).toBe(true)
        expect(found.some(is("third"))).toBe(true)
      }).pipe(Effect.provide(TestCluster.layer({ client: { ...client, onRevival } })))
    )
  }

  for (const onRevival of ["keep", "flush"] as const) {
    it.scopedLive(`over HTTP the same (onRevival: "${onRevival}")`, () =>
      Effect.gen(function* () {
        const servers = yield* NodeServer.cluster({ nodes: 3 })
        const [, second] = servers
        const ring = Ring.make(
          servers.map(({ address }) => address),
          { replicas: client.replicas }
        )
        const owned = keys.filter((key) => Ring.owner(ring, key) !== second!.address)
        yield* Effect.gen(function* () {
          yield* putAll("first")
          yield* second!.stop
          yield* putAll("second")
          const isBack = Effect.map(topologyNow, ({ dead }) => dead.length === 0)
          const isClean = Effect.map(
            Effect.forEach(
              servers.filter((server) => server !== second),
              ({ node }) => node.entries
            ),
            (all) => all.flat().length === owned.length
          )
          // The owner has kept what it held before.
          yield* second!.start({ keep: true })
          yield* Effect.repeat(
            Effect.zipWith(isBack, isClean, (back, clean) => back && clean),
            {
              until: (done) => done,
              schedule: Schedule.spaced("10 millis")
            }
          )
          yield* putAll("third")
          yield* second!.stop
          const found = yield* getAll
          expect(found.filter((value) => Option.isSome(value) && value.value !== "third")).toEqual([])
          expect(found.some(Option.isNone)).toBe(true)
        }).pipe(Effect.provide(clientOf(servers, { ...client, onRevival })))
      })
    )
  }
})

describe("an upgrade from v2 to raft while an owner is away", () => {
  it.effect("what a stand-in was given as a v2 node is not deleted in the raft cluster that it has joined", () =>
    Effect.gen(function* () {
      const names = ["10.0.0.1", "10.0.0.2", "10.0.0.3"] as const
      const raftGroup = yield* RaftGroup.make({})
      const up = new Map<string, CacheNode.CacheNode>()
      for (const name of names) up.set(name, yield* CacheNode.make({ dialect: "v2" }))
      const upgrade = (name: string) =>
        Effect.map(CacheNode.make({ dialect: "raft", raftGroup, raftHost: name }), (node) => up.set(name, node))
      const transport = FakeTransport.layer(
        (node, command, body) =>
          up.get(node)?.handle(command, body) ?? Effect.fail({ reason: "Refused", detail: "the node is stopped" })
      )
      const layer = Layer.provide(Client.layer({ ...client, retry: Schedule.stop, nodes: names }), transport)
      yield* Effect.gen(function* () {
        yield* putAll("first")
        up.delete(names[2])
        yield* Effect.forEach(keys, GhostDB.get)
        yield* putAll("second")
        for (const name of [names[0], names[1]]) yield* upgrade(name)
        yield* putAll("third")
        expect((yield* topologyNow).placement).toBe("replicated")
        yield* upgrade(names[2])
        yield* TestClock.adjust("1 second")
        expect((yield* topologyNow).dead).toEqual([])
        expect((yield* getAll).every(is("third"))).toBe(true)
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped)
  )
})
