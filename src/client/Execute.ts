/** Runs commands: on the fast path as long as nothing fails, with failover when something does. */
import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type * as ClusterState from "../cluster/ClusterState.js"
import * as Routing from "../cluster/Routing.js"
import type { Dialect } from "../model/Dialect.js"
import type { Reply } from "../model/Exchange.js"
import { type Fault, KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import type * as Protocol from "../protocol/Protocol.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import type * as Telemetry from "../telemetry/Telemetry.js"
import * as Caller from "../transport/Caller.js"
import type { Exchange } from "../transport/Transport.js"
import {
  type Command,
  type Environment,
  elapsed,
  type FirstAttempt,
  isRefused,
  keyError,
  now,
  type Outcome,
  Outgoing,
  refuse,
  type ToRequest
} from "./Command.js"
import { runWithFailover } from "./Failover.js"

/** A command with a span, whose events are the command's steps. */
const traced = <A>(
  { settings }: Environment,
  { operation }: Telemetry.Recorder,
  key: string | undefined,
  use: (span: Tracer.Span) => Outcome<A>
): Outcome<A> =>
  Effect.useSpan(
    `ghostdb ${operation}`,
    {
      kind: "client",
      captureStackTrace: false,
      attributes: {
        "db.system.name": "ghostdb",
        "db.operation.name": operation,
        ...(settings.keysInSpans && key !== undefined ? { "ghostdb.key": key } : {})
      }
    },
    (span) => Effect.tapError(use(span), ({ _tag }) => Effect.sync(() => span.attribute("error.type", _tag)))
  )

/** A command on a key. */
export interface Keyed<A> {
  readonly recorder: Telemetry.Recorder
  readonly key: string
  /** What it does with its key. */
  readonly access: "read" | "write"
  readonly toRequest: ToRequest<A>
  /** When it was issued, in milliseconds of the monotonic clock. */
  readonly startedAt: number
}

/** Runs a command on a key. */
export const runKeyed = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  toRequest: ToRequest<A>
): Outcome<A> =>
  Caller.withCaller((fiber, caller) => {
    const error = keyError(key)
    if (error !== undefined) return refuse(recorder, error)
    if (!env.isTraced(fiber)) return new FastPath(env, recorder, key, access, toRequest, caller).run()
    return traced(env, recorder, key, (span) =>
      Caller.withCaller((_, caller) => new FastPath(env, recorder, key, access, toRequest, caller, span).run())
    )
  })

/** The fast path: no schedule, no timer, nothing on the fiber's stack. Falls back to {@link runWithFailover}. */
class FastPath<A> implements Keyed<A> {
  readonly startedAt: number

  constructor(
    private readonly env: Environment,
    readonly recorder: Telemetry.Recorder,
    readonly key: string,
    readonly access: "read" | "write",
    readonly toRequest: ToRequest<A>,
    private readonly caller: Caller.Caller,
    private readonly span?: Tracer.Span
  ) {
    this.startedAt = now(env)
  }

  /** `at` is the time now. */
  run(at = this.startedAt): Outcome<A> {
    const { access, caller, env, key } = this
    const deadline = this.startedAt + env.settings.deadline
    const to = routeKey(env, env.cluster.unsafeState(), key, access, at)
    if (typeof to === "string") return this.fallBack()
    const { dialect, node } = to
    if (dialect === undefined) {
      // What waits for a node's first answer, perhaps with thousands of others, holds no more than what waits in a queue.
      return Effect.matchEffect(env.cluster.handshake(node, deadline), {
        onFailure: (fault) => this.fallBack({ node, dialect, fault }),
        onSuccess: () => this.run(now(env))
      })
    }
    if (access === "write") env.cluster.writing(key, to)
    else if (dialect === "raft") env.cluster.renewLease(at)
    const protocol = Dialects.forDialect(dialect)
    if (isRefused(key, protocol)) return refuse(this.recorder, new KeyError({ key, reason: "Empty" }))
    const request = this.toRequest(protocol)
    this.span?.event("attempt", FiberServices.unixNanos(env.clock), { "server.address": node })
    env.attempts.attempted(node, 1)
    const exchange = new FastExchange(env, request, this, node, dialect)
    return env.exchange(node, request.command, exchange, deadline, caller)
  }

  fallBack(first?: FirstAttempt): Outcome<A> {
    return runWithFailover(this.env, keyCommand(this.env, this), first, this.span)
  }
}

/** The one attempt of the fast path, and what follows it. */
class FastExchange<A> extends Outgoing<A> implements Exchange<A, NoMoreServers | KeyError> {
  constructor(
    env: Environment,
    request: Protocol.Request<A>,
    private readonly command: FastPath<A>,
    private readonly node: string,
    private readonly dialect: Dialect
  ) {
    super(env, request, command.key)
  }

  onReply(reply: Reply): Outcome<A> {
    const decoded = this.read(reply)
    if (!decoded.ok) return this.onFault(decoded.fault)
    const { command, env, node } = this
    command.recorder.succeeded(decoded.answer, elapsed(env, command.startedAt))
    const done = Effect.succeed(decoded.answer)
    if (this.isOversized) return Effect.zipRight(this.warnOversized, done)
    // As things are now: other commands may have failed since this one was sent.
    return env.cluster.isDoubted(node) ? Effect.zipRight(env.cluster.succeeded(node), done) : done
  }

  onFault(fault: Fault): Outcome<A> {
    return this.command.fallBack({ node: this.node, dialect: this.dialect, fault })
  }
}

/** Where a command on a key goes at `now`, milliseconds of the monotonic clock. */
export const routeKey = (
  { settings: { failover, readFrom } }: Environment,
  state: ClusterState.ClusterState,
  key: string,
  access: "read" | "write",
  now: number
): Routing.Route =>
  access === "read"
    ? Routing.route(state, key, readFrom !== "any", now, failover)
    : Routing.route(state, key, true, undefined, failover)

/** A command on a key, for the path with failover. */
export const keyCommand = <A>(env: Environment, keyed: Keyed<A>): Command<A> => {
  const { access, key, recorder, startedAt, toRequest } = keyed
  const { deadline, failover, readFrom } = env.settings
  const owner = failover === "none" ? Routing.ownerOf(env.cluster.unsafeState(), key) : undefined
  return {
    recorder,
    toRequest,
    key,
    access,
    startedAt,
    deadline: startedAt + deadline,
    route: (state) => routeKey(env, state, key, access, now(env)),
    ...(access === "read" && readFrom === "leaderPreferred"
      ? { withoutLeader: (state) => Routing.routeWithoutLeader(state, key) }
      : {}),
    ...(owner === undefined ? {} : { only: owner })
  }
}

/** Runs a command without a key, for which there is no KeyError. */
export const runUnkeyed = <A>(env: Environment, command: Command<A>): Effect.Effect<A, NoMoreServers> =>
  Effect.withFiberRuntime((fiber) =>
    Effect.catchTag(
      env.isTraced(fiber)
        ? traced(env, command.recorder, undefined, (span) => runWithFailover(env, command, undefined, span))
        : runWithFailover(env, command),
      "KeyError",
      Effect.die
    )
  )

/** Runs a command on one node; on the leader instead, where it is the leader's and the node a raft member. */
export const runOn = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  node: string,
  toRequest: ToRequest<A>,
  wantsLeader: boolean,
  startedAt: number
): Effect.Effect<A, NoMoreServers> =>
  runUnkeyed(env, {
    recorder,
    toRequest,
    only: node,
    startedAt,
    deadline: startedAt + env.settings.deadline,
    route: (state) => Routing.routeTo(state, node, wantsLeader)
  })
