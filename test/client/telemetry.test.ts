import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { GhostDB, type GhostDBOptions, TestCluster } from "effect-ghostdb"
import { recording } from "../support/recordedSpans.js"
import * as Series from "../support/Series.js"

const cluster = (client: GhostDBOptions = {}) => TestCluster.layer({ nodes: 3, client })

describe("spans", () => {
  it.effect("a command has one, with an event for each attempt, and never its key or value", () => {
    const { layer, spans } = recording()
    return Effect.gen(function* () {
      yield* GhostDB.put("secret-key", "secret-value")
      expect(spans.map(({ ended, kind, name }) => ({ ended, kind, name }))).toEqual([
        { ended: true, kind: "client", name: "ghostdb put" }
      ])
      expect(Object.fromEntries(spans[0]!.attributes)).toEqual({
        "db.system.name": "ghostdb",
        "db.operation.name": "put"
      })
      expect(spans[0]!.events).toEqual([
        { name: "attempt", attributes: { "server.address": expect.stringMatching(/^node-\d$/) } }
      ])
      expect(JSON.stringify(spans.map((span) => [[...span.attributes], span.events]))).not.toMatch(/secret/)
    }).pipe(Effect.provide(cluster().pipe(Layer.provideMerge(layer))))
  })

  it.effect("a failover is an event, a failure an attribute", () => {
    const { layer, spans } = recording()
    return Effect.gen(function* () {
      const { nodes, stop } = yield* TestCluster
      yield* GhostDB.get("key")
      const owner = spans[0]!.events[0]!.attributes["server.address"]
      yield* stop(String(owner))
      yield* GhostDB.get("key")
      expect(spans[1]!.events.map(({ attributes, name }) => [name, attributes["server.address"]])).toEqual([
        ["attempt", owner],
        ["attempt failed", owner],
        ["failover", owner],
        ["attempt", expect.stringMatching(/^node-\d$/)]
      ])
      expect(spans[1]!.events[1]!.attributes["error.type"]).toBe("Refused")
      yield* Effect.forEach(nodes, stop)
      yield* Effect.flip(GhostDB.get("key"))
      expect(spans[2]!.attributes.get("error.type")).toBe("NoMoreServers")
      expect(spans[2]!.ended).toBe(true)
    }).pipe(Effect.provide(cluster().pipe(Layer.provideMerge(layer))))
  })

  it.effect("the key is in them where that was asked for", () => {
    const { layer, spans } = recording()
    return GhostDB.get("key").pipe(
      Effect.map(() => expect(spans[0]!.attributes.get("ghostdb.key")).toBe("key")),
      Effect.provide(cluster({ keysInSpans: true }).pipe(Layer.provideMerge(layer)))
    )
  })

  it.effect("there are none where they were refused, and none by default without a tracer", () => {
    const { layer, spans } = recording()
    return Effect.gen(function* () {
      yield* GhostDB.get("key")
      expect(spans).toEqual([])
    }).pipe(Effect.provide(cluster({ spans: "never" }).pipe(Layer.provideMerge(layer))))
  })
})

const counted = (name: string, labels: Record<string, string>) =>
  Effect.map(Series.all, (series) =>
    series
      .filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
      .reduce((sum, { count }) => sum + count, 0)
  )

/** What an effect adds to a metric. */
const added = <A, E, R>(name: string, labels: Record<string, string>, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* counted(name, labels)
    yield* effect
    return (yield* counted(name, labels)) - before
  })

describe("metrics", () => {
  const operations = "ghostdb.client.operations"
  it.effect("commands by name and outcome, and their durations", () =>
    Effect.gen(function* () {
      const some = Effect.gen(function* () {
        yield* GhostDB.put("metrics", 1)
        yield* GhostDB.get("metrics")
        yield* GhostDB.get("metrics")
        yield* GhostDB.get("none")
        yield* GhostDB.add("metrics", 1)
        yield* GhostDB.delete("none")
        yield* Effect.flip(GhostDB.get("\ud800"))
      })
      const expected: ReadonlyArray<[string, Record<string, string>, number]> = [
        [operations, { "db.operation.name": "put", "ghostdb.outcome": "stored" }, 1],
        [operations, { "db.operation.name": "get", "ghostdb.outcome": "hit" }, 2],
        [operations, { "db.operation.name": "get", "ghostdb.outcome": "miss" }, 1],
        [operations, { "db.operation.name": "add", "ghostdb.outcome": "not_stored" }, 1],
        [operations, { "db.operation.name": "delete", "ghostdb.outcome": "not_found" }, 1],
        [operations, { "db.operation.name": "get", "error.type": "KeyError" }, 1],
        ["db.client.operation.duration", { "db.system.name": "ghostdb", "db.operation.name": "get", unit: "s" }, 4]
      ]
      const before = yield* Effect.forEach(expected, ([name, labels]) => counted(name, labels))
      yield* some
      const after = yield* Effect.forEach(expected, ([name, labels]) => counted(name, labels))
      expect(after.map((count, i) => count - before[i]!)).toEqual(expected.map(([, , count]) => count))
    }).pipe(Effect.provide(cluster()))
  )

  it.effect("attempts, their failures, failovers and dead nodes", () =>
    Effect.gen(function* () {
      const { nodes, stop } = yield* TestCluster
      yield* Effect.forEach(nodes.slice(0, 2), stop)
      const keys = Array.from({ length: 50 }, (_, i) => `key:${i}`)
      const use = Effect.forEach(keys, GhostDB.get)
      const dead = { "ghostdb.node.state": "dead" }
      expect(yield* added("ghostdb.client.nodes", dead, added("ghostdb.client.failovers", {}, use))).toBe(2)
      expect(yield* counted("ghostdb.client.attempt.failures", { "error.type": "Refused" })).toBeGreaterThanOrEqual(2)
      // Nodes share a series once a process has had very many, as this one may by now.
      const attempts = Effect.zipWith(
        counted("ghostdb.client.attempts", { "server.address": nodes[2]! }),
        counted("ghostdb.client.attempts", { "otel.metric.overflow": "true" }),
        (own, shared) => own + shared
      )
      const before = yield* attempts
      yield* use
      expect((yield* attempts) - before).toBe(50)
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 3, client: { replicas: 100 } })))
  )

  it.effect("the nodes of a client that has ended are not counted", () =>
    Effect.gen(function* () {
      const live = { "ghostdb.node.state": "live" }
      expect(yield* added("ghostdb.client.nodes", live, Effect.provide(GhostDB.get("key"), cluster()))).toBe(0)
    })
  )

  it.effect("none where they were refused", () =>
    Effect.gen(function* () {
      expect(yield* added(operations, {}, Effect.provide(GhostDB.get("key"), cluster({ metrics: false })))).toBe(0)
    })
  )
})
