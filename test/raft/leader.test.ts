import { describe, expect, it } from "@effect/vitest"
import {
  type Context,
  Duration,
  Effect,
  Either,
  Exit,
  Fiber,
  HashMap,
  Layer,
  Logger,
  Option,
  Schedule,
  Stream,
  TestClock
} from "effect"
import {
  type CacheNode,
  Client,
  type Dialect,
  GhostDB,
  type GhostDBService,
  type Json,
  type KeyError,
  NodeServer,
  NoMoreServers,
  Ring,
  SnitchMetrics,
  SocketTransport,
  TestCluster,
  type TestClusterOptions,
  Transport
} from "effect-ghostdb"
import { stringOf } from "../../src/model/Exchange.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import type * as Protocol from "../../src/protocol/Protocol.js"
import * as RaftGroup from "../../src/server/RaftGroup.js"
import wireRaft from "../fixtures/wire-raft.json" with { type: "json" }
import * as HostileServer from "../support/HostileServer.js"
import { clientOf } from "../support/nodes.js"

/** So many that each node owns some keys, which is what makes `readFrom: "any"` ask it. */
const replicas = 50

const inMemory = ({ client, ...options }: TestClusterOptions = {}) =>
  TestCluster.layer({ dialect: "raft", ...options, client: { replicas, ...client } })

const keys = Array.from({ length: 60 }, (_, i) => `key:${i}`)

const topologyNow = Effect.flatten(Stream.runHead(GhostDB.topology))

/** Requests of one kind that each node has had. */
const counted = (command: keyof CacheNode.CommandCounts) =>
  Effect.flatMap(TestCluster, (cluster) =>
    Effect.forEach(cluster.nodes, (address) =>
      Effect.map(
        Effect.flatten(Effect.map(cluster.node(address), (node) => node.commandCounts)),
        (counts) => counts[command]
      )
    )
  )

const sum = (counts: ReadonlyArray<number>) => counts.reduce((total, count) => total + count, 0)

/** The leader by the nodes themselves. */
const ruling = Effect.flatMap(TestCluster, (cluster) => Effect.flatten(cluster.leader))

const stopLeader = Effect.gen(function* () {
  const cluster = yield* TestCluster
  const leader = yield* ruling
  yield* cluster.stop(leader)
  return leader
})

/** A further client of the nodes of a group of servers. */
const clients = (servers: ReadonlyArray<NodeServer.NodeServer>) => clientOf(servers, { replicas })

/** The lines that an effect logs: level, message and node. */
const logLines = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const collector = Logger.make(({ annotations, logLevel, message }) => {
      const node = Option.getOrElse(HashMap.get(annotations, "node"), () => "")
      lines.push(`${logLevel.label} ${String(message)} ${String(node)}`.trimEnd())
    })
    return Effect.as(Effect.provide(effect, Logger.replace(Logger.defaultLogger, collector)), lines)
  })

