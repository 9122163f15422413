import { NodeSdk } from "@effect/opentelemetry"
import { describe, expect, it } from "@effect/vitest"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { GhostDB, NodeServer } from "effect-ghostdb"
import { clientOf } from "../support/clients.js"

const secret = "s3cr3t"

/** What OpenTelemetry exports of a get, a put and a failover, each with secrets in key, value and headers. */
const exported = (keysInSpans: boolean) =>
  Effect.gen(function* () {
    const spans = new InMemorySpanExporter()
    const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
    const reader = new PeriodicExportingMetricReader({ exporter: metrics })
    const sdk = NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(spans),
      metricReader: reader
    }))
    const servers = yield* NodeServer.cluster({ nodes: 2 })
    const client = clientOf(servers, {
      keysInSpans,
      retry: Schedule.stop,
      headers: { Authorization: Redacted.make(`Bearer ${secret}`) }
    })
    return yield* Effect.gen(function* () {
      const key = `${secret}:key`
      yield* GhostDB.put(key, { value: secret })
      yield* GhostDB.get(key)
      for (const server of servers) yield* server.stop
      const error = yield* Effect.flip(GhostDB.get(key))
      yield* Effect.promise(() => reader.forceFlush())
      return {
        key,
        error,
        addresses: servers.map(({ address }) => address),
        spans: spans.getFinishedSpans().map(({ attributes, events, kind, name, status }) => ({
          ...{ name, kind, attributes, status },
          events: events.map(({ attributes, name }) => ({ name, attributes }))
        })),
        metrics: metrics
          .getMetrics()
          .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
          .map(({ dataPoints, descriptor: { name, unit } }) => ({
            ...{ name, unit },
            points: dataPoints.map(({ attributes }) => attributes)
          }))
      }
    }).pipe(Effect.provide(Layer.merge(client, sdk)))
  })

describe("what OpenTelemetry exports", () => {
  it.scopedLive("spans of commands, by its conventions for database clients", () =>
    Effect.gen(function* () {
      const { addresses, error, spans } = yield* exported(false)
      expect(spans.map(({ name }) => name)).toEqual(["ghostdb put", "ghostdb get", "ghostdb get"])
      const [put, , failed] = spans
      expect(put).toMatchObject({
        kind: 2,
        attributes: { "db.system.name": "ghostdb", "db.operation.name": "put" },
        events: [{ name: "attempt", attributes: {} }]
      })
      expect(addresses).toContain(put?.events[0]?.attributes?.["server.address"])
      expect(failed?.attributes).toMatchObject({ "error.type": "NoMoreServers" })
      expect(failed?.events.map(({ name }) => name)).toEqual(expect.arrayContaining(["attempt failed", "failover"]))
      expect(failed?.status).toMatchObject({ code: 2, message: expect.stringContaining(error.message) })
    })
  )

  it.scopedLive("metrics, with their units and labels", () =>
    Effect.gen(function* () {
      const { addresses, metrics } = yield* exported(false)
      const labels = (name: string) => metrics.filter((metric) => metric.name === name).flatMap(({ points }) => points)
      expect(metrics.find(({ name }) => name === "db.client.operation.duration")?.unit).toBe("s")
      expect(metrics.find(({ name }) => name === "ghostdb.client.network.io")?.unit).toBe("By")
      const system = { "db.system.name": "ghostdb" }
      expect(labels("db.client.operation.duration")).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ ...system, "db.operation.name": "put" }),
          expect.objectContaining({ ...system, "db.operation.name": "get", "error.type": "NoMoreServers" })
        ])
      )
      expect(labels("ghostdb.client.operations")).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ ...system, "db.operation.name": "put", "ghostdb.outcome": "stored" }),
          expect.objectContaining({ ...system, "db.operation.name": "get", "ghostdb.outcome": "hit" })
        ])
      )
      for (const address of addresses) {
        expect(labels("ghostdb.client.attempt.failures")).toContainEqual(
          expect.objectContaining({
            ...system,
            "server.address": address,
            "error.type": expect.stringMatching(/^(Refused|Reset)$/)
          })
        )
      }
    })
  )

  it.scopedLive("no key, no value and no header, unless keys are asked for", () =>
    Effect.gen(function* () {
      const without = yield* exported(false)
      expect(without.spans.length).toBe(3)
      expect(JSON.stringify([without.spans, without.metrics])).not.toContain(secret)

      const { key, metrics, spans } = yield* exported(true)
      for (const span of spans) {
        const { "ghostdb.key": told, ...attributes } = span.attributes
        expect(told).toBe(key)
        expect(JSON.stringify({ ...span, attributes })).not.toContain(secret)
      }
      expect(JSON.stringify(metrics)).not.toContain(secret)
    })
  )
})
