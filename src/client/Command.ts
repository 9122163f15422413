import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Cluster from "../cluster/Cluster.js"
import type * as ClusterState from "../cluster/ClusterState.js"
import type * as Routing from "../cluster/Routing.js"
import type { Dialect } from "../model/Dialect.js"
import type { JsonText } from "../model/Exchange.js"
import type * as GhostDBConfig from "../model/GhostDBConfig.js"
import { type Fault, KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import type * as Protocol from "../protocol/Protocol.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import type { Connections } from "../transport/Transport.js"

/** What every command needs. */
export interface Environment {
  readonly cluster: Cluster.Cluster
  readonly post: Connections["post"]
  readonly settings: GhostDBConfig.Settings
  readonly clock: Clock.Clock
  readonly recorder: (operation: Telemetry.Operation) => Telemetry.Recorder
  /** Whether a command of the fiber is to have a span. */
  readonly isTraced: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
}

/** How a command is said in a node's dialect. */
export type Say<A> = (protocol: Protocol.Protocol) => Protocol.Request<A>

// Keys, values, lifetimes

/** What is wrong with a key on any server. */
export const keyError = (key: string): KeyError | undefined => {
  if (typeof key !== "string") return new KeyError({ key, reason: "NotAString" })
  return key.isWellFormed() ? undefined : new KeyError({ key, reason: "NotWellFormed" })
}

export const isRefused = (key: string, protocol: Protocol.Protocol) => key === "" && !protocol.allowsEmptyKey

// Attempts

const encoder = new TextEncoder()

/** The body's size in bytes where it is over the limit; no character takes more than three bytes. */
const excess = (body: JsonText, limit: number): number | undefined => {
  if (body.length * 3 <= limit) return undefined
  const size = typeof body === "string" ? encoder.encode(body).length : body.length
  return size > limit ? size : undefined
}

/** The answer to a request that is too large, which no node is asked. Undefined for any other. */
export const unsent = <A>(
  { settings: { maxRequestBytes } }: Environment,
  { body, command, unsent }: Protocol.Request<A>,
  key: string | undefined
): Effect.Effect<A> | undefined => {
  const bytes = excess(body, maxRequestBytes)
  return bytes === undefined
    ? undefined
    : Effect.logWarning("GhostDB request not sent: it is larger than maxRequestBytes").pipe(
        Effect.annotateLogs({ command, key, bytes, maxRequestBytes }),
        Effect.as(unsent)
      )
}

/** One attempt on one node, which a success clears of all consecutiveFailures. */
export const attempt = <A>(
  { cluster, post }: Environment,
  node: string,
  { body, command, decode }: Protocol.Request<A>
): Effect.Effect<A, Fault> => {
  Telemetry.attempted(node)
  return Effect.tap(Effect.flatMap(post(node, command, body), decode), () => cluster.succeeded(node))
}

/** A command on its way: what it says, and where it goes as things stand. */
export interface Errand<A> {
  readonly recorder: Telemetry.Recorder
  readonly say: Say<A>
  readonly route: (state: ClusterState.ClusterState) => Routing.Route
  /** Where it goes while a raft cluster has no leader; it waits for one where this is absent. */
  readonly withoutLeader?: (state: ClusterState.ClusterState) => Routing.Route
  /** Absent for commands without a key. */
  readonly key?: string
  /** The one node that it is for; absent where another node does as well. */
  readonly only?: string
}

/** An attempt that has failed before the errand has set out. */
export interface FirstAttempt {
  readonly node: string
  readonly dialect: Dialect
  readonly fault: Fault
}

/** What an errand comes to on one node: its answer, or going on elsewhere. */
export type Outcome<A> = Effect.Effect<A, NoMoreServers | KeyError>

/** Seconds since the command began. */
export const elapsed = ({ clock }: Environment, startedAt: bigint): number =>
  Number(clock.unsafeCurrentTimeNanos() - startedAt) / 1e9

export const refuse = (recorder: Telemetry.Recorder, error: KeyError): KeyError => {
  recorder.failed(error._tag, 0)
  return error
}