describe("a raft cluster", () => {
  it.effect("needs no configuration: writes go to the leader, whichever node owns the key", () =>
    Effect.gen(function* () {
      for (const key of keys) expect(yield* GhostDB.put(key, key)).toBe("STORED")
      expect(yield* GhostDB.add("added", 1)).toBe("STORED")
      expect(yield* GhostDB.delete("added")).toBe("REMOVED")
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(Option.some))
      // One key's owner was a follower before the client knew; no write was ever sent there.
      expect(yield* counted("put")).toEqual([60, 0, 0])
      expect(yield* counted("get")).toEqual([60, 0, 0])
      expect(yield* counted("delete")).toEqual([1, 0, 0])
      expect(yield* topologyNow).toMatchObject({ placement: "replicated", leader: Option.some("node-1"), dead: [] })
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("remembers the leader, until it refuses", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      const asked = yield* counted("getLeader")
      expect(Math.max(...asked)).toBe(1)

      yield* cluster.stepDown
      yield* TestClock.adjust("1 second")
      expect(yield* ruling).toBe("node-2")
      for (const key of keys) expect(yield* GhostDB.put(key, 2)).toBe("STORED")
      // The first write was refused; the others have not asked again.
      expect(yield* counted("put")).toEqual([61, 60, 0])
      expect(Math.max(...(yield* counted("getLeader")))).toBe(2)
      expect((yield* topologyNow).leader).toEqual(Option.some("node-2"))
      expect((yield* topologyNow).dead).toEqual([])
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("finds the leader again when it dies; meanwhile writes wait, and reads go on", () =>
    Effect.gen(function* () {
      for (const key of keys) yield* GhostDB.put(key, "before")
      const gone = yield* stopLeader
      const writes = yield* Effect.fork(
        Effect.forEach(keys, (key) => GhostDB.put(key, "after"), { concurrency: "unbounded" })
      )
      for (let i = 0; i < 9; i++) {
        yield* TestClock.adjust("100 millis")
        expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some("before")))
        expect((yield* topologyNow).leader).toEqual(Option.none())
        expect(yield* GhostDB.leader).toEqual(Option.none())
      }
      expect(yield* Fiber.poll(writes)).toEqual(Option.none())
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(writes)).toEqual(keys.map(() => "STORED"))
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some("after")))
      expect(yield* topologyNow).toMatchObject({
        leader: yield* Effect.asSome(ruling),
        dead: [{ node: gone, failure: { reason: "Refused" } }]
      })
      // 60 writes have waited for a second, and hundreds of reads have gone elsewhere, on few questions.
      expect(sum(yield* counted("getLeader"))).toBeLessThan(60)
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("without a majority: writes end by the deadline and name every node, reads go on", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.stop("node-1")
      yield* cluster.stop("node-3")
      for (const write of [GhostDB.put("key", 2), GhostDB.add("other", 2), GhostDB.delete("key"), GhostDB.flush]) {
        const fiber = yield* Effect.fork(Effect.flip(write))
        yield* TestClock.adjust("4900 millis")
        expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
        yield* TestClock.adjust("100 millis")
        const error = yield* Fiber.join(fiber)
        expect(error).toBeInstanceOf(NoMoreServers)
        expect(error.message).toMatch(/node-1 Refused/)
        expect(error.message).toMatch(/node-2 NotLeader \(the raft cluster has no leader\)/)
        expect(error._tag === "NoMoreServers" && error.failures.length).toBeLessThanOrEqual(3)
        expect(yield* GhostDB.get("key")).toEqual(Option.some(1))
      }
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("waits by the `election` schedule, and no longer than that says", () =>
    Effect.gen(function* () {
      yield* GhostDB.put("key", 1)
      yield* Effect.flatMap(TestCluster, ({ stepDown }) => stepDown)
      const write = yield* Effect.fork(Effect.either(GhostDB.put("key", 2)))
      yield* TestClock.adjust("299 millis")
      expect(yield* Fiber.poll(write)).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      const error = yield* Effect.flip(Effect.flatten(Fiber.join(write)))
      expect(error.message).toBe(
        "no GhostDB node served the command: node-1 NotLeader (the node does not lead its raft cluster); " +
          "node-2 NotLeader (the raft cluster has no leader); node-3 NotLeader (the raft cluster has no leader)"
      )
      const failures = error._tag === "NoMoreServers" ? error.failures : []
      expect(failures.map(Object.keys)).toEqual(Array(3).fill(["node", "reason", "detail"]))
    }).pipe(
      Effect.provide(
        inMemory({ client: { election: Schedule.spaced("100 millis").pipe(Schedule.intersect(Schedule.recurs(3))) } })
      )
    )
  )

  it.effect("finds a dead leader that is back, long before the next revival", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.put("key", 1)
      yield* cluster.stop("node-1")
      const second = yield* Effect.fork(GhostDB.put("key", 2))
      yield* TestClock.adjust("1100 millis")
      expect(yield* Fiber.join(second)).toBe("STORED")
      yield* cluster.start("node-1")
      for (let i = 0; i < 2; i++) {
        yield* cluster.stepDown
        yield* TestClock.adjust("1 second")
      }
      expect(yield* ruling).toBe("node-1")
      expect((yield* topologyNow).dead).toHaveLength(1)
      const third = yield* Effect.fork(GhostDB.put("key", 3))
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(third)).toBe("STORED")
      expect(yield* topologyNow).toMatchObject({ leader: Option.some("node-1"), dead: [] })
    }).pipe(Effect.provide(inMemory()))
  )

  describe("with a replication delay of 200 ms", () => {
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

  it.effect("flushes once, through the leader, also when that has just died", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      expect(yield* GhostDB.flush).toBe("FLUSHED")
      expect(yield* counted("flush")).toEqual([1, 0, 0])
      for (const node of cluster.nodes) expect(yield* Effect.flatMap(cluster.node(node), ({ size }) => size)).toBe(0)

      yield* GhostDB.put("key", 1)
      yield* stopLeader
      const flush = yield* Effect.fork(GhostDB.flush)
      yield* TestClock.adjust("1100 millis")
      expect(yield* Fiber.join(flush)).toBe("FLUSHED")
      expect(sum(yield* counted("flush"))).toBe(2)
      expect(yield* GhostDB.get("key")).toEqual(Option.none())
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("nodeSize, metrics and ping answer for every member", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      yield* TestClock.adjust("10 minutes")
      expect(yield* Effect.forEach(cluster.nodes, GhostDB.nodeSize)).toEqual(cluster.nodes.map(() => Option.some(60)))
      expect(yield* GhostDB.nodeSize("elsewhere")).toEqual(Option.none())
      expect(yield* GhostDB.getWatchdogMetrics).toEqual({ metrics: cluster.nodes.map((node) => ({ node, data: [] })) })
      const { metrics } = yield* GhostDB.getSnitchMetrics
      expect(metrics.map(({ node }) => node)).toEqual(cluster.nodes)
      for (const { data } of metrics) expect(data).toHaveLength(2)
      expect(yield* GhostDB.ping).toEqual(cluster.nodes)

      yield* cluster.stop("node-2")
      expect(yield* GhostDB.ping).toEqual(["node-1", "node-3"])
      expect((yield* GhostDB.getSnitchMetrics).metrics.map(({ node }) => node)).toEqual(["node-1", "node-3"])
      expect(yield* GhostDB.nodeSize("node-3")).toEqual(Option.some(60))
      expect(yield* Effect.flip(GhostDB.nodeSize("node-2"))).toMatchObject({
        failures: [{ node: "node-2", reason: "Refused" }]
      })
    }).pipe(Effect.provide(inMemory()))
  )

  it.effect("GhostDB.leader asks anew, and is none in clusters without one", () =>
    Effect.gen(function* () {
      expect(yield* Effect.provide(GhostDB.leader, TestCluster.layer({ dialect: "v1" }))).toEqual(Option.none())
      expect(yield* Effect.provide(GhostDB.leader, TestCluster.layer({ dialect: "v2" }))).toEqual(Option.none())
      yield* Effect.gen(function* () {
        const cluster = yield* TestCluster
        expect(yield* GhostDB.leader).toEqual(Option.some("node-1"))
        yield* cluster.stepDown
        expect(yield* GhostDB.leader).toEqual(Option.none())
        yield* TestClock.adjust("1 second")
        expect(yield* GhostDB.leader).toEqual(Option.some("node-2"))
        expect((yield* topologyNow).leader).toEqual(Option.some("node-2"))
        yield* Effect.forEach(cluster.nodes, cluster.stop)
        expect(yield* GhostDB.leader).toEqual(Option.none())
      }).pipe(Effect.provide(inMemory()))
    })
  )

  it.effect("revival with `onRevival: flush` leaves a member alone: its leader brings it up to date", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const key of keys) yield* GhostDB.put(key, 1)
      yield* cluster.stop("node-2")
      // Reads by the ring meet it.
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some(1)))
      expect((yield* topologyNow).dead.map(({ node }) => node)).toEqual(["node-2"])
      yield* cluster.start("node-2")
      yield* TestClock.adjust("40 seconds")
      expect((yield* topologyNow).dead).toEqual([])
      expect(sum(yield* counted("flush"))).toBe(0)
      expect(yield* Effect.forEach(keys, GhostDB.get)).toEqual(keys.map(() => Option.some(1)))
      expect((yield* counted("get"))[1]).toBeGreaterThan(0)
    }).pipe(Effect.provide(inMemory({ client: { onRevival: "flush", readFrom: "any" } })))
  )

  it.effect("a client with `dialect: raft` needs no ping", () =>
    Effect.gen(function* () {
      for (const key of keys) expect(yield* GhostDB.put(key, 1)).toBe("STORED")
      expect(yield* GhostDB.leader).toEqual(Option.some("node-1"))
      expect(yield* counted("ping")).toEqual([0, 0, 0])
    }).pipe(Effect.provide(inMemory({ client: { dialect: "raft" } })))
  )
})

