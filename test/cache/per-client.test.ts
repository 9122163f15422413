import { expect, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Metric, Option, Schema, Scope, Stream, TestClock } from "effect"
import { ClientMetrics, GhostDB, type GhostDBService, GhostDBTest, TestCluster } from "effect-ghostdb"

const numbers = GhostDB.forSchema(Schema.Number, { prefix: "n:", ttl: 10, expiry: "exact" })
const stale = { staleFor: "1 minute" } as const

const settle = Effect.repeat(Effect.yieldNow(), { times: 100 })

it.effect("a refresh ends with the client's scope, whoever decorates the service and whatever its topology does", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const db = Context.get(yield* Layer.buildWithScope(GhostDBTest, scope), GhostDB)
    const decorated: GhostDBService = { ...db, topology: Stream.empty }
    const interrupted = yield* Deferred.make<void>()
    const hanging = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
    const lookup = (effect: Effect.Effect<number>) =>
      Effect.provideService(numbers.getOrElse("a", effect, stale), GhostDB, decorated)
    expect(yield* lookup(Effect.succeed(1))).toBe(1)
    yield* TestClock.adjust("10 seconds")
    expect(yield* lookup(hanging)).toBe(1)
    yield* settle
    expect(yield* Deferred.isDone(interrupted)).toBe(false)
    yield* Scope.close(scope, Exit.void)
    yield* Deferred.await(interrupted)
  })
)

it.effect("a service written by hand works as a client's own does", () =>
  Effect.gen(function* () {
    const values = new Map<string, unknown>()
    const real = yield* GhostDB
    const store = (key: string, value: unknown) =>
      Effect.sync(() => {
        values.set(key, value)
        return "STORED" as const
      })
    const mock: GhostDBService = {
      get: (key) => Effect.sync(() => Option.fromNullable(values.get(key)) as never),
      put: store,
      add: store,
      delete: (key) => Effect.sync(() => (values.delete(key) ? "REMOVED" : "NOT_FOUND")),
      flush: real.flush,
      ping: real.ping,
      nodeSize: real.nodeSize,
      leader: real.leader,
      getSnitchMetrics: real.getSnitchMetrics,
      getWatchdogMetrics: real.getWatchdogMetrics,
      topology: Stream.never
    }
    let runs = 0
    const lookup = numbers.getOrElse(
      "a",
      Effect.sync(() => ++runs),
      { ...stale, lock: true }
    )
    yield* Effect.gen(function* () {
      const cold = yield* Effect.all([lookup, lookup, lookup], { concurrency: "unbounded" })
      expect(cold).toEqual([1, 1, 1])
      yield* TestClock.adjust("10 seconds")
      expect(yield* lookup).toBe(1)
      yield* settle
      expect(yield* lookup).toBe(2)
    }).pipe(Effect.provideService(GhostDB, mock))
  }).pipe(Effect.provide(GhostDBTest))
)

it.effect("every metric of the client is a member of ClientMetrics", () =>
  Effect.gen(function* () {
    const cluster = yield* TestCluster
    const live = yield* Metric.value(ClientMetrics.nodes("live"))
    const hits = yield* Metric.value(ClientMetrics.operations("get", "hit"))
    const seconds = yield* Metric.value(ClientMetrics.operationDuration("get"))
    const [node] = cluster.nodes
    const attempts = yield* Metric.value(ClientMetrics.attempts(node!))
    expect(live.count).toBeGreaterThanOrEqual(1)
    yield* GhostDB.put("a", 1)
    yield* GhostDB.get("a")
    expect((yield* Metric.value(ClientMetrics.operations("get", "hit"))).count).toBe(hits.count + 1)
    expect((yield* Metric.value(ClientMetrics.operationDuration("get"))).count).toBe(seconds.count + 1)
    expect((yield* Metric.value(ClientMetrics.attempts(node!))).count).toBe(attempts.count + 2)
    yield* cluster.stop(node!)
    const refused = yield* Metric.value(ClientMetrics.attemptFailures(node!, "Refused"))
    const failed = yield* Metric.value(ClientMetrics.failedOperations("get", "NoMoreServers"))
    const failovers = yield* Metric.value(ClientMetrics.failovers)
    yield* Effect.flip(GhostDB.get("a"))
    expect((yield* Metric.value(ClientMetrics.attemptFailures(node!, "Refused"))).count).toBeGreaterThan(refused.count)
    expect((yield* Metric.value(ClientMetrics.failedOperations("get", "NoMoreServers"))).count).toBe(failed.count + 1)
    expect((yield* Metric.value(ClientMetrics.failovers)).count).toBe(failovers.count + 1)
    expect((yield* Metric.value(ClientMetrics.nodes("live"))).count).toBe(live.count - 1)
    expect((yield* Metric.value(ClientMetrics.networkIo("transmit"))).count).toBeGreaterThanOrEqual(0)
  }).pipe(Effect.provide(TestCluster.layer({ nodes: 1 })))
)
