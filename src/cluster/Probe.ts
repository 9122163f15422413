/**
 * Asks single nodes: what a monitor, and whoever operates a cluster, needs besides the commands of a client. Nothing that
 * a probe finds changes the state of a client.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Dialect } from "../model/Dialect.js"
import * as GhostDBConfig from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { FlushResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import type { SnitchMetrics, WatchdogMetrics } from "../model/Metrics.js"
import type { DurationLike } from "../model/Ttl.js"
import * as Dialects from "../protocol/Dialects.js"
import type * as Protocol from "../protocol/Protocol.js"
import { Transport } from "../transport/Transport.js"
import { request } from "./request.js"

/**
 * How a {@link Probe} connects. Each default is the one of `GhostDBOptions`.
 *
 * @category options
 * @since 0.1.0
 */
export interface ProbeOptions
  extends Pick<GhostDBConfig.GhostDBOptions, "port" | "protocol" | "headers" | "tls" | "maxReplyBytes"> {
  /** How long one question may take, connecting included. Default 1 second. */
  readonly timeout?: DurationLike | undefined
}

/**
 * A node's answer to a ping.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pong {
  readonly dialect: Dialect
  /** How long the answer took, in milliseconds; with the first ping of a node, connecting included. */
  readonly millis: number
}

/**
 * Questions to single nodes. Each fails within the timeout with the reason why the node did not answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe {
  readonly ping: (node: string) => Effect.Effect<Pong, Fault>
  /** How many entries the node holds; none in a dialect without that command. Of raft members only the leader answers. */
  readonly nodeSize: (node: string, dialect: Dialect) => Effect.Effect<Option.Option<number>, Fault>
  /** Empties the node. Of raft members only the leader does. */
  readonly flush: (node: string, dialect: Dialect) => Effect.Effect<FlushResult, Fault>
  readonly snitchMetrics: (node: string, dialect: Dialect) => Effect.Effect<ReadonlyArray<SnitchMetrics>, Fault>
  readonly watchdogMetrics: (node: string, dialect: Dialect) => Effect.Effect<ReadonlyArray<WatchdogMetrics>, Fault>
  /** The value that this node has for a key, be it the owner or not. */
  readonly get: (node: string, dialect: Dialect, key: string) => Effect.Effect<Option.Option<Json>, Fault>
  /** Closes the connection to a node. */
  readonly release: (node: string) => Effect.Effect<void>
}

/**
 * A probe over the `Transport` that is provided; its connections close with the scope. Unusable options are a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* ({
  timeout,
  ...options
}: ProbeOptions = {}): Effect.fn.Return<Probe, never, Transport | Scope.Scope> {
  const settings = yield* GhostDBConfig.resolveOrDie({
    ...options,
    ...(timeout === undefined ? {} : { attemptTimeout: timeout })
  })
  const limit = settings.attemptTimeout
  const transport = yield* Transport
  // A transport looks at what is late from time to time: a little early, so that it is the one to tell the reason.
  const connections = yield* transport.connect({ ...settings, attemptTimeout: limit * 0.9 })
  const late: Fault = {
    reason: "AttemptTimeout",
    detail: `no answer within ${Duration.format(Duration.decode(limit))}`
  }

  const ask = <A>(node: string, question: Omit<Protocol.Request<A>, "whenTooLarge">) =>
    Effect.timeoutFail(request(connections, node, question), { duration: limit, onTimeout: () => late })
  const asking =
    <A>(toRequest: (protocol: Protocol.Protocol) => Protocol.Request<A>) =>
    (node: string, dialect: Dialect) =>
      ask(node, toRequest(Dialects.forDialect(dialect)))

  return {
    ping: (node) =>
      Effect.flatMap(Clock.currentTimeNanos, (start) =>
        ask(node, Dialects.ping).pipe(
          Effect.zip(Clock.currentTimeNanos),
          Effect.map(([dialect, end]) => ({ dialect, millis: Number(end - start) / 1e6 }))
        )
      ),
    nodeSize: asking((protocol) => protocol.nodeSize),
    flush: asking((protocol) => protocol.flush),
    snitchMetrics: asking((protocol) => protocol.getSnitchMetrics),
    watchdogMetrics: asking((protocol) => protocol.getWatchdogMetrics),
    get: (node, dialect, key) => ask(node, Dialects.forDialect(dialect).get(key)),
    release: connections.release
  }
})