describe("the leader's address", () => {
  /** Runs a few commands, and tells whom the client takes for the leader. */
  const leaderOf = Effect.gen(function* () {
    for (const key of keys.slice(0, 12)) {
      expect(yield* GhostDB.put(key, key)).toBe("STORED")
      expect(yield* GhostDB.get(key)).toEqual(Option.some(key))
    }
    return yield* Effect.flatten(GhostDB.leader)
  })

  it.scopedLive("several members on one host: the one that leads is told from the others", () =>
    Effect.gen(function* () {
      const raftGroup = yield* RaftGroup.make({ electionTime: 0 })
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

  it.scopedLive("is found past a node that never answers", () =>
    Effect.gen(function* () {
      const hostile = yield* HostileServer.make()
      yield* hostile.behave("accepts and never answers", "badly")
      const servers = yield* NodeServer.cluster({ dialect: "raft" })
      const nodes = [hostile.address, ...servers.map(({ address }) => address)]
      const ring = Ring.make(nodes, { replicas })
      const key = keys.find((key) => Ring.owner(ring, key) !== hostile.address)!
      const client = Client.layer({ nodes, replicas, attemptTimeout: "3 seconds" }).pipe(
        Layer.provide(SocketTransport.layer),
        Layer.orDie
      )
      const [duration, stored] = yield* Effect.timed(Effect.provide(GhostDB.put(key, 1), client))
      expect(stored).toBe("STORED")
      expect(Duration.toMillis(duration)).toBeLessThan(2000)
    })
  )
})

describe("a group of servers", () => {
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

describe("a leader that cannot lead", () => {
  const reply = (status: number, message: string, value: Json = null) => ({
    status: 200,
    body: `{"Gobj":{"Key":"","Value":${JSON.stringify(value)},"TTL":"-1"},"Status":${status},"Message":"${message}","Error":""}\n`
  })

  it.effect("is asked again by the `election` schedule, not without end", () =>
    Effect.gen(function* () {
      const posts: Array<string> = []
      const transport: Context.Tag.Service<Transport.Transport> = {
        connect: () =>
          Effect.succeed({
            post: (_, command) =>
              Effect.sync(() => {
                posts.push(command)
                if (command === "ping") return reply(1, "Pong!")
                if (command === "getLeader") return reply(200, "node-1:11000")
                return command === "nodeSize" ? reply(1, "OK", 0) : reply(500, "Error commiting to raft cluster")
              }),
            release: () => Effect.void
          })
      }
      const db = yield* Effect.provideService(
        Client.make({ nodes: ["node-1", "node-2"] }),
        Transport.Transport,
        transport
      )
      const write = yield* Effect.fork(Effect.flip(db.put("key", 1)))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(write)).toMatchObject({
        failures: [
          { node: "node-1", reason: "NotLeader", detail: "the node does not lead its raft cluster" },
          { node: "node-2", reason: "NotLeader", detail: "the raft cluster has no leader" }
        ]
      })
      expect(posts.filter((command) => command === "put").length).toBeGreaterThan(40)
      expect(posts.filter((command) => command === "put").length).toBeLessThan(60)
    }).pipe(Effect.scoped)
  )
})

describe("a mixed cluster", () => {
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

  for (const replica of [false, true]) {
    it.effect(
      `a node that is replaced unseen${replica ? ", and stores what it cannot read" : ""}: the next command learns`,
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
        }).pipe(Effect.provide(inMemory({ nodes: addresses, dialect: "v2", replica })))
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
          Effect.flatten
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
        const [exit] = yield* Effect.all([Fiber.interrupt(load)])
        expect(Exit.isInterrupted(exit)).toBe(true)
        expect(yield* GhostDB.flush).toBe("FLUSHED")
        expect(yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))).toEqual(keys.map(() => "STORED"))
        for (const { address } of servers) expect(yield* GhostDB.nodeSize(address)).toEqual(Option.some(keys.length))
      }).pipe(Effect.provide(client))
    })
  )
})

