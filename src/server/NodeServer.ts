/**
 * An embedded GhostDB server for Node.js: a {@link CacheNode} behind real HTTP, for tests over the wire, for
 * development, and for trying a client without installing a server.
 */

import { Buffer } from "node:buffer"
import * as http from "node:http"
import * as https from "node:https"
import type { Socket } from "node:net"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { format } from "../model/NodeAddress.js"
import * as CacheNode from "./CacheNode.js"
import * as RaftGroup from "./RaftGroup.js"
import { requestListener } from "./RequestListener.js"

/**
 * How a {@link NodeServer} listens and how its node behaves.
 *
 * @category options
 * @since 0.1.0
 */
export interface NodeServerOptions extends CacheNode.CacheNodeOptions {
  /** The interface to listen on. Default: `127.0.0.1`. */
  readonly host?: string | undefined
  /** The TCP port; 0 lets the system choose a free one. Default: 0. */
  readonly port?: number | undefined
  /** Serves HTTPS instead of HTTP. Default: HTTP. */
  readonly tls?: NodeServerTls | undefined
}

/**
 * The certificates of an HTTPS server, each in PEM.
 *
 * @category options
 * @since 0.1.0
 */
export interface NodeServerTls {
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  /** When given, clients must present a certificate that this authority signed. */
  readonly ca?: string | Uint8Array | undefined
}

/**
 * A server cannot listen: the port is taken or not allowed, the host is not of this machine, or a certificate is bad.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServeError extends Schema.TaggedError<ServeError>("effect-ghostdb/ServeError")("ServeError", {
  host: Schema.String,
  port: Schema.Number,
  cause: Schema.Defect
}) {
  override get message(): string {
    const why = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `cannot serve GhostDB on ${format(this.host, this.port)}: ${why}`
  }
}

/**
 * A GhostDB node that listens.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeServer {
  /** The host and port, as a nodes file would hold them. */
  readonly address: string
  readonly port: number
  /** What the server serves. It lives on while the server is stopped. */
  readonly node: CacheNode.CacheNode
  /**
   * Stops listening and breaks every open connection, answered or not, as when a process is killed. Does nothing while
   * the server is stopped.
   */
  readonly stop: Effect.Effect<void>
  /**
   * Listens again on the same port, with an empty node as after a restart of the process; with `keep` the node is as
   * it was, as after an interruption of the network. Does nothing while the server listens.
   */
  readonly start: (options?: { readonly keep?: boolean | undefined }) => Effect.Effect<void, ServeError>
}

interface Listener {
  readonly port: number
  readonly close: Effect.Effect<void>
}

/**
 * Whether only this machine can reach a server on that host.
 *
 * @category functions
 * @since 0.1.0
 */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^(::ffff:)?127(\.\d{1,3}){3}$/i.test(host)

const commandOf = (url: string): string => {
  const query = url.indexOf("?")
  const path = query === -1 ? url.slice(1) : url.slice(1, query)
  if (!path.includes("%")) return path
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

const ignore = () => {}

const listen = (
  { host, port, tls }: { readonly host: string; readonly port: number; readonly tls: NodeServerTls | undefined },
  handle: (command: string, body: string) => CacheNode.NodeReply
): Effect.Effect<Listener, ServeError> =>
  Effect.async((resume) => {
    const fail = (cause: unknown) => resume(Effect.fail(new ServeError({ host, port, cause })))
    const sockets = new Set<Socket>()
    const reset = (socket: Socket): void => {
      // Under TLS the request's socket has no reset of its own: the TCP socket below it has.
      const { remoteAddress, remotePort } = socket
      for (const tcp of sockets) {
        if (tcp.remotePort === remotePort && tcp.remoteAddress === remoteAddress) tcp.resetAndDestroy()
      }
    }
    const listener = requestListener((command, body) => handle(commandOf(command), body), reset)
    // As the real servers: an idle connection stays open, and a slow request is waited for.
    const options: http.ServerOptions = {
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: 0,
      // Replies to a pipeline of some hundred requests, before reading from it is paused.
      highWaterMark: 64 * 1024
    }
    try {
      const server =
        tls === undefined
          ? http.createServer(options, listener)
          : https.createServer({ ...options, ...pem(tls), requestCert: tls.ca !== undefined }, listener)
      server.on("connection", (socket: Socket) => {
        sockets.add(socket)
        socket.on("error", ignore)
        socket.once("close", () => sockets.delete(socket))
      })
      // Node.js gives the HTTP parser what a TLS socket has read although it has paused the parser, which breaks long
      // pipelines: but not where there is a listener to the data.
      server.on("secureConnection", (socket: Socket) => socket.on("data", ignore))
      server.once("error", fail)
      server.listen(port, host, () => {
        server.off("error", fail)
        // Accepting one connection can fail, with too many files open for one; the server continues.
        server.on("error", ignore)
        const address = server.address()
        resume(
          Effect.succeed({
            port: typeof address === "object" && address !== null ? address.port : port,
            close: Effect.async<void>((resume) => {
              server.close(() => resume(Effect.void))
              for (const socket of sockets) socket.destroy()
            })
          })
        )
      })
    } catch (cause) {
      // A certificate that cannot be read, an invalid port.
      fail(cause)
    }
  })

const pem = ({ ca, cert, key }: NodeServerTls): https.ServerOptions => {
  const read = (text: string | Uint8Array) => (typeof text === "string" ? text : Buffer.from(text))
  return { cert: read(cert), key: read(key), ...(ca === undefined ? {} : { ca: read(ca) }) }
}

const stopListening = (current: SynchronizedRef.SynchronizedRef<Option.Option<Listener>>): Effect.Effect<void> =>
  SynchronizedRef.updateEffect(
    current,
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: ({ close }) => Effect.as(close, Option.none())
    })
  ).pipe(Effect.uninterruptible)

