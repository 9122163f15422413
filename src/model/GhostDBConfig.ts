/** The options of the client and their defaults. */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { Dialect } from "./Dialect.js"
import { fromEither } from "./fromEither.js"
import type { NodeFailure } from "./GhostDBError.js"
import { DurationLike } from "./Ttl.js"

/**
 * How connections are encrypted where `protocol` is `"https"`. PEM texts, not file names.
 *
 * @category options
 * @since 0.1.0
 */
export interface TlsOptions {
  /** Certificate authorities to trust instead of the system's. */
  readonly ca?: string | ReadonlyArray<string>
  /** The client's certificate, for servers that ask for one. */
  readonly cert?: string
  /** The private key of `cert`. */
  readonly key?: Redacted.Redacted<string>
  /** The name that the server's certificate must hold. Default: the node's host. */
  readonly servername?: string
  /** Whether to refuse a server whose certificate cannot be verified. Default `true`. */
  readonly rejectUnauthorized?: boolean
}

/**
 * What can be set, all of it optional. Sizes are bytes; a duration is a `Duration` or its text, as `"5 seconds"`.
 *
 * @category options
 * @since 0.1.0
 */
export interface GhostDBOptions {
  /** The port of nodes whose address names none. Default 7991. */
  readonly port?: number
  /** Default `"http"`. */
  readonly protocol?: "http" | "https"
  /** Points a node has on the ring, 1 or more. Must be what the other clients of the cluster use. Default 1. */
  readonly replicas?: number
  /**
   * When to try the same node again after a failed attempt; its input is the failure. Consulted only once an attempt has
   * failed. Default: twice, after about 20 and 40 ms.
   */
  readonly retry?: Schedule.Schedule<unknown, NodeFailure>
  /**
   * When to ask dead nodes whether they are back. Starts anew with the first death after all nodes were live; where it
   * ends, the next death starts it again. Default: every 30 seconds, give or take a fifth so that many clients do not
   * come back at once.
   */
  readonly revive?: Schedule.Schedule<unknown>
  /** How long one attempt on one node may take, connecting included. Default 1 second. */
  readonly attemptTimeout?: DurationLike
  /** How long one command may take, all retries and failovers included. Default 5 seconds. */
  readonly deadline?: DurationLike
  /**
   * Suspect failures (resets, timeouts, unreadable replies) of different commands in a row, without a success between,
   * that make a node dead although it answers its ping. Default 3.
   */
  readonly failureThreshold?: number
  /** Connections to each node. Requests are pipelined, so that more than one seldom helps. Default 1. */
  readonly connections?: number
  /**
   * How long a connection may be unused before it is closed; the next command on the node makes a new one. Longer than 0;
   * `Duration.infinity` keeps connections open. Default 90 seconds: less than what firewalls and load balancers between allow, which
   * drop connections without a word. `FetchTransport` and `HttpClientTransport` leave it to the platform.
   */
  readonly idleTimeout?: DurationLike
  /**
   * Requests in flight on one connection at most; what exceeds that waits in this client, in order, and its time limit has
   * not begun. Default 256: enough for 25,000 commands a second with a node that is 10 ms away.
   */
  readonly pipelining?: number
  /**
   * What happens to what a node held when it comes back: `"keep"` leaves it, as the other SDKs do; `"flush"` empties the
   * node before it takes keys again. Default `"keep"`.
   */
  readonly onRevival?: "keep" | "flush"
  /** Sent with every request, for instance to an authenticating proxy. Default: none. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>>
  /** Used where `protocol` is `"https"`. Default: the system's certificate authorities. */
  readonly tls?: TlsOptions
  /** A larger request is not sent: the answer is `NOT_STORED`. Default 4 MiB, which servers accept. */
  readonly maxRequestBytes?: number
  /** A larger reply is a failure. Default 64 MiB. */
  readonly maxReplyBytes?: number
  /** The dialect of the nodes; `"auto"` asks each node by a ping at its first use and at each revival. Default `"auto"`. */
  readonly dialect?: Dialect | "auto"
  /**
   * Who answers a `get` in a raft cluster. `"leader"`: the leader, so that a client reads its own writes; while there is
   * none, a read waits for one as a write does. `"leaderPreferred"`: the leader, and any live node while there is none.
   * `"any"`: any live node, by the ring, which spreads the load and may answer with what was there a moment ago. Default
   * `"leaderPreferred"`.
   */
  readonly readFrom?: "leaderPreferred" | "leader" | "any"
  /**
   * For how long a member that was found to lead its raft cluster is read as the leader without being asked again, longer
   * than 0. It is asked in the background when half of that is over, while there are reads. A leader that the others have
   * replaced answers old values for as long at most. Default 2 seconds.
   */
  readonly leaderLease?: DurationLike
  /**
   * Who takes a dead node's keys. `"standIn"`: the next live node of the ring, as with the other SDKs. `"none"`: nobody;
   * commands on them fail with a `NoMoreServers` that names their node, and nothing is ever found where it does not
   * belong. Raft members all hold every key, and are not concerned. Default `"standIn"`.
   */
  readonly failover?: "standIn" | "none"
  /**
   * How long after a reading of the nodes a `GhostDBLive` asks their URL again, longer than 0. A nodes file is read as often,
   * besides at each event that tells of a change: some file systems send none. Default 30 seconds.
   */
  readonly pollInterval?: DurationLike
  /**
   * When to look again for the leader of a raft cluster while it has none. Default: every 100 ms, until the command's
   * deadline.
   */
  readonly election?: Schedule.Schedule<unknown>
  /** Whether commands are counted and timed, as Effect metrics. Default `true`. */
  readonly metrics?: boolean
  /**
   * When a command has a span: `"auto"` where a tracer is installed, `"always"`, or `"never"`. A span costs several times
   * what the command itself does. Default `"auto"`.
   */
  readonly spans?: "auto" | "always" | "never"
  /** Whether spans hold the key, which may be personal data. Values are never in them. Default `false`. */
  readonly keysInSpans?: boolean
  /**
   * Whether an outage of the cache is a miss: commands answer none, `NOT_STORED`, `NOT_FOUND` or `ERR_FLUSH` instead of
   * failing with `NoMoreServers`. Each is counted, and one a minute logged. Default `false`.
   */
  readonly failOpen?: boolean
}

