/** The contract of the service, on real servers: what the embedded ones are held to. */
import { Clock, Effect, Layer } from "effect"
import { Client, SocketTransport } from "effect-ghostdb"
import { contract } from "../client/service.contract.js"
import * as RealCluster from "./RealCluster.js"

for (const dialect of RealCluster.versions) {
  const size = 3
  const layer = RealCluster.make(dialect, size).pipe(
    // The servers start by the real clock, whatever that of the tests is.
    Effect.withClock(Clock.make()),
    Effect.map((nodes) => Client.layer({ nodes: nodes.map(({ address }) => address) })),
    Layer.unwrapScoped,
    Layer.provide(SocketTransport.layer)
  )
  contract(`real ${dialect} servers`, { layer, dialect, size, servers: "real" })
}
