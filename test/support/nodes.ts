import { Effect, Layer } from "effect"
import { Client, type GhostDB, type GhostDBOptions, NodeServer, SocketTransport, type Transport } from "effect-ghostdb"

/** A client of the servers given, over the socket transport unless another is. */
export const clientOf = (
  servers: ReadonlyArray<NodeServer.NodeServer>,
  options: Omit<GhostDBOptions, "requireLive"> = {},
  transport: Layer.Layer<Transport.Transport> = SocketTransport.layer
) =>
  Client.layer({ ...options, nodes: servers.map(({ address }) => address) }).pipe(Layer.provide(transport), Layer.orDie)

/** A client of three embedded nodes of its own. */
export const overHttp = (
  nodes: NodeServer.NodeServerClusterOptions,
  options?: Omit<GhostDBOptions, "requireLive">,
  transport?: Layer.Layer<Transport.Transport>
): Layer.Layer<GhostDB> =>
  NodeServer.cluster(nodes).pipe(
    Effect.map((servers) => clientOf(servers, options, transport)),
    Effect.orDie,
    Layer.unwrapScoped
  )