describe("the leader stopped under 1,000 concurrent mixed commands", () => {
  const deadline = 5000

  /** What a key can hold, by the answers that its writes have had; `undefined` is nothing. */
  type Possible = ReadonlySet<string | undefined>

  /**
   * A thousand users, each of a key of its own, and `stop` among them. Gives what each key can hold in the end.
   */
  const underLoad = Effect.fnUntraced(function* (leader: CacheNode.CacheNode, stop: Effect.Effect<unknown>) {
    const possible = new Map<string, Possible>()
    const slowest = { millis: 0 }
    const ended = { values: 0, failures: 0 }
    const run = <A, E, R>(command: Effect.Effect<A, E, R>) =>
      Effect.map(Effect.timed(Effect.either(command)), ([duration, result]) => {
        slowest.millis = Math.max(slowest.millis, Duration.toMillis(duration))
        if (Either.isRight(result)) ended.values++
        else {
          expect(result.left).toBeInstanceOf(NoMoreServers)
          ended.failures++
        }
        return result
      })
    const use = (key: string) =>
      Effect.gen(function* () {
        for (let round = 0; round < 5; round++) {
          const known = () => possible.get(key) ?? new Set([undefined])
          const value = `${key} ${round}`
          const put = yield* run(GhostDB.put(key, value))
          possible.set(key, new Set(Either.isRight(put) ? [value] : [...known(), value]))
          const found = yield* run(GhostDB.get(key))
          if (Either.isRight(found) && Option.isSome(found.right)) expect(found.right.value).toMatch(`${key} `)
          if (round % 2 === 0) {
            const removed = yield* run(GhostDB.delete(key))
            possible.set(key, new Set(Either.isRight(removed) ? [undefined] : [...known(), undefined]))
            const added = yield* run(GhostDB.add(key, `${value} added`))
            // Its own value may be the one that is in its way, where the first reply was lost.
            const stored = Either.isRight(added) && added.right === "STORED"
            possible.set(key, new Set(stored ? [`${value} added`] : [...known(), `${value} added`]))
          }
          yield* Effect.sleep("1 millis")
        }
      })
    const users = Array.from({ length: 1000 }, (_, i) => `user:${i}`)
    const running = yield* Effect.fork(Effect.forEach(users, use, { concurrency: "unbounded", discard: true }))
    yield* Effect.repeat(leader.commandCounts, {
      until: (counts) => counts.put > 1200,
      schedule: Schedule.spaced("1 millis")
    })
    const before = ended.values
    yield* stop
    yield* Fiber.join(running)
    expect(ended.values + ended.failures).toBe(1000 * (5 * 2 + 3 * 2))
    expect(ended.values).toBeGreaterThan(before)
    expect(slowest.millis).toBeLessThan(deadline + 500)
    return possible
  })

  /** Each survivor holds what it should. */
  const check = (survivors: ReadonlyArray<CacheNode.CacheNode>, possible: ReadonlyMap<string, Possible>) =>
    Effect.gen(function* () {
      yield* Effect.sleep("50 millis")
      for (const node of survivors) {
        const held = new Map((yield* node.entries).map(({ key, value }) => [key, String(JSON.parse(value))]))
        for (const [key, values] of possible) expect(values).toContain(held.get(key))
      }
      expect(possible.size).toBe(1000)
    })

  const timing = { replicationDelay: "20 millis", electionTime: "300 millis" } as const

  it.scopedLive("over HTTP: none that was acknowledged is lost, each ends within its deadline", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", ...timing })
      const [leader, ...survivors] = servers
      const possible = yield* underLoad(leader!.node, leader!.stop).pipe(
        Effect.provide(clientOf(servers, { replicas, deadline }))
      )
      yield* check(
        survivors.map(({ node }) => node),
        possible
      )
    })
  )

  it.live("in memory: the same", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const possible = yield* underLoad(yield* cluster.node("node-1"), cluster.stop("node-1"))
      yield* check(yield* Effect.forEach(["node-2", "node-3"], cluster.node), possible)
    }).pipe(Effect.provide(inMemory({ ...timing, client: { deadline } })))
  )
})

