import { FetchHttpClient } from "@effect/platform"
import { Layer } from "effect"
import { Dialect, HttpClientTransport, TestCluster } from "effect-ghostdb"
import { embeddedLayer } from "../support/clients.js"
import { overTls, serverTls } from "../support/tls.js"
import { contract } from "./service.contract.js"

for (const dialect of Dialect.literals) {
  contract(`${dialect} nodes in memory`, { dialect, size: 3, layer: TestCluster.layer({ dialect }) })
  contract(`${dialect} nodes over HTTP`, { dialect, size: 3, layer: embeddedLayer({ nodes: 3, dialect }) })
}

contract("raft nodes in memory, read from any", {
  dialect: "raft",
  size: 3,
  layer: TestCluster.layer({ dialect: "raft", client: { readFrom: "any" } })
})

contract("raft nodes over HTTP, read from any", {
  dialect: "raft",
  size: 3,
  layer: embeddedLayer({ nodes: 3, dialect: "raft" }, { readFrom: "any" })
})

contract("v2 nodes over TLS", {
  dialect: "v2",
  size: 3,
  layer: embeddedLayer({ nodes: 3, dialect: "v2", tls: serverTls }, overTls)
})

contract("v2 nodes over layerHttpClient", {
  dialect: "v2",
  size: 3,
  layer: embeddedLayer(
    { nodes: 3, dialect: "v2" },
    // A timeout that is over stays in the test clock, which takes 10 ms to pass it: these are never passed.
    { attemptTimeout: "1 day", deadline: "1 day" },
    HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer))
  )
})
