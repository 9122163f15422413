/** The client and the probe of the commands: from the options that they share to the connections. */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Client from "../client/Client.js"
import * as Monitor from "../cluster/Monitor.js"
import * as Probe from "../cluster/Probe.js"
import type * as NodesFile from "../discovery/NodesFile.js"
import { GhostDB } from "../GhostDB.js"
import { defaults, type GhostDBOptions, resolve } from "../model/GhostDBConfig.js"
import type { Topology } from "../model/Topology.js"
import * as SocketTransport from "../transport/SocketTransport.js"
import { NegativeAnswer, UsageError } from "./exit.js"
import { watchNodes } from "./nodes.js"

/** The options that all commands on a cluster share. */
export interface Connection {
  /** A path, a URL, `-` for standard input, or addresses with commas between them. */
  readonly nodes: string
  readonly port: number
  readonly replicas: number
  /** For one command, all retries and failovers included. */
  readonly timeout: Duration.Duration
  /** Whether to speak HTTPS. The certificates and `insecure` imply it. */
  readonly tls: boolean
  /** Paths of PEM files. */
  readonly ca: Option.Option<string>
  readonly cert: Option.Option<string>
  readonly key: Option.Option<string>
  /** Whether to trust any certificate. */
  readonly insecure: boolean
  /** A `Name: value` on each line. */
  readonly header: Option.Option<string>
}

const readPem = (name: string, path: Option.Option<string>) =>
  Effect.transposeMapOption(path, (path) =>
    Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(path)).pipe(
      Effect.mapError((error) => new UsageError({ message: `--${name}: ${error.message}` }))
    )
  )

const parseHeaders = (text: string): Effect.Effect<Record<string, Redacted.Redacted<string>>, UsageError> =>
  Effect.map(
    Effect.forEach(text.split("\n"), (line) => {
      const colon = line.indexOf(":")
      return colon > 0
        ? Effect.succeed([line.slice(0, colon).trim(), Redacted.make(line.slice(colon + 1).trim())] as const)
        : Effect.fail(new UsageError({ message: "--header is a name, a colon and a value, such as 'X-Tenant: a'" }))
    }),
    Object.fromEntries<Redacted.Redacted<string>>
  )

/** What the options say about connections. Files of certificates are read here. */
const connectionSettings = Effect.fnUntraced(function* (connection: Connection) {
  const ca = yield* readPem("ca", connection.ca)
  const cert = yield* readPem("cert", connection.cert)
  const key = yield* readPem("key", connection.key)
  if (Option.isSome(cert) !== Option.isSome(key)) {
    return yield* new UsageError({ message: "--cert and --key go together" })
  }
  const tls = connection.tls || connection.insecure || Option.isSome(ca) || Option.isSome(cert)
  const settings: Pick<GhostDBOptions, "port" | "protocol" | "headers" | "tls"> = {
    port: connection.port,
    protocol: tls ? "https" : "http",
    headers: Option.isSome(connection.header) ? yield* parseHeaders(connection.header.value) : {},
    tls: {
      ...(Option.isSome(ca) ? { ca: ca.value } : {}),
      ...(Option.isSome(cert) ? { cert: cert.value } : {}),
      ...(Option.isSome(key) ? { key: Redacted.make(key.value) } : {}),
      rejectUnauthorized: !connection.insecure
    }
  }
  yield* Either.mapLeft(resolve(settings), (message) => new UsageError({ message }))
  return settings
})

/** The nodes and the settings; `left` is what reading them has left of the timeout, in milliseconds. */
const prepare = Effect.fnUntraced(function* (connection: Connection) {
  const start = yield* Clock.currentTimeNanos
  const settings = yield* connectionSettings(connection)
  const watched = yield* watchNodes(connection.nodes, connection.timeout)
  const took = Number((yield* Clock.currentTimeNanos) - start) / 1e6
  return { settings, watched, left: Math.max(Duration.toMillis(connection.timeout) - took, 1) }
})

/** A Transport that cannot use a certificate or a key says so when it connects. */
const orUnusable = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.catchAllDefect(self, (defect) =>
    defect instanceof Error && "code" in defect && String(defect.code).startsWith("ERR_OSSL")
      ? Effect.fail(new UsageError({ message: `the certificate or the key cannot be used: ${defect.message}` }))
      : Effect.die(defect)
  )

/** Runs an effect with a client of the cluster. The timeout holds for reading the nodes and the first command together. */
export const withClient = <A, E, R>(
  connection: Connection,
  self: Effect.Effect<A, E, R | GhostDB>,
  options?: Pick<GhostDBOptions, "revive" | "connections">
) =>
  Effect.flatMap(prepare(connection), ({ left, settings, watched }) =>
    Effect.provide(
      self,
      Client.layer({
        ...options,
        ...settings,
        ...watched,
        replicas: connection.replicas,
        deadline: Duration.millis(left),
        attemptTimeout: Duration.millis(Math.min(left, defaults.attemptTimeout))
      }).pipe(Layer.provide(SocketTransport.layer))
    )
  ).pipe(orUnusable)

/** Runs an effect with a probe and the nodes; each question may take what is left of the timeout. */
export const withProbe = <A, E, R>(
  connection: Connection,
  use: (probe: Probe.Probe, watched: NodesFile.Watched) => Effect.Effect<A, E, R>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { left, settings, watched } = yield* prepare(connection)
      const probe = yield* Effect.provide(
        Probe.make({ ...settings, timeout: Duration.millis(left) }),
        SocketTransport.layer
      )
      return yield* use(probe, watched)
    })
  ).pipe(orUnusable)

/** Runs an effect with a monitor of the cluster. The timeout holds for each question to a node. */
export const withMonitor = <A, E, R>(
  connection: Connection,
  options: Pick<Monitor.MonitorOptions, "interval" | "metrics">,
  use: (monitor: Monitor.Monitor) => Effect.Effect<A, E, R>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { settings, watched } = yield* prepare(connection)
      const timeout = connection.timeout
      const monitor = Monitor.make({ ...options, ...settings, ...watched, timeout })
      return yield* use(yield* Effect.provide(monitor, SocketTransport.layer))
    })
  ).pipe(orUnusable)

/** Runs an effect with all three: a client, a monitor and a probe of the cluster. */
export const withCluster = <A, E, R>(
  connection: Connection,
  options: Pick<Monitor.MonitorOptions, "interval" | "metrics">,
  use: (monitor: Monitor.Monitor, probe: Probe.Probe) => Effect.Effect<A, E, R | GhostDB>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { settings, watched } = yield* prepare(connection)
      const { replicas, timeout } = connection
      const monitor = yield* Monitor.make({ ...options, ...settings, ...watched, timeout })
      const probe = yield* Probe.make({ ...settings, timeout })
      const client = Client.layer({ ...settings, ...watched, replicas, revive: Schedule.spaced("1 second") })
      return yield* Effect.provide(use(monitor, probe), client)
    })
  ).pipe(Effect.provide(SocketTransport.layer), orUnusable)

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