describe("the recorded exchanges with a raft server", () => {
  const raft = Dialects.forDialect("raft")
  const recorded = (command: string) => wireRaft.find((exchange) => exchange.command === command)?.body ?? ""
  const rows: ReadonlyArray<ConstructorParameters<typeof SnitchMetrics>[0]> = JSON.parse(recorded("getSysMetrics")).Gobj
    .Value

  /** Each request as the client says it, where it says such a thing, and what the reply comes to; in the recorded order. */
  const exchanges: ReadonlyArray<readonly [Omit<Protocol.Request<unknown>, "unsent">, unknown]> = [
    [Dialects.ping, "raft"],
    [raft.put("a", '"x"', -1), "STORED"],
    [raft.put("o", '{"x":[1,2.5,null,true],"é":"\u2028😀<&>"}', 60), "STORED"],
    [raft.put("nil", "null", -1), "STORED"],
    [raft.put("big", "12345678901234567890", -1), "STORED"],
    [raft.get("a"), Option.some("x")],
    [raft.get("o"), Option.some({ x: [1, 2.5, null, true], é: "\u2028😀<&>" })],
    [raft.get("nil"), Option.some(null)],
    [raft.get("big"), Option.some(12345678901234567000)],
    [raft.get("missing"), Option.none()],
    [raft.add("a", '"y"', -1), "NOT_STORED"],
    [raft.add("b", '"y"', -1), "STORED"],
    [raft.delete("a"), "REMOVED"],
    [raft.delete("a"), "NOT_FOUND"],
    [raft.nodeSize, Option.some(4)],
    [raft.put("wrong", '"x"', -1), "BadReply"],
    [raft.put("frac", '"x"', 5), "BadReply"],
    [{ ...raft.flush, command: "bogus" }, "BadReply"],
    [raft.get(""), "BadReply"],
    [raft.get(""), "BadReply"],
    [raft.getLeader, Option.some("127.0.0.1:11000")],
    [raft.getSnitchMetrics, rows.map((row) => new SnitchMetrics(row))],
    [raft.getWatchdogMetrics, []],
    [raft.flush, "FLUSHED"],
    [raft.nodeSize, Option.some(0)]
  ]

  it("are decoded, all of them", () => {
    expect(wireRaft).toHaveLength(exchanges.length)
    for (const [at, [request, answer]] of exchanges.entries()) {
      const { body, command, request: sent, status } = wireRaft[at]!
      expect(request.command).toBe(command)
      const decoded = Either.match(request.decode({ status, body }), {
        onLeft: ({ reason }): unknown => reason,
        onRight: (answer) => answer
      })
      expect(decoded, `${at}: ${command}`).toEqual(answer)
      if (answer !== "BadReply") expect(JSON.parse(stringOf(request.body))).toEqual(sent)
    }
  })
})
