/** Spans and metrics of the client, exported by OpenTelemetry: here to memory, in an app to a collector. */
import { NodeSdk } from "@effect/opentelemetry"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Console, Effect, Layer } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"

const spans = new InMemorySpanExporter()
const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: metrics })

const Telemetry = NodeSdk.layer(() => ({
  resource: { serviceName: "quotes" },
  spanProcessor: new SimpleSpanProcessor(spans),
  metricReader: reader
}))

const program = Effect.gen(function* () {
  const { nodes, stop } = yield* TestCluster
  yield* GhostDB.put("AMZN", 3107.3)
  yield* stop(nodes[0] ?? "")
  yield* Effect.forEach(["AMZN", "AAPL", "GOOG"], GhostDB.get).pipe(Effect.withSpan("quotes"))
  yield* Effect.promise(() => reader.forceFlush())

  for (const { attributes, events, name } of spans.getFinishedSpans()) {
    yield* Console.log(
      name,
      attributes,
      events.map((event) => event.name)
    )
  }
  for (const { descriptor, dataPoints } of metrics
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))) {
    if (descriptor.name === "db.client.operation.duration") {
      for (const { attributes } of dataPoints) yield* Console.log(descriptor.name, descriptor.unit, attributes)
    }
  }
})

program.pipe(
  Effect.provide(Layer.merge(TestCluster.layer({ nodes: 3, client: { replicas: 100 } }), Telemetry)),
  NodeRuntime.runMain
)