/**
 * Starts a server, which the scope stops. On a host that other machines reach, it logs a warning: a node has no access
 * control, as GhostDB itself has none. What web pages send is refused: any method but POST with status 405, and a request
 * from another origin with 403.
 *
 * @example
 * import { Effect } from "effect"
 * import { NodeServer } from "effect-ghostdb"
 *
 * const program = Effect.gen(function* () {
 *   const server = yield* NodeServer.make({ dialect: "v2", port: 7991 })
 *   yield* Effect.log(`listening on ${server.address}`)
 *   yield* Effect.never
 * }).pipe(Effect.scoped)
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: NodeServerOptions = {}): Effect.Effect<NodeServer, ServeError, Scope.Scope> =>
  Effect.tap(serve(options), (server) => warnOfExposure(options.host, [server]))

const serve = (options: NodeServerOptions): Effect.Effect<NodeServer, ServeError, Scope.Scope> =>
  Effect.gen(function* () {
    const { host = defaultHost, port: wantedPort = 0, tls } = options
    const node = yield* Effect.acquireRelease(
      CacheNode.make({ ...options, raftHost: options.raftHost ?? host }),
      ({ leave }) => leave
    )
    // Taken once: the fiber runtime costs more than the whole command.
    const clock = yield* Effect.clock
    const handle = (command: string, body: string) => node.unsafeHandle(command, body, clock.unsafeCurrentTimeMillis())

    const listening = listen({ host, port: wantedPort, tls }, handle)
    const current = yield* Effect.acquireRelease(
      Effect.flatMap(listening, (listener) => SynchronizedRef.make(Option.some(listener))),
      stopListening
    )
    const port = Option.match(yield* SynchronizedRef.get(current), { onNone: () => wantedPort, onSome: (_) => _.port })

    return {
      address: format(host, port),
      port,
      node,
      // The node first: waiting for the connections would delay its raft cluster's election.
      stop: Effect.zipRight(node.stop, stopListening(current)).pipe(Effect.uninterruptible),
      start: (options) =>
        SynchronizedRef.updateEffect(current, (listener) =>
          Option.isSome(listener)
            ? Effect.succeed(listener)
            : Effect.zipRight(node.start(options), Effect.asSome(listen({ host, port, tls }, handle))).pipe(
                Effect.tapError(() => node.stop)
              )
        ).pipe(Effect.uninterruptible)
    }
  })

const defaultHost = "127.0.0.1"

const warnOfExposure = (host = defaultHost, servers: ReadonlyArray<NodeServer>): Effect.Effect<void> =>
  isLoopback(host)
    ? Effect.void
    : Effect.logWarning(
        "GhostDB serves on a host that other machines reach: whoever reaches it can read and change all its values"
      ).pipe(Effect.annotateLogs("nodes", servers.map(({ address }) => address).join(" ")))

/**
 * How {@link cluster} makes its servers. The options of its raft cluster are used where it makes that itself.
 *
 * @category options
 * @since 0.1.0
 */
export interface NodeServerClusterOptions extends NodeServerOptions, RaftGroup.RaftGroupOptions {
  /** How many servers. Default: 3. */
  readonly nodes?: number | undefined
  /** The first server's port, the others follow it; 0 lets the system choose each. Default: 0. */
  readonly port?: number | undefined
}

/**
 * Starts several servers; the scope stops them all. In the `raft` dialect they are the members of one simulated raft
 * cluster, otherwise they know nothing of each other, as the nodes of a ring.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cluster = (
  options: NodeServerClusterOptions = {}
): Effect.Effect<ReadonlyArray<NodeServer>, ServeError, Scope.Scope> =>
  Effect.gen(function* () {
    const { electionTime, leaseTime, nodes = 3, port = 0, replicationDelay, ...rest } = options
    const raftGroup = rest.raftGroup ?? (yield* RaftGroup.make({ electionTime, leaseTime, replicationDelay }))
    const servers = yield* Effect.forEach(
      Array.from({ length: nodes }, (_, index) => (port === 0 ? 0 : port + index)),
      (port) => serve({ ...rest, raftGroup, port })
    )
    yield* warnOfExposure(rest.host, servers)
    return servers
  })