/**
 * {@link GhostDBOptions} with every default filled in and durations in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly port: number
  readonly protocol: "http" | "https"
  readonly replicas: number
  readonly retry: Schedule.Schedule<unknown, NodeFailure>
  readonly revive: Schedule.Schedule<unknown>
  readonly attemptTimeout: number
  readonly deadline: number
  readonly failureThreshold: number
  readonly connections: number
  /** May be infinite. */
  readonly idleTimeout: number
  readonly pipelining: number
  readonly onRevival: "keep" | "flush"
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  readonly tls: TlsOptions
  readonly maxRequestBytes: number
  readonly maxReplyBytes: number
  readonly dialect: Dialect | "auto"
  readonly readFrom: "leaderPreferred" | "leader" | "any"
  readonly leaderLease: number
  readonly failover: "standIn" | "none"
  readonly pollInterval: number
  readonly election: Schedule.Schedule<unknown>
  readonly metrics: boolean
  readonly spans: "auto" | "always" | "never"
  readonly keysInSpans: boolean
  readonly failOpen: boolean
}

/**
 * The defaults.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Settings = {
  port: 7991,
  protocol: "http",
  replicas: 1,
  retry: Schedule.exponential("20 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(2))),
  revive: Schedule.spaced("30 seconds").pipe(Schedule.jittered),
  attemptTimeout: 1000,
  deadline: 5000,
  failureThreshold: 3,
  connections: 1,
  idleTimeout: 90_000,
  pipelining: 256,
  onRevival: "keep",
  headers: {},
  tls: {},
  maxRequestBytes: 4 * 1024 * 1024,
  maxReplyBytes: 64 * 1024 * 1024,
  dialect: "auto",
  readFrom: "leaderPreferred",
  leaderLease: 2000,
  failover: "standIn",
  pollInterval: 30_000,
  election: Schedule.spaced("100 millis"),
  metrics: true,
  spans: "auto",
  keysInSpans: false,
  failOpen: false
}

const headerName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const headerValue = /^[\t\x20-\x7e]*$/
const reserved = new Set([
  "content-length",
  "content-type",
  "transfer-encoding",
  "connection",
  "host",
  "expect",
  "upgrade"
])

const integer = (min: number, max = Number.MAX_SAFE_INTEGER) => ({
  ok: (value: number) => Number.isSafeInteger(value) && value >= min && value <= max,
  expected:
    max === Number.MAX_SAFE_INTEGER ? `a whole number, ${min} or more` : `a whole number between ${min} and ${max}`
})

const ranges = [
  ["port", integer(1, 65535)],
  // More would block the process for seconds.
  ["replicas", integer(1, 65536)],
  ["failureThreshold", integer(1)],
  ["connections", integer(1)],
  ["pipelining", integer(1)],
  ["maxRequestBytes", integer(1)],
  ["maxReplyBytes", integer(1)]
] as const

// The compiler checks these, but for what comes from untyped code.
const oneOf = (...known: ReadonlyArray<string>) => known
const choices = [
  ["protocol", oneOf("http", "https")],
  ["onRevival", oneOf("keep", "flush")],
  ["dialect", oneOf("auto", ...Dialect.literals)],
  ["readFrom", oneOf("leaderPreferred", "leader", "any")],
  ["failover", oneOf("standIn", "none")],
  ["spans", oneOf("auto", "always", "never")]
] as const

const schedules = ["retry", "revive", "election"] as const

/** NaN for what is no duration. */
const millis = (input: DurationLike | undefined, otherwise: number): number =>
  input === undefined ? otherwise : Option.getOrElse(DurationLike.parse(input), () => Number.NaN)

