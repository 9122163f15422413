import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { CacheNode, GhostDB, type NodeFault, NoMoreServers, TestCluster, type TestClusterOptions } from "effect-ghostdb"

const layer = (options: TestClusterOptions = {}) => TestCluster.layer({ nodes: 1, ...options })

const one = (client: TestClusterOptions["client"] = {}) => layer({ client: { dialect: "v2", ...client } })

const put = '{"Gobj":{"Key":"key","Value":"stored","TTL":-1}}'

const held = Effect.gen(function* () {
  const node = yield* Effect.flatMap(TestCluster, (cluster) => cluster.node("node-1"))
  return (yield* node.entries).map(({ value }) => value)
})

const failureOf = (error: unknown) => (error instanceof NoMoreServers ? error.failures.map(({ reason }) => reason) : [])

describe.concurrent("a fault on a node", () => {
  const faults: ReadonlyArray<{
    readonly fault: NodeFault
    readonly reasons: ReadonlyArray<string>
    readonly after: number
    readonly stored: boolean
  }> = [
    { fault: "refuse", reasons: ["Refused"], after: 0, stored: false },
    { fault: "reset", reasons: ["Reset"], after: 0, stored: false },
    { fault: "resetReply", reasons: ["Reset"], after: 0, stored: true },
    { fault: "hang", reasons: ["AttemptTimeout"], after: 1000, stored: false },
    { fault: "loseReply", reasons: ["AttemptTimeout"], after: 1000, stored: true },
    { fault: { reply: "<html>" }, reasons: ["BadReply"], after: 0, stored: false },
    { fault: { reply: "", status: 503 }, reasons: ["BadReply"], after: 0, stored: false }
  ]
  for (const { after, fault, reasons, stored } of faults) {
    it.effect(`${JSON.stringify(fault)}: what the client sees, and what the node holds`, () =>
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* cluster.inject("node-1", fault, { command: "put" })
        const fiber = yield* Effect.fork(Effect.flip(GhostDB.put("key", "value")))
        if (after > 0) {
          yield* TestClock.adjust(after - 1)
          expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
          yield* TestClock.adjust(1)
        }
        expect(failureOf(yield* Fiber.join(fiber))).toEqual(reasons)
        expect(yield* held).toEqual(stored ? ['"value"'] : [])
      }).pipe(Effect.provide(one()))
    )
  }

  it.effect("latency delays the request, and adds up", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", { latency: "200 millis" })
      yield* cluster.inject("node-1", { latency: "300 millis" }, { command: "put" })
      const fiber = yield* Effect.fork(GhostDB.put("key", 1))
      yield* TestClock.adjust("499 millis")
      expect(yield* held).toEqual([])
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(fiber)).toBe("STORED")
      const get = yield* Effect.fork(GhostDB.get("key"))
      yield* TestClock.adjust("200 millis")
      expect(yield* Fiber.join(get)).toEqual(Option.some(1))
    }).pipe(Effect.provide(one()))
  )

  it.effect("a request that is on its way arrives although its caller has gone", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", { latency: "5 seconds" }, { times: 1 })
      const interrupted = yield* Effect.fork(GhostDB.put("key", "late"))
      yield* TestClock.adjust("10 millis")
      expect(Exit.isInterrupted(yield* Fiber.interrupt(interrupted))).toBe(true)
      expect(yield* GhostDB.put("key", "now")).toBe("STORED")
      yield* TestClock.adjust("4 seconds")
      expect(yield* held).toEqual(['"now"'])
      yield* TestClock.adjust("1 seconds")
      expect(yield* held).toEqual(['"late"'])
    }).pipe(Effect.provide(one()))
  )

  it.effect("the last one that was injected counts, and a latency besides", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", "hang")
      yield* cluster.inject("node-1", { latency: "100 millis" })
      const resetting = yield* cluster.inject("node-1", "reset", { command: ["get", "put"] })
      const reset = yield* Effect.fork(Effect.flip(GhostDB.put("key", 1)))
      yield* TestClock.adjust("99 millis")
      expect(yield* Fiber.poll(reset)).toEqual(Option.none())
      // The ping that follows a reset hangs.
      yield* TestClock.adjust("5 seconds")
      expect(failureOf(yield* Fiber.join(reset))).toContain("Reset")
      yield* resetting.heal
      yield* resetting.heal
      yield* cluster.heal("node-1")
      yield* TestClock.adjust("2 minutes")
      expect(yield* GhostDB.put("key", 1)).toBe("STORED")
    }).pipe(Effect.provide(one()))
  )

  it.effect("meets as many requests as it says, of the commands that it names", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", { reply: "{}" }, { command: ["put", "systemMetrics"], times: 2 })
      expect(yield* GhostDB.get("key")).toEqual(Option.none())
      expect(failureOf(yield* Effect.flip(GhostDB.put("key", 1)))).toEqual(["BadReply"])
      expect(failureOf(yield* Effect.flip(GhostDB.getSnitchMetrics))).toEqual(["BadReply"])
      expect(yield* GhostDB.put("key", 1)).toBe("STORED")
      expect((yield* GhostDB.getSnitchMetrics).metrics).toEqual([{ node: "node-1", data: [] }])
    }).pipe(Effect.provide(one()))
  )

  it.effect("is healed by what inject gives, by its scope, by its node, and with all others", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const answers = Effect.map(GhostDB.ping, (nodes) => nodes.length)
      const { heal } = yield* cluster.inject("node-1", "refuse")
      expect(yield* answers).toBe(2)
      yield* heal
      expect(yield* answers).toBe(3)
      yield* Effect.scoped(
        Effect.zipRight(
          cluster.injectScoped("node-2", "refuse"),
          Effect.map(answers, (count) => expect(count).toBe(2))
        )
      )
      expect(yield* answers).toBe(3)
      for (const node of cluster.nodes) yield* cluster.inject(node, "refuse")
      yield* cluster.heal("node-1")
      expect(yield* answers).toBe(1)
      yield* cluster.heal()
      expect(yield* answers).toBe(3)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  for (const fault of ["hang", "loseReply", { latency: "1 hour" }] as const) {
    it.effect(
      `${JSON.stringify(fault)}: a command ends in an uninterruptible region too, and when its node stops`,
      () =>
        Effect.gen(function* () {
          const cluster = yield* TestCluster
          yield* cluster.inject("node-1", fault, { command: "get" })
          const uninterruptible = yield* Effect.fork(Effect.uninterruptible(Effect.exit(GhostDB.get("key"))))
          yield* TestClock.adjust("5 seconds")
          expect(Exit.isFailure(yield* Fiber.join(uninterruptible))).toBe(true)

          yield* TestClock.adjust("2 minutes")
          const stopped = yield* Effect.fork(Effect.flip(GhostDB.get("key")))
          yield* TestClock.adjust("1 millis")
          yield* cluster.stop("node-1")
          yield* TestClock.adjust("1 millis")
          const reasons = failureOf(yield* Fiber.join(stopped))
          for (const reason of reasons) expect(["Reset", "Refused"]).toContain(reason)
          expect(reasons.length).toBeGreaterThan(0)
        }).pipe(Effect.provide(one()))
    )
  }

  it.effect("a request that arrives at a node that was restarted meanwhile is not carried out", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", { latency: "100 millis" }, { command: "put" })
      const write = yield* Effect.fork(Effect.flip(GhostDB.put("key", 1)))
      yield* TestClock.adjust("50 millis")
      yield* cluster.start("node-1")
      yield* TestClock.adjust("1 second")
      expect(failureOf(yield* Fiber.join(write))).toContain("Reset")
      expect(yield* held).toEqual([])
    }).pipe(Effect.provide(one()))
  )

  it.effect("a node that is stopped refuses, whatever else was injected", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.inject("node-1", "hang")
      yield* cluster.stop("node-1")
      expect(failureOf(yield* Effect.flip(GhostDB.get("key")))).toEqual(["Refused"])
    }).pipe(Effect.provide(one()))
  )

  it.effect("on an address that is no node is a defect", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const effect of [cluster.inject("node-9", "hang"), cluster.heal("node-9"), cluster.partition(["node-1"])]) {
        expect(Exit.isFailure(yield* Effect.exit(effect))).toBe(true)
      }
    }).pipe(Effect.provide(one()))
  )

  it.effect("ends with the cluster: nothing is left waiting", () =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<void>()
      const inside = Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* cluster.inject("node-1", { latency: "1 hour" })
        yield* cluster.inject("node-1", "hang", { command: "get" })
        yield* Effect.forkDaemon(Effect.ensuring(Effect.exit(GhostDB.get("key")), Deferred.succeed(done, undefined)))
        yield* Effect.forkDaemon(Effect.exit(GhostDB.put("key", 1)))
        yield* TestClock.adjust("1 millis")
      })
      yield* Effect.provide(inside, one())
      yield* TestClock.adjust("1 minute")
      yield* Deferred.await(done)
    })
  )
})

