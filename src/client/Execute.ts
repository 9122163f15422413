/** Runs commands: on the fast path as long as nothing fails, with failover when something does. */
import * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type * as ClusterState from "../cluster/ClusterState.js"
import * as Routing from "../cluster/Routing.js"
import { KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import type * as Telemetry from "../telemetry/Telemetry.js"
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

/** Runs a command on a key. */
export const runKeyed = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  toRequest: ToRequest<A>
): Outcome<A> =>
  Effect.withFiberRuntime((fiber) => {
    const error = keyError(key)
    if (error !== undefined) return refuse(recorder, error)
    return env.isTraced(fiber)
      ? traced(env, recorder, key, (span) => runFastPath(env, recorder, key, access, toRequest, span))
      : runFastPath(env, recorder, key, access, toRequest)
  })

/** The fast path: no schedule, no timer, one frame on the fiber's stack. Falls back to {@link runWithFailover}. */
const runFastPath = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  toRequest: ToRequest<A>,
  span?: Tracer.Span,
  startedAt = now(env),
  at = startedAt
): Outcome<A> => {
  const deadline = startedAt + env.settings.deadline
  const fallBack = (first?: FirstAttempt) =>
    runWithFailover(env, keyCommand(env, recorder, key, access, toRequest, startedAt, deadline), first, span)
  const to = routeKey(env, env.cluster.unsafeState(), key, access, at)
  if (typeof to === "string") return fallBack()
  const { dialect, node } = to
  if (dialect === undefined) {
    // What waits for a node's first answer, perhaps with thousands of others, holds no more than what waits in a queue.
    return Effect.matchEffect(env.cluster.handshake(node, deadline), {
      onFailure: (fault) => fallBack({ node, dialect, fault }),
      onSuccess: () => runFastPath(env, recorder, key, access, toRequest, span, startedAt, now(env))
    })
  }
  if (access === "write") env.cluster.writing(key, to)
  else if (dialect === "raft") env.cluster.renewLease(at)
  const protocol = Dialects.forDialect(dialect)
  if (isRefused(key, protocol)) return refuse(recorder, new KeyError({ key, reason: "Empty" }))
  const outgoing = new Outgoing(env, toRequest(protocol), key)
  span?.event("attempt", FiberServices.unixNanos(env.clock), { "server.address": node })
  return Effect.matchEffect(outgoing.post(node, deadline), {
    onFailure: (fault) => fallBack({ node, dialect, fault }),
    onSuccess: (reply) => {
      const decoded = outgoing.read(reply)
      if (!decoded.ok) return fallBack({ node, dialect, fault: decoded.fault })
      recorder.succeeded(decoded.answer, elapsed(env, startedAt))
      const done = Effect.succeed(decoded.answer)
      if (outgoing.isOversized) return Effect.zipRight(outgoing.warnOversized, done)
      // As things are now: other commands may have failed since this one was sent.
      return env.cluster.isDoubted(node) ? Effect.zipRight(env.cluster.succeeded(node), done) : done
    }
  })
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

/** A command on a key. */
export const keyCommand = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  toRequest: ToRequest<A>,
  startedAt: number,
  deadline: number
): Command<A> => {
  const { failover, readFrom } = env.settings
  const owner = failover === "none" ? Routing.ownerOf(env.cluster.unsafeState(), key) : undefined
  return {
    recorder,
    toRequest,
    key,
    access,
    startedAt,
    deadline,
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