/**
 * Fills in the defaults; `Left` says in one line which option cannot be used and why.
 *
 * @category functions
 * @since 0.1.0
 */
export const resolve = (options: GhostDBOptions): Either.Either<Settings, string> => {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const settings: Settings = {
    ...defaults,
    ...given,
    attemptTimeout: millis(options.attemptTimeout, defaults.attemptTimeout),
    deadline: millis(options.deadline, defaults.deadline),
    idleTimeout: millis(options.idleTimeout, defaults.idleTimeout),
    leaderLease: millis(options.leaderLease, defaults.leaderLease),
    pollInterval: millis(options.pollInterval, defaults.pollInterval),
    headers: Object.fromEntries(
      Object.entries(options.headers ?? {}).map(([name, value]) => [
        name,
        Redacted.isRedacted(value) ? value : Redacted.make(value)
      ])
    )
  }
  for (const [name, { expected, ok }] of ranges) {
    const value = settings[name]
    if (!ok(value)) return Either.left(`${name} must be ${expected}, not ${value}`)
  }
  for (const name of ["attemptTimeout", "deadline", "leaderLease", "pollInterval"] as const) {
    const value = settings[name]
    if (!(value > 0 && Number.isFinite(value))) {
      return Either.left(`${name} must be a Duration or its text, as "5 seconds", longer than 0 and finite`)
    }
  }
  if (!(settings.idleTimeout > 0)) {
    return Either.left('idleTimeout must be a Duration or its text, as "90 seconds", longer than 0')
  }
  for (const [name, known] of choices) {
    const value = settings[name]
    if (!known.includes(value)) return Either.left(`${name} must be one of ${known.join(", ")}, not ${value}`)
  }
  for (const name of schedules) {
    if (!Schedule.isSchedule(settings[name])) return Either.left(`${name} must be a Schedule`)
  }
  for (const [name, value] of Object.entries(settings.headers)) {
    if (!headerName.test(name) || !headerValue.test(Redacted.value(value))) {
      return Either.left(`headers: ${JSON.stringify(name)} is no valid HTTP header`)
    }
    if (reserved.has(name.toLowerCase())) return Either.left(`headers: ${name} is set by the transport`)
  }
  return Either.right(settings)
}

/**
 * {@link resolve}, where options that cannot be used are a defect.
 *
 * @category functions
 * @since 0.1.0
 */
export const resolveOrDie = (options: GhostDBOptions): Effect.Effect<Settings> =>
  Effect.orDieWith(fromEither(resolve(options)), (problem) => new Cause.IllegalArgumentException(problem))

/**
 * What is given that is no option of a client, and so has no effect: a misspelt name in untyped code.
 *
 * @internal
 */
export const unknownOptions = (options: GhostDBOptions): ReadonlyArray<string> =>
  Object.entries(options).flatMap(([name, value]) =>
    value === undefined || name === "nodes" || name === "changes" || Object.hasOwn(defaults, name) ? [] : [name]
  )
