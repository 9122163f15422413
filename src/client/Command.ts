/** What the parts of a command's life share: its environment, its request, and how a reply becomes an answer. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Cluster from "../cluster/Cluster.js"
import type { Dialect } from "../model/Dialect.js"
import { type JsonText, type Reply, withheld } from "../model/Exchange.js"
import type * as GhostDBConfig from "../model/GhostDBConfig.js"
import { type Fault, KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import type * as Protocol from "../protocol/Protocol.js"
import type * as Telemetry from "../telemetry/Telemetry.js"
import type { Connections } from "../transport/Transport.js"
import type * as Progress from "./Progress.js"

/** What every command needs. */
export interface Environment {
  readonly cluster: Cluster.Cluster
  readonly post: Connections["post"]
  readonly exchange: NonNullable<Connections["exchange"]>
  readonly postMany: NonNullable<Connections["postMany"]>
  readonly settings: GhostDBConfig.Settings
  readonly clock: Clock.Clock
  readonly recorder: (operation: Telemetry.Operation) => Telemetry.Recorder
  readonly batchRecorder: (operation: Telemetry.Operation) => Telemetry.BatchRecorder
  readonly attempts: Telemetry.Attempts
  /** Whether a command of the fiber has a span. */
  readonly isTraced: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
}

/** Builds a command's request for a dialect. */
export type ToRequest<A> = (protocol: Protocol.Protocol) => Protocol.Request<A>

/** A command: what it asks, and where it goes as things stand. */
export interface Command<A> extends Progress.Target {
  readonly recorder: Telemetry.Recorder
  readonly toRequest: ToRequest<A>
  /** Absent for commands without a key. */
  readonly key?: string
  /** What it does with its key. */
  readonly access?: "read" | "write"
  /** When it was issued, and when it ends at the latest: milliseconds of the monotonic clock. */
  readonly startedAt: number
  readonly deadline: number
}

/** The result of a command. */
export type Outcome<A> = Effect.Effect<A, NoMoreServers | KeyError>

/** An attempt that failed on the fast path. */
export interface FirstAttempt {
  readonly node: string
  /** Unknown where it was the handshake that failed. */
  readonly dialect: Dialect | undefined
  readonly fault: Fault
}

// Keys

/** What is wrong with a key on any server. */
export const keyError = (key: string): KeyError | undefined => {
  if (typeof key !== "string") return new KeyError({ key, reason: "NotAString" })
  return key.isWellFormed() ? undefined : new KeyError({ key, reason: "NotWellFormed" })
}

/** Whether the node's dialect refuses the key; such a command is not sent. */
export const isRefused = (key: string, protocol: Protocol.Protocol): boolean => key === "" && !protocol.allowsEmptyKey

// Requests and replies

const encoder = new TextEncoder()

/** The body's size in bytes where it is over the limit; no character takes more than three bytes. */
export const oversizeBytes = (body: JsonText, limit: number): number | undefined => {
  if (body.length * 3 <= limit) return undefined
  const size = typeof body === "string" ? encoder.encode(body).length : body.length
  return size > limit ? size : undefined
}

/** A request on its way to one node. It is encoded when the transport can write it, and not before. */
export class Outgoing<A> {
  /** Its size, where it was found to be larger than `maxRequestBytes`. */
  private oversize: number | undefined

  constructor(
    protected readonly env: Environment,
    protected readonly request: Protocol.Request<A>,
    protected readonly key: string | undefined
  ) {}

  /** Undefined where it is too large. */
  body(): JsonText | undefined {
    const body = this.request.encode()
    this.oversize = oversizeBytes(body, this.env.settings.maxRequestBytes)
    return this.oversize === undefined ? body : undefined
  }

  /** One attempt on one node. */
  post(node: string, deadline: number): Effect.Effect<Reply, Fault> {
    this.env.attempts.attempted(node, 1)
    return this.env.post(node, this.request.command, () => this.body(), deadline)
  }

  /** What a reply says. A request that was too large to be sent has the answer of one that was not carried out. */
  read(reply: Reply): Protocol.Decoded<A> {
    return reply === withheld ? { ok: true, answer: this.request.whenTooLarge } : this.request.decode(reply)
  }

  /** Whether there is something to warn of. */
  get isOversized(): boolean {
    return this.oversize !== undefined
  }

  get warnOversized(): Effect.Effect<void> {
    return warnOversized(this.env, this.request.command, this.key, this.oversize)
  }
}

/** Warns of a request that is not sent. */
export const warnOversized = (
  { settings: { maxRequestBytes } }: Environment,
  command: string,
  key: string | undefined,
  bytes: number | undefined
): Effect.Effect<void> =>
  Effect.logWarning("GhostDB request not sent: it is larger than maxRequestBytes").pipe(
    Effect.annotateLogs({ command, key, bytes, maxRequestBytes })
  )

// Time

/** Milliseconds of the monotonic clock. */
export const now = ({ clock }: Environment): number => Monotonic.unsafeNow(clock)

/** Seconds since a command began. */
export const elapsed = (env: Environment, startedAt: number): number => (now(env) - startedAt) / 1000

/** Records that a command was refused for its key. */
export const refuse = (recorder: Telemetry.Recorder, error: KeyError): KeyError => {
  recorder.failed(error._tag, 0)
  return error
}
