/** Many keys at once: as one operation, whose keys keep their own results whatever happens to the others. */
import { assert, describe, expect, it } from "@effect/vitest"
import {
  Array as Arr,
  Deferred,
  Effect,
  Either,
  Exit,
  FastCheck,
  Fiber,
  Layer,
  Metric,
  Option,
  Schedule,
  TestClock
} from "effect"
import {
  ClientMetrics,
  GhostDB,
  type GhostDBOptions,
  KeyError,
  type NodeFault,
  NodeServer,
  NoMoreServers,
  TestCluster,
  type TestClusterService
} from "effect-ghostdb"
import { clientOf, topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { recording } from "../support/recordedSpans.js"
import { recorder } from "../support/recorder.js"
import { client } from "../support/scene.js"

const keysOf = (count: number) => Array.from({ length: count }, (_, i) => `key-${i}`)

const valuesOf = (keys: ReadonlyArray<string>) => keys.map((key) => [key, `value of ${key}`] as const)

const foundOf = (keys: ReadonlyArray<string>) =>
  new Map(keys.map((key) => [key, Either.right(Option.some(`value of ${key}`))]))

const soundly = HostileServer.hostilities["answers as it should"]

describe.concurrent("each key has its own result", () => {
  const layers = {
    "v1 nodes in memory": TestCluster.layer({ dialect: "v1" }),
    "v2 nodes in memory": TestCluster.layer(),
    "a raft cluster in memory": TestCluster.layer({ dialect: "raft" }),
    "v2 nodes over HTTP": NodeServer.cluster({ nodes: 3 }).pipe(
      Effect.map((servers) => clientOf(servers, { replicas: 20 })),
      Effect.orDie,
      Layer.unwrapScoped
    )
  }
  for (const [name, layer] of Object.entries(layers)) {
    it.scopedLive(`${name}: in the order of the keys, each once, the bad ones among them`, () =>
      Effect.gen(function* () {
        const lone = "\ud800"
        const keys = keysOf(200)
        const refused = Either.left(new KeyError({ key: lone, reason: "NotWellFormed" }))

        expect(yield* GhostDB.getMany([])).toEqual(new Map())
        expect(yield* GhostDB.putMany([])).toEqual(new Map())
        expect(yield* GhostDB.deleteMany([])).toEqual(new Map())

        const stored = yield* GhostDB.putMany([...valuesOf(keys), [lone, 1], ["key-7", "overwritten"]], { ttl: 60 })
        expect([...stored.keys()]).toEqual([...keys, lone])
        expect(stored.get("key-0")).toEqual(Either.right("STORED"))
        expect(stored.get(lone)).toEqual(refused)

        const added = yield* GhostDB.addMany([
          ["key-0", 1],
          ["new", 1]
        ])
        expect([...added]).toEqual([
          ["key-0", Either.right("NOT_STORED")],
          ["new", Either.right("STORED")]
        ])

        const reversed = [...keys].reverse()
        const found = yield* GhostDB.getMany([...reversed, "absent", lone, ...keys])
        const expected = foundOf(reversed) as Map<string, unknown>
        expected.set("key-7", Either.right(Option.some("overwritten")))
        expected.set("absent", Either.right(Option.none()))
        expected.set(lone, refused)
        expect([...found]).toEqual([...expected])

        expect([...(yield* GhostDB.getSomes(["absent", "key-7"]))]).toEqual([["key-7", "overwritten"]])
        expect(yield* Effect.either(GhostDB.getSomes(["key-7", lone]))).toEqual(refused)

        expect([...(yield* GhostDB.deleteMany(["key-3", "absent", "key-1"]))]).toEqual([
          ["key-3", Either.right("REMOVED")],
          ["absent", Either.right("NOT_FOUND")],
          ["key-1", Either.right("REMOVED")]
        ])
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("the empty key is refused by v1 nodes alone", () =>
    Effect.gen(function* () {
      const results = yield* GhostDB.getMany(["", "a", "b"])
      expect(results.get("")).toEqual(Either.left(new KeyError({ key: "", reason: "Empty" })))
      expect(results.get("a")).toEqual(Either.right(Option.none()))
    }).pipe(Effect.provide(TestCluster.layer({ dialect: "v1" })))
  )

  it.effect("what is too large is not stored, with a warning, and harms no other key", () => {
    const { layer, lines } = recorder()
    return Effect.gen(function* () {
      const long = "x".repeat(2000)
      yield* GhostDB.getMany(["a", "b"])
      const results = yield* GhostDB.putMany([
        ["a", 1],
        ["b", long],
        ["c", 3]
      ])
      expect([...results.values()].map(Either.merge)).toEqual(["STORED", "NOT_STORED", "STORED"])
      expect(lines.map(({ annotations }) => annotations.key)).toEqual(["b"])
    }).pipe(Effect.provide(Layer.merge(TestCluster.layer({ client: { maxRequestBytes: 1000 } }), layer)))
  })

  it.effect("a value that is not JSON is a defect that names the key", () =>
    Effect.gen(function* () {
      const cycle: Record<string, unknown> = {}
      cycle.self = cycle
      yield* GhostDB.getMany(keysOf(20))
      const put = GhostDB.putMany([...valuesOf(keysOf(20)), ["bad", cycle as never]])
      const exit = yield* Effect.exit(put)
      expect(String(Exit.isFailure(exit) ? exit.cause : "")).toContain('"bad" is not JSON')
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("the first batch asks each node once for its dialect", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.getMany(keysOf(1000))
      const counts = yield* Effect.forEach(cluster.nodes, (node) =>
        Effect.flatMap(cluster.node(node), ({ commandCounts }) => commandCounts)
      )
      expect(counts.map(({ ping }) => ping)).toEqual([1, 1, 1])
      expect(counts.reduce((sum, { get }) => sum + get, 0)).toBe(1000)
    }).pipe(Effect.provide(TestCluster.layer({ client: { replicas: 20 } })))
  )
})

describe.concurrent("under failures", () => {
  it.scopedLive("a node that dies in the middle of 10,000 keys: every key has its value or its error", () =>
    Effect.gen(function* () {
      const dying = yield* HostileServer.make()
      const sound = yield* HostileServer.make()
      const nodes = [dying, sound]
      const keys = keysOf(10_000)
      yield* Effect.gen(function* () {
        yield* GhostDB.putMany(valuesOf(keys))
        expect(dying.values.size + sound.values.size).toBe(keys.length)
        let answered = 0
        yield* dying.behave((exchange) =>
          ++answered <= 1500 ? soundly(exchange) : Effect.zipRight(Effect.forkDaemon(dying.stop), Effect.never)
        )
        const results = yield* GhostDB.getMany(keys)
        expect([...results.keys()]).toEqual(keys)
        let lost = 0
        for (const [key, result] of results) {
          const value = Either.getOrThrow(result)
          if (sound.values.has(key) || Option.isSome(value)) expect(value).toEqual(Option.some(`value of ${key}`))
          else lost++
        }
        // What was not answered before the death is a miss on the stand-in.
        expect(lost).toBe(dying.values.size - 1500)
        const { live } = yield* topologyNow
        expect(live.map(({ node }) => node)).toEqual([sound.address])
      }).pipe(Effect.provide(client(nodes)))
    })
  )

  it.scopedLive("a frozen node: its keys go to the next one when it is known to be dead", () =>
    Effect.gen(function* () {
      const frozen = yield* HostileServer.make()
      const sound = yield* HostileServer.make()
      const keys = keysOf(600)
      yield* Effect.gen(function* () {
        yield* GhostDB.putMany(valuesOf(keys))
        yield* frozen.behave("accepts and never answers", "badly")
        const results = yield* GhostDB.getMany(keys)
        for (const [key, result] of results) {
          expect(result).toEqual(
            Either.right(sound.values.has(key) ? Option.some(`value of ${key}`) : Option.none<string>())
          )
        }
      }).pipe(Effect.provide(client([frozen, sound])))
    })
  )

  it.scopedLive("bad replies to a few keys do not cost a node that answers the others", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const keys = keysOf(400)
      const isBad = (key: string) => key.endsWith("50")
      yield* Effect.gen(function* () {
        yield* GhostDB.putMany(valuesOf(keys))
        yield* node.behave((exchange) =>
          HostileServer.hostilities[isBad(exchange.request.key) ? "sends half a document" : "answers as it should"](
            exchange
          )
        )
        for (const [key, result] of yield* GhostDB.getMany(keys)) {
          if (isBad(key))
            expect(Option.getOrThrow(Either.getLeft(result))).toMatchObject({ failures: [{ reason: "BadReply" }] })
          else expect(result).toEqual(Either.right(Option.some(`value of ${key}`)))
        }
        expect((yield* topologyNow).live.length).toBe(1)
      }).pipe(Effect.provide(client([node])))
    })
  )

  it.effect("a node that answers none of its keys as it should is dead after the failures in a row", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const keys = keysOf(1000)
      yield* GhostDB.putMany(valuesOf(keys))
      yield* cluster.inject("node-1", { reply: "<html>" }, { command: "get" })
      yield* GhostDB.getMany(keys)
      expect((yield* topologyNow).dead.map(({ node }) => node)).toEqual(["node-1"])
    }).pipe(Effect.provide(TestCluster.layer({ client: { replicas: 20 } })))
  )

  it.effect("no live node: every key says so, and the dead are probed once", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const keys = keysOf(2000)
      yield* GhostDB.putMany(valuesOf(keysOf(100)))
      yield* Effect.forEach(cluster.nodes, cluster.stop)
      const results = yield* GhostDB.getMany(keys)
      expect(results.size).toBe(keys.length)
      for (const result of results.values()) {
        assert(Either.isLeft(result) && result.left instanceof NoMoreServers)
        expect(result.left.failures.length).toBe(3)
      }
      yield* Effect.forEach(cluster.nodes, (node) => cluster.start(node, { keep: true }))
      yield* TestClock.adjust("2 seconds")
      const again = yield* GhostDB.getMany(keysOf(100))
      expect([...again.values()].every(Either.isRight)).toBe(true)
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("without stand-ins, the keys of a dead node say so, and the others have their values", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const keys = keysOf(300)
      yield* GhostDB.putMany(valuesOf(keys))
      yield* cluster.stop("node-2")
      let failed = 0
      for (const [key, result] of yield* GhostDB.getMany(keys)) {
        if (Either.isRight(result)) expect(result.right).toEqual(Option.some(`value of ${key}`))
        else {
          failed++
          expect(result.left).toMatchObject({ failures: [{ node: "node-2", reason: "Refused" }] })
        }
      }
      expect(failed).toBeGreaterThan(10)
    }).pipe(Effect.provide(TestCluster.layer({ client: { replicas: 20, failover: "none" } })))
  )

  it.effect("a raft leader that is deposed: the writes go to the next one", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const keys = keysOf(100)
      yield* GhostDB.putMany(valuesOf(keys.slice(0, 10)))
      yield* cluster.stepDown
      const fiber = yield* Effect.fork(GhostDB.putMany(valuesOf(keys)))
      yield* TestClock.adjust("3 seconds")
      expect([...(yield* Fiber.join(fiber)).values()].map(Either.merge).every((result) => result === "STORED")).toBe(
        true
      )
      expect(yield* GhostDB.getMany(keys)).toEqual(foundOf(keys))
    }).pipe(Effect.provide(TestCluster.layer({ dialect: "raft" })))
  )
})

