import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, TestClock } from "effect"
import { GhostDB, type GhostDBService, NodeServer, Ring, TestCluster } from "effect-ghostdb"
import { clientOf } from "../support/clients.js"
import { clients, counted, inMemory, keys, replicas } from "../support/raft.js"

describe.concurrent("with a replication delay of 200 ms", () => {
  const check = (db: GhostDBService, keys: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const stale: Array<string> = []
      for (const key of keys) {
        yield* db.put(key, "old")
      }
      yield* TestClock.adjust("200 millis")
      for (const key of keys) {
        expect(yield* db.put(key, "new")).toBe("STORED")
        if (!Option.contains(yield* db.get(key), "new")) stale.push(key)
      }
      yield* TestClock.adjust("200 millis")
      expect(yield* Effect.forEach(keys, db.get)).toEqual(keys.map(() => Option.some("new")))
      return stale
    })

  it.effect("in memory: a client reads its own writes by default", () =>
    Effect.gen(function* () {
      expect(yield* check(yield* GhostDB, keys)).toEqual([])
    }).pipe(Effect.provide(inMemory({ replicationDelay: "200 millis" })))
  )

  it.effect("in memory: and does not, of keys that a follower owns, where it reads from any", () =>
    Effect.gen(function* () {
      const ring = Ring.make((yield* TestCluster).nodes, { replicas })
      const owned = keys.filter((key) => Ring.owner(ring, key) !== "node-1")
      expect(owned.length).toBeGreaterThan(0)
      expect(yield* check(yield* GhostDB, keys)).toEqual(owned)
      for (const count of yield* counted("get")) expect(count).toBeGreaterThan(0)
    }).pipe(Effect.provide(inMemory({ replicationDelay: "200 millis", client: { readFrom: "any" } })))
  )

  it.scoped("over HTTP: the same", () =>
    Effect.gen(function* () {
      // The servers go by the test's clock, so that a slow machine cannot give replication the time it needs.
      const servers = yield* NodeServer.cluster({ dialect: "raft", replicationDelay: "200 millis" })
      const byDefault = yield* Effect.provide(GhostDB, yield* Layer.build(clientOf(servers, { replicas })))
      const fromAny = yield* Effect.provide(
        GhostDB,
        yield* Layer.build(clientOf(servers, { replicas, readFrom: "any" }))
      )
      const ring = Ring.make(
        servers.map(({ address }) => address),
        { replicas }
      )
      expect(yield* check(byDefault, keys)).toEqual([])
      const more = keys.map((key) => `more:${key}`)
      const owned = more.filter((key) => Ring.owner(ring, key) !== servers[0]!.address)
      expect(yield* check(fromAny, more)).toEqual(owned)
    })
  )

  it.effect("a client that has not spoken to a key's owner yet reads from the leader all the same", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", replicationDelay: "1 hour" })
      yield* Effect.provide(
        Effect.forEach(keys.slice(0, 6), (key) => GhostDB.put(key, key)),
        clients(servers)
      )
      for (const key of keys.slice(0, 6)) {
        expect(yield* Effect.provide(GhostDB.get(key), clients(servers))).toEqual(Option.some(key))
      }
    }).pipe(Effect.scoped)
  )
})

describe.concurrent("a group of servers", () => {
  it.scoped("one that is restarted catches up; one that cannot listen again stays out", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", nodes: 2 })
      const [leader, follower] = servers
      yield* leader!.node.handle("put", '{"Gobj":{"Key":"key","Value":1,"TTL":"-1"}}')
      yield* follower!.stop
      expect(yield* leader!.node.isLeader).toBe(false)
      yield* follower!.start()
      expect(yield* follower!.node.size).toBe(1)

      yield* follower!.stop
      const taken = yield* Effect.scoped(
        Effect.zipRight(NodeServer.make({ port: follower!.port }), Effect.flip(follower!.start()))
      )
      expect(taken.message).toContain("EADDRINUSE")
      const leading = Effect.forEach(servers, ({ node }) => node.isLeader)
      yield* TestClock.adjust("1 minute")
      // Two of two would be a majority.
      expect(yield* leading).toEqual([false, false])

      yield* follower!.start()
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toEqual([false, true])
      expect(yield* Effect.forEach(servers, ({ node }) => node.size)).toEqual([1, 1])
    })
  )
})