describe.concurrent("a further client", () => {
  it.effect("is of another process: it shares the nodes alone", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const other = yield* cluster.client({ failureThreshold: 1 })
      yield* other.put("key", 1)
      expect(yield* GhostDB.get("key")).toEqual(Option.some(1))
      yield* cluster.inject("node-1", "refuse", { times: 1 })
      yield* Effect.exit(other.get("key"))
      expect(yield* GhostDB.get("key")).toEqual(Option.some(1))
    }).pipe(Effect.scoped, Effect.provide(layer()))
  )
})

describe.concurrent("a raft cluster in parts", () => {
  const raft = (options: TestClusterOptions = {}) =>
    TestCluster.layer({ dialect: "raft", leaseTime: "1 hour", ...options, client: { replicas: 50, ...options.client } })

  const ask = (address: string, command: string, body = "{}") =>
    Effect.gen(function* () {
      const node = yield* Effect.flatMap(TestCluster, (cluster) => cluster.node(address))
      const reply: { readonly Gobj: { readonly Value: unknown }; readonly Message: string } = JSON.parse(
        (yield* node.handle(command, body)).body
      )
      return reply
    })
  const valueOn = (address: string) =>
    Effect.map(ask(address, "get", '{"Gobj":{"Key":"key"}}'), ({ Gobj }) => Gobj.Value)
  const leaderOf = (address: string) => Effect.map(ask(address, "getLeader"), ({ Message }) => Message)

  it.effect("a leader that is cut off from the majority leads for itself, until it hears of another", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* ask("node-1", "put", put.replace("-1", '"-1"'))
      yield* cluster.partition(["node-1"])
      yield* TestClock.adjust("1 second")
      expect(yield* cluster.leader).toEqual(Option.some("node-2"))
      expect(yield* ask("node-2", "put", put.replace("stored", "newer").replace("-1", '"-1"'))).toMatchObject({
        Message: "STORED"
      })
      // It serves reads, names itself and refuses what goes through the log.
      expect(yield* leaderOf("node-1")).toBe("node-1:11000")
      expect(yield* leaderOf("node-3")).toBe("node-2:11000")
      expect(yield* valueOn("node-1")).toBe("stored")
      expect(yield* valueOn("node-3")).toBe("newer")
      for (const command of ["put", "nodeSize", "flush"]) {
        expect((yield* ask("node-1", command, put)).Message).toBe("Error commiting to raft cluster")
      }
      yield* cluster.heal()
      expect(yield* leaderOf("node-1")).toBe("node-2:11000")
      expect(yield* valueOn("node-1")).toBe("newer")
    }).pipe(Effect.provide(raft()))
  )

  it.effect("a lease that is over leaves the cut off leader without one", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.partition(["node-1"])
      yield* TestClock.adjust("499 millis")
      expect(yield* leaderOf("node-1")).toBe("node-1:11000")
      yield* TestClock.adjust("1 millis")
      expect(yield* leaderOf("node-1")).toBe("")
      const node = yield* cluster.node("node-1")
      expect(yield* node.isLeader).toBe(false)
    }).pipe(Effect.provide(raft({ leaseTime: "500 millis" })))
  )

  it.effect("a client in between writes to the new leader", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      expect(yield* GhostDB.put("key", 1)).toBe("STORED")
      yield* cluster.partition(["node-1"])
      const write = yield* Effect.fork(GhostDB.put("key", 2))
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(write)).toBe("STORED")
      expect([yield* valueOn("node-1"), yield* valueOn("node-2"), yield* valueOn("node-3")]).toEqual([1, 2, 2])
      yield* cluster.heal()
      expect(yield* valueOn("node-1")).toBe(2)
    }).pipe(Effect.provide(raft()))
  )

  it.effect("one way: a member that does not hear the leader lags, and the leader stays", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.cut("node-1", "node-3")
      yield* ask("node-1", "put", put.replace("-1", '"-1"'))
      yield* TestClock.adjust("1 minute")
      expect(yield* cluster.leader).toEqual(Option.some("node-1"))
      expect([yield* valueOn("node-2"), yield* valueOn("node-3")]).toEqual(["stored", null])
      expect(yield* leaderOf("node-3")).toBe("")
      yield* cluster.heal("node-3")
      expect(yield* valueOn("node-3")).toBe("stored")
    }).pipe(Effect.provide(raft()))
  )

  it.effect("a member that lags applies writes later; with the leader gone it may still lead, with all of them", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* cluster.lag("node-2", "1 hour")
      yield* ask("node-1", "put", put.replace("-1", '"-1"'))
      expect([yield* valueOn("node-2"), yield* valueOn("node-3")]).toEqual([null, "stored"])
      yield* cluster.stop("node-1")
      yield* TestClock.adjust("1 second")
      expect(yield* cluster.leader).toEqual(Option.some("node-2"))
      expect(yield* valueOn("node-2")).toBe("stored")
    }).pipe(Effect.provide(raft()))
  )

  it.effect("a leader that restarts at once is empty, and leads no more", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* ask("node-1", "put", put.replace("-1", '"-1"'))
      yield* TestClock.adjust("1 second")
      yield* cluster.start("node-1")
      expect(yield* valueOn("node-1")).toBe(null)
      expect(yield* cluster.leader).toEqual(Option.none())
      yield* TestClock.adjust("200 millis")
      expect(yield* valueOn("node-1")).toBe("stored")
      yield* TestClock.adjust("800 millis")
      expect(yield* cluster.leader).toEqual(Option.some("node-2"))
    }).pipe(Effect.provide(raft({ replicationDelay: "200 millis" })))
  )

  it.effect("nodes of another dialect have no links to cut", () =>
    Effect.gen(function* () {
      const node = yield* CacheNode.make()
      expect(node.raftAddress).toBeUndefined()
      const cluster = yield* TestCluster
      expect(Exit.isFailure(yield* Effect.exit(cluster.cut("node-1", "node-1")))).toBe(true)
    }).pipe(Effect.provide(layer()))
  )
})