describe("as many gets, under faults", () => {
  const keys = keysOf(60)
  const kinds: ReadonlyArray<NodeFault> = [
    "refuse",
    "reset",
    "resetReply",
    { reply: "<html>" },
    { reply: '{"Gobj":{"Key":"","Value":"another\'s","TTL":-1},"Status":1,"Message":"","Error":""}' }
  ]
  const faults = FastCheck.array(
    FastCheck.record({
      node: FastCheck.constantFrom("node-1", "node-2", "node-3"),
      fault: FastCheck.constantFrom(...kinds),
      times: FastCheck.integer({ min: 1, max: 3 })
    }),
    { maxLength: 3 }
  )
  const scenario = <A>(
    client: GhostDBOptions,
    use: (cluster: TestClusterService) => Effect.Effect<A, never, GhostDB>
  ) =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.putMany(valuesOf(keys.slice(0, 40)))
      return yield* use(cluster)
    }).pipe(Effect.provide(TestCluster.layer({ client: { replicas: 20, ...client } })))

  it.effect.prop(
    "getMany equals the map of get",
    {
      injected: faults,
      asked: FastCheck.uniqueArray(FastCheck.constantFrom(...keys), { minLength: 2 }),
      stopped: FastCheck.boolean()
    },
    ({ asked, injected, stopped }) =>
      Effect.gen(function* () {
        const prepare = (cluster: TestClusterService) =>
          Effect.gen(function* () {
            if (stopped) yield* cluster.stop("node-2")
            for (const { fault, node, times } of injected) {
              if (fault !== "refuse") yield* cluster.inject(node, fault, { command: "get", times })
            }
          })
        // More retries than there are faults.
        const client = { retry: Schedule.recurs(10) }
        const batch = yield* scenario(client, (cluster) => Effect.zipRight(prepare(cluster), GhostDB.getMany(asked)))
        const single = yield* scenario(client, (cluster) =>
          Effect.zipRight(
            prepare(cluster),
            Effect.forEach(asked, (key) =>
              Effect.map(Effect.either(GhostDB.get(key)), (result) => [key, result] as const)
            )
          )
        )
        expect([...batch]).toEqual(single)
      }),
    { fastCheck: { numRuns: 40 } }
  )

  it.effect.prop(
    "no key has another's value, and an error only where a get has it as well",
    { injected: faults },
    ({ injected }) =>
      scenario({}, (cluster) =>
        Effect.gen(function* () {
          for (const { fault, node } of injected) yield* cluster.inject(node, fault, { command: "get" })
          const results = yield* GhostDB.getMany(keys)
          expect([...results.keys()]).toEqual(keys)
          for (const [key, result] of results) {
            if (Either.isLeft(result)) expect(result.left._tag).toBe("NoMoreServers")
            else if (Option.isSome(result.right)) expect(result.right.value).toBe(`value of ${key}`)
          }
          yield* cluster.heal()
          yield* TestClock.adjust("1 minute")
          expect(yield* GhostDB.getMany(keys.slice(0, 40))).toEqual(foundOf(keys.slice(0, 40)))
        })
      ),
    { fastCheck: { numRuns: 12 } }
  )
})

