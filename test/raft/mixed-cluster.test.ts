import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Exit, Fiber, Option, Schedule, Stream, TestClock } from "effect"
import { type Dialect, GhostDB, type KeyError, NodeServer, NoMoreServers, Ring, TestCluster } from "effect-ghostdb"
import * as RaftGroup from "../../src/server/RaftGroup.js"
import { clientOf, topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { counted, inMemory, keys, logLines, replicas } from "../support/raft.js"

describe.concurrent("a mixed cluster", () => {
  const addresses = ["node-1", "node-2", "node-3", "node-4"]
  const ring = Ring.make(addresses, { replicas })
  const ownerOf = (key: string) => Ring.owner(ring, key) ?? ""

  /** Stops a node so that the client knows of it, and starts another dialect in its place. */
  const replace = (node: string, dialect: Dialect) =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.stop(node)
      yield* Effect.forEach(keys, GhostDB.get)
      expect((yield* topologyNow).dead.map(({ node }) => node)).toEqual([node])
      yield* cluster.start(node, { dialect })
      yield* TestClock.adjust("40 seconds")
      expect((yield* topologyNow).dead).toEqual([])
    })

  /** The nodes that hold a key. */
  const holders = (key: string) =>
    Effect.flatMap(TestCluster, (cluster) =>
      Effect.filter(cluster.nodes, (address) =>
        Effect.map(Effect.flatten(Effect.map(cluster.node(address), (node) => node.entries)), (entries) =>
          entries.some((entry) => entry.key === key)
        )
      )
    )

  const checkPlacement = (raft: ReadonlyArray<string>) =>
    Effect.forEach(keys, (key) =>
      Effect.gen(function* () {
        expect(yield* GhostDB.put(key, { key })).toBe("STORED")
        expect(yield* GhostDB.get(key)).toEqual(Option.some({ key }))
        expect(yield* holders(key)).toEqual(raft.includes(ownerOf(key)) ? raft : [ownerOf(key)])
        expect(yield* GhostDB.delete(key)).toBe("REMOVED")
        expect(yield* holders(key)).toEqual([])
        expect(yield* GhostDB.add(key, { key })).toBe("STORED")
      })
    )

  it.effect("an upgrade from v2 to raft, node by node: the ring decides key by key, and the log warns once", () =>
    Effect.gen(function* () {
      const lines = yield* logLines(
        Effect.gen(function* () {
          yield* checkPlacement([])
          expect((yield* topologyNow).placement).toBe("ring")
          for (const upgraded of [["node-2"], ["node-2", "node-3"], ["node-1", "node-2", "node-3"]]) {
            const node = upgraded.find((node) =>
              upgraded.length === 3 ? node === "node-1" : node === upgraded.at(-1)
            )!
            yield* replace(node, "raft")
            yield* checkPlacement(upgraded)
            expect(yield* topologyNow).toMatchObject({ placement: "mixed", leader: Option.some("node-2") })
            expect(yield* GhostDB.leader).toEqual(Option.some("node-2"))
          }
          expect(yield* GhostDB.flush).toBe("FLUSHED")
          expect(yield* counted("flush")).toEqual([0, 1, 0, 1])
          yield* replace("node-4", "raft")
          yield* checkPlacement(addresses)
          expect((yield* topologyNow).placement).toBe("replicated")
        }).pipe(Effect.provide(inMemory({ nodes: addresses, dialect: "v2" })))
      )
      expect(lines.filter((line) => line.startsWith("WARN") && line.includes("mixed"))).toEqual([
        "WARN GhostDB nodes are mixed: the ring decides which keys are the raft cluster's"
      ])
      expect(lines).toContain("INFO GhostDB leader changed node-2")
    })
  )

  it.effect("and back: a node that was a raft member is none any more", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, 1))
      yield* replace("node-4", "v2")
      yield* replace("node-3", "v2")
      expect(yield* GhostDB.flush).toBe("FLUSHED")
      yield* checkPlacement(["node-1", "node-2"])
      expect((yield* topologyNow).placement).toBe("mixed")
    }).pipe(Effect.provide(inMemory({ nodes: addresses, client: { readFrom: "any" } })))
  )

  it.effect("a mixed cluster without a leader: only the raft members' keys wait for one", () =>
    Effect.gen(function* () {
      yield* replace("node-2", "raft")
      yield* Effect.flatMap(TestCluster, ({ stepDown }) => stepDown)
      const writes = yield* Effect.fork(
        Effect.forEach(keys, (key) => Effect.either(Effect.as(GhostDB.put(key, 1), key)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("900 millis")
      const held = yield* Effect.filter(keys, (key) => Effect.map(holders(key), (nodes) => nodes.length > 0))
      expect(held).toEqual(keys.filter((key) => ownerOf(key) !== "node-2"))
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(writes)).toEqual(keys.map((key) => Either.right(key)))
    }).pipe(Effect.provide(inMemory({ nodes: addresses, dialect: "v2" })))
  )

  for (const emulateQuirks of [false, true]) {
    it.effect(
      `a node that is replaced unseen${emulateQuirks ? ", and stores what it cannot read" : ""}: the next command learns`,
      () =>
        Effect.gen(function* () {
          const cluster = yield* TestCluster
          for (const key of keys) yield* GhostDB.put(key, "before")
          yield* cluster.start("node-1", { dialect: "raft" })
          yield* cluster.start("node-2", { dialect: "raft" })
          const raft = ["node-1", "node-2"]
          const [put, get, add, remove] = keys.filter((key) => raft.includes(ownerOf(key)))
          // The first on each node is in the wrong dialect.
          expect(yield* GhostDB.put(put!, "after", 60)).toBe("STORED")
          expect(yield* GhostDB.get(get!)).toEqual(Option.none())
          expect(yield* GhostDB.add(add!, "after")).toBe("STORED")
          expect(yield* GhostDB.delete(remove!)).toBe("NOT_FOUND")
          yield* TestClock.adjust("59 seconds")
          expect(yield* GhostDB.get(put!)).toEqual(Option.some("after"))
          expect(yield* holders(add!)).toEqual(raft)
          expect(yield* topologyNow).toMatchObject({ placement: "mixed", dead: [] })
        }).pipe(Effect.provide(inMemory({ nodes: addresses, dialect: "v2", emulateQuirks })))
    )
  }

  it.scopedLive("a node that is replaced unseen under many commands at once is not held to be failing", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 1 })
      const [server] = servers
      yield* Effect.gen(function* () {
        yield* Effect.forEach(keys, (key) => GhostDB.put(key, key), { concurrency: "unbounded" })
        yield* server!.stop
        const { node } = yield* NodeServer.make({ port: server!.port, dialect: "raft" })
        expect(yield* Effect.forEach(keys, (key) => GhostDB.put(key, key), { concurrency: "unbounded" })).toEqual(
          keys.map(() => "STORED")
        )
        expect(yield* topologyNow).toMatchObject({ placement: "replicated", dead: [] })
        expect(yield* node.size).toBe(keys.length)
      }).pipe(Effect.provide(clientOf(servers)))
    })
  )

  it.scopedLive("an upgrade over HTTP under load: every command ends with a value or a typed failure", () =>
    Effect.gen(function* () {
      const raftGroup = yield* RaftGroup.make({ electionTime: "100 millis" })
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      const client = clientOf(servers, { replicas, revive: Schedule.spaced("50 millis"), deadline: "2 seconds" })
      const until = (placement: string) =>
        GhostDB.topology.pipe(
          Stream.filter((topology) => topology.placement === placement && topology.dead.length === 0),
          Stream.runHead,
          Effect.map(Option.getOrThrow)
        )
      yield* Effect.gen(function* () {
        let ended = 0
        const use = (key: string) =>
          Effect.gen(function* () {
            const commands: ReadonlyArray<Effect.Effect<unknown, NoMoreServers | KeyError, GhostDB>> = [
              GhostDB.put(key, key),
              GhostDB.get(key),
              GhostDB.delete(key),
              GhostDB.add(key, key)
            ]
            for (const command of commands) {
              const result = yield* Effect.either(command)
              if (Either.isLeft(result)) expect(result.left).toBeInstanceOf(NoMoreServers)
              ended++
            }
            yield* Effect.sleep("1 millis")
          })
        const load = yield* Effect.fork(
          Effect.forEach(keys, (key) => Effect.forever(use(key)), { concurrency: "unbounded", discard: true })
        )
        for (const [i, server] of servers.entries()) {
          const before = ended
          yield* HostileServer.eventually("the load goes on", () => ended > before + 200)
          yield* server.stop
          yield* NodeServer.make({ port: server.port, dialect: "raft", raftGroup })
          expect((yield* until(i < 2 ? "mixed" : "replicated")).live).toHaveLength(3)
        }
        expect(Exit.isInterrupted(yield* Fiber.interrupt(load))).toBe(true)
        expect(yield* GhostDB.flush).toBe("FLUSHED")
        expect(yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))).toEqual(keys.map(() => "STORED"))
        for (const { address } of servers) expect(yield* GhostDB.nodeSize(address)).toEqual(Option.some(keys.length))
      }).pipe(Effect.provide(client))
    })
  )
})
