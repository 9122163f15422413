import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Layer } from "effect"
import { FetchTransport, HttpClientTransport, SocketTransport } from "effect-ghostdb"
import { contract } from "./transport.contract.js"

contract("SocketTransport", SocketTransport.layer)
contract("FetchTransport", FetchTransport.layer)
contract("HttpClientTransport over fetch", HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer)))
contract("HttpClientTransport over undici", HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layerUndici)))
contract("HttpClientTransport over node:http", HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layer)))