describe.concurrent("time and interruption", () => {
  it.scopedLive("interrupted, it ends at once, and what waited is not sent", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const arrived = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        yield* GhostDB.get("warm")
        yield* node.behave(() => Effect.zipRight(Deferred.succeed(arrived, undefined), Effect.never))
        const fiber = yield* Effect.fork(GhostDB.getMany(keysOf(10_000)))
        yield* Deferred.await(arrived)
        yield* Fiber.interrupt(fiber)
        yield* node.behave("answers as it should")
        yield* node.stop
        yield* node.start
        expect(yield* GhostDB.get("after")).toEqual(Option.none())
        const sent = node.requests.filter(({ key }) => key.startsWith("key-"))
        // What the pipeline holds was written before.
        expect(sent.length).toBeLessThanOrEqual(256)
      }).pipe(Effect.provide(client([node], { attemptTimeout: "1 hour", deadline: "1 hour" })))
    })
  )

  it.effect("the deadline bounds it: what hangs ends there, each key with an error that says so", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const keys = keysOf(60)
      yield* GhostDB.putMany(valuesOf(keys))
      yield* Effect.forEach(cluster.nodes, (node) => cluster.inject(node, "hang", { command: "get" }))
      const fiber = yield* Effect.fork(GhostDB.getMany(keys))
      yield* TestClock.adjust("5 seconds")
      const results = yield* Fiber.join(fiber)
      expect(results.size).toBe(60)
      for (const result of results.values()) {
        assert(Either.isLeft(result) && result.left._tag === "NoMoreServers")
        expect(result.left.failures.length).toBeGreaterThan(0)
      }
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.scopedLive("the end of the client's scope ends it", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const arrived = yield* Deferred.make<void>()
      const fiber = yield* Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Layer.build(client([node], { attemptTimeout: "1 hour", deadline: "1 hour" }))
          yield* Effect.provide(GhostDB.get("warm"), context)
          yield* node.behave(() => Effect.zipRight(Deferred.succeed(arrived, undefined), Effect.never))
          const fiber = yield* Effect.forkDaemon(Effect.provide(GhostDB.getMany(keysOf(1000)), context))
          yield* Deferred.await(arrived)
          return fiber
        })
      )
      const results = yield* Fiber.join(fiber)
      expect([...results.values()].every(Either.isLeft)).toBe(true)
    })
  )
})

