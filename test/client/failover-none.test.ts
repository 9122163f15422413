import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option } from "effect"
import { GhostDB, NodeServer, NoMoreServers, Ring, TestCluster } from "effect-ghostdb"
import { clientOf } from "../support/clients.js"

const nodes = ["node-1", "node-2", "node-3"]
const ring = Ring.make(nodes, { replicas: 10 })
const keys = Array.from({ length: 60 }, (_, i) => `key:${i}`)
const isOf = (node: string) => (key: string) => Option.contains(Ring.lookup(ring, key), node)

describe(`failover: "none"`, () => {
  it.effect("the keys of a dead node fail with its name, and go nowhere else; all others go on", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
      yield* cluster.stop("node-2")
      for (const key of keys.filter(isOf("node-2"))) {
        for (const command of [
          Effect.asVoid(GhostDB.get(key)),
          Effect.asVoid(GhostDB.put(key, "elsewhere")),
          Effect.asVoid(GhostDB.delete(key))
        ]) {
          const error = yield* Effect.flip(command)
          expect(error).toBeInstanceOf(NoMoreServers)
          expect(
            error._tag === "NoMoreServers" && error.failures.map(({ node, reason }) => `${node} ${reason}`)
          ).toEqual(["node-2 Refused"])
        }
      }
      const others = keys.filter((key) => !isOf("node-2")(key))
      expect(others.length).toBeLessThan(keys.length)
      expect(yield* Effect.forEach(others, GhostDB.get)).toEqual(others.map(Option.some))
      for (const name of ["node-1", "node-3"]) {
        const held = yield* Effect.flatMap(cluster.node(name), ({ entries }) => entries)
        expect(held.filter(({ key }) => isOf("node-2")(key))).toEqual([])
      }
    }).pipe(Effect.provide(TestCluster.layer({ client: { failover: "none", replicas: 10 } })))
  )

  it.effect("where the cache fails open, they are misses", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const key = keys.find(isOf("node-2"))!
      yield* GhostDB.put(key, 1)
      yield* cluster.stop("node-2")
      expect(yield* GhostDB.get(key)).toEqual(Option.none())
      expect(yield* GhostDB.put(key, 2)).toBe("NOT_STORED")
    }).pipe(Effect.provide(TestCluster.layer({ client: { failover: "none", failOpen: true, replicas: 10 } })))
  )

  for (const failOpen of [false, true]) {
    it.scopedLive(`over HTTP the same${failOpen ? ", a miss where the cache fails open" : ""}`, () =>
      Effect.gen(function* () {
        const servers = yield* NodeServer.cluster({ nodes: 3 })
        const [, dead] = servers
        const placed = Ring.make(
          servers.map(({ address }) => address),
          { replicas: 10 }
        )
        yield* Effect.gen(function* () {
          yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
          yield* dead!.stop
          for (const key of keys) {
            const found = yield* Effect.either(GhostDB.get(key))
            if (Ring.owner(placed, key) !== dead!.address) expect(found).toEqual(Either.right(Option.some(key)))
            else if (failOpen) expect(found).toEqual(Either.right(Option.none()))
            else {
              const failure = Option.getOrThrow(Either.getLeft(found))
              expect(failure).toMatchObject({ _tag: "NoMoreServers", failures: [{ node: dead!.address }] })
            }
          }
          // Nothing was put where it does not belong.
          const lost = keys.filter((key) => Ring.owner(placed, key) === dead!.address)
          yield* Effect.forEach(lost, (key) => Effect.either(GhostDB.put(key, "elsewhere")))
          for (const { node } of servers.filter((server) => server !== dead)) {
            expect((yield* node.entries).filter(({ key }) => lost.includes(key))).toEqual([])
          }
        }).pipe(Effect.provide(clientOf(servers, { failover: "none", failOpen, replicas: 10 })))
      })
    )
  }

  it.effect("raft members all hold every key: the death of one costs nothing", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
      yield* cluster.stop("node-3")
      yield* GhostDB.flush
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(Option.some))
    }).pipe(Effect.provide(TestCluster.layer({ dialect: "raft", client: { failover: "none", replicas: 10 } })))
  )
})
