import { Effect, Layer, Option, Stream } from "effect"
import {
  Client,
  GhostDB,
  type GhostDBOptions,
  NodeServer,
  SocketTransport,
  type Topology,
  type Transport
} from "effect-ghostdb"

/** A client of the servers given, over the socket transport unless another is. */
export const clientOf = (
  servers: ReadonlyArray<NodeServer.NodeServer>,
  options: GhostDBOptions = {},
  transport: Layer.Layer<Transport.Transport> = SocketTransport.layer
) =>
  Client.layer({ ...options, nodes: servers.map(({ address }) => address) }).pipe(Layer.provide(transport), Layer.orDie)

/** A client of three embedded nodes of its own. */
export const embeddedLayer = (
  nodes: NodeServer.NodeServerClusterOptions,
  options?: GhostDBOptions,
  transport?: Layer.Layer<Transport.Transport>
): Layer.Layer<GhostDB> =>
  NodeServer.cluster(nodes).pipe(
    Effect.map((servers) => clientOf(servers, options, transport)),
    Effect.orDie,
    Layer.unwrapScoped
  )

/** The topology as it is now. */
export const topologyNow: Effect.Effect<Topology, never, GhostDB> = Effect.map(
  Stream.runHead(GhostDB.topology),
  Option.getOrThrow
)
