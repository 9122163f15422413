/** The client of the commands: from the options that they share to the layer. */

import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Order from "effect/Order"
import * as Stream from "effect/Stream"
import * as NodesFile from "../discovery/NodesFile.js"
import { GhostDB } from "../GhostDB.js"
import { GhostDBLive } from "../GhostDBLive.js"
import { defaults, type GhostDBOptions } from "../model/GhostDBConfig.js"
import type { Topology } from "../model/Topology.js"
import { NegativeAnswer } from "./exit.js"

/** The options that all commands on a cluster share. */
export interface Connection {
  /** A path or a URL. */
  readonly nodes: string
  readonly port: number
  readonly replicas: number
  /** For one command, all retries and failovers included. */
  readonly timeout: Duration.Duration
  readonly tls: boolean
}

/** Runs an effect with a client of the cluster. */
export const withClient = <A, E, R>(
  { nodes, port, replicas, timeout, tls }: Connection,
  self: Effect.Effect<A, E, R | GhostDB>,
  options?: Pick<GhostDBOptions, "revive">
) =>
  Effect.provide(
    self,
    GhostDBLive(nodes, {
      ...options,
      requireLive: false,
      port,
      replicas,
      deadline: timeout,
      attemptTimeout: Duration.min(timeout, defaults.attemptTimeout),
      protocol: tls ? "https" : "http"
    })
  )

/** The addresses in the nodes file, without a client. */
export const nodesIn = (source: string) =>
  NodesFile.isUrl(source)
    ? Effect.map(Effect.provide(NodesFile.watchUrl(source), FetchHttpClient.layer), ({ nodes }) => nodes)
    : Effect.map(NodesFile.readFile(source), ({ nodes }) => nodes)

/** The cluster as the client sees it now. */
export const topologyNow: Effect.Effect<Topology, never, GhostDB> = Effect.orDie(
  Effect.flatten(Stream.runHead(GhostDB.topology))
)

/** Every configured node. In the order of the nodes file while all are live. */
export const configuredNodes: Effect.Effect<ReadonlyArray<string>, never, GhostDB> = Effect.map(
  topologyNow,
  ({ dead, live }) => [...live, ...dead].map(({ node }) => node)
)

/**
 * How many entries the cluster holds, by what its nodes say; the members of a raft cluster all hold the same. Undefined
 * where none says.
 */
export const totalEntries = ({ placement }: Topology, entries: ReadonlyArray<number>): number | undefined => {
  if (entries.length === 0) return undefined
  return placement === "replicated" ? Math.max(...entries) : entries.reduce((sum, count) => sum + count, 0)
}

/** Fails where some of the nodes have not answered, after what the others have said was printed. */
export const allAnswered = (silent: ReadonlyArray<string>, asked: number): Effect.Effect<void, NegativeAnswer> =>
  silent.length === 0
    ? Effect.void
    : new NegativeAnswer({ message: `${silent.length} of ${asked} nodes do not answer: ${silent.join(", ")}` })

/** Sorts by the order of the addresses given, those that are not among them last. */
export const inOrderOf = (addresses: ReadonlyArray<string>) => {
  const place = new Map(addresses.map((address, i) => [address, i]))
  return <A extends { readonly node: string }>(items: ReadonlyArray<A>): ReadonlyArray<A> =>
    Arr.sortWith(items, ({ node }) => place.get(node) ?? addresses.length, Order.number)
}
