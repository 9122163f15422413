/** What the nodes tell of themselves, and what the client tells of its commands. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Metric } from "effect"
import { Client, GhostDB, NodeServer, SocketTransport } from "effect-ghostdb"

const program = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 2, metricsInterval: "100 millis" })
  yield* Effect.gen(function* () {
    for (let i = 0; i < 100; i++) yield* GhostDB.put(`key:${i}`, i, 60)
    for (let i = 0; i < 200; i++) yield* GhostDB.get(`key:${i}`)
    yield* Effect.sleep("150 millis")

    yield* Console.log("of the nodes:")
    const { metrics } = yield* GhostDB.getWatchdogMetrics
    for (const { data, node } of metrics) {
      const last = data.at(-1)
      yield* Console.log(`  ${node}: ${last?.GetRequests} gets, ${last?.CacheMiss} of them misses`)
    }

    yield* Console.log("of the client:")
    for (const { metricKey, metricState } of yield* Metric.snapshot) {
      if (metricKey.name !== "ghostdb.client.operations" || !("count" in metricState)) continue
      const labels = Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
      yield* Console.log(`  ${labels["db.operation.name"]}, ${labels["ghostdb.outcome"]}: ${metricState.count}`)
    }
  }).pipe(
    Effect.provide(Layer.provide(Client.layer({ nodes: servers.map(({ address }) => address) }), SocketTransport.layer))
  )
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