describe("telemetry", () => {
  it.effect("a batch is one observation of its duration, and its keys are counted by outcome", () =>
    Effect.gen(function* () {
      const read = Effect.all({
        batches: Effect.map(Metric.value(ClientMetrics.operationDuration("BATCH get")), ({ count }) => count),
        singles: Effect.map(Metric.value(ClientMetrics.operationDuration("get")), ({ count }) => count),
        hits: Effect.map(Metric.value(ClientMetrics.operations("get", "hit")), ({ count }) => count),
        misses: Effect.map(Metric.value(ClientMetrics.operations("get", "miss")), ({ count }) => count),
        refused: Effect.map(Metric.value(ClientMetrics.failedOperations("get", "KeyError")), ({ count }) => count)
      })
      yield* GhostDB.putMany(valuesOf(keysOf(30)))
      const before = yield* read
      yield* GhostDB.getMany([...keysOf(40), "\ud800"])
      const after = yield* read
      expect({
        batches: after.batches - before.batches,
        singles: after.singles - before.singles,
        hits: after.hits - before.hits,
        misses: after.misses - before.misses,
        refused: after.refused - before.refused
      }).toEqual({ batches: 1, singles: 0, hits: 30, misses: 10, refused: 1 })
    }).pipe(Effect.provide(TestCluster.layer()))
  )

  it.effect("a batch has one span, with an event for each node that fails", () => {
    const { layer, spans } = recording()
    return Effect.gen(function* () {
      const cluster = yield* TestCluster
      yield* GhostDB.putMany(valuesOf(keysOf(200)))
      yield* cluster.stop("node-1")
      spans.length = 0
      yield* GhostDB.getMany(keysOf(200))
      expect(spans.map(({ name }) => name)).toEqual(["ghostdb BATCH get"])
      expect(Object.fromEntries(spans[0]!.attributes)).toEqual({
        "db.system.name": "ghostdb",
        "db.operation.name": "BATCH get",
        "db.operation.batch.size": 200
      })
      const failovers = spans[0]!.events.filter(({ name }) => name === "failover")
      expect(failovers.map(({ attributes }) => attributes)).toEqual([
        { "server.address": "node-1", "error.type": "Refused" }
      ])
      expect(Arr.dedupe(spans[0]!.events.map(({ name }) => name)).length).toBeLessThan(6)
    }).pipe(Effect.provide(Layer.merge(TestCluster.layer({ client: { replicas: 20 } }), layer)))
  })
})
