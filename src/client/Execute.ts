import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Tracer from "effect/Tracer"
import * as Routing from "../cluster/Routing.js"
import { KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import {
  type Environment,
  type Errand,
  elapsed,
  type FirstAttempt,
  isRefused,
  keyError,
  type Outcome,
  refuse,
  type Say,
  unsent
} from "./Command.js"
import { pursue } from "./Failover.js"

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
export const keyed = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  say: Say<A>
): Outcome<A> =>
  Effect.withFiberRuntime((fiber) => {
    const error = keyError(key)
    if (error !== undefined) return refuse(recorder, error)
    const startedAt = env.clock.unsafeCurrentTimeNanos()
    return env.isTraced(fiber)
      ? traced(env, recorder, key, (span) => straightOn(env, recorder, key, access, say, startedAt, span))
      : straightOn(env, recorder, key, access, say, startedAt)
  })

/** As long as nothing fails: no schedule, no timer. */
const straightOn = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  say: Say<A>,
  startedAt: bigint,
  span?: Tracer.Span
): Outcome<A> => {
  const wantsLeader = access === "write" || env.settings.readFrom === "leader"
  const goOn = (first?: FirstAttempt) =>
    pursue(env, onKey(recorder, key, access, wantsLeader, say), startedAt, first, span)
  const to = Routing.route(env.cluster.unsafeState(), key, wantsLeader)
  if (typeof to === "string" || to.dialect === undefined) return goOn()
  const { dialect, node } = to
  const protocol = Dialects.forDialect(dialect)
  if (isRefused(key, protocol)) return refuse(recorder, new KeyError({ key, reason: "Empty" }))
  const request = say(protocol)
  const succeeded = (answer: A) => {
    recorder.succeeded(answer, elapsed(env, startedAt))
    return Effect.succeed(answer)
  }
  const oversized = unsent(env, request, key)
  if (oversized !== undefined) return Effect.flatMap(oversized, succeeded)
  span?.event("attempt", env.clock.unsafeCurrentTimeNanos(), { "server.address": node })
  Telemetry.attempted(node)
  // One frame on the fiber's stack, and not one for each of decoding, counting and failing over.
  return Effect.matchEffect(env.post(node, request.command, request.body), {
    onFailure: (fault) => goOn({ node, dialect, fault }),
    onSuccess: (reply) => {
      const answer = request.decode(reply)
      if (Either.isLeft(answer)) return goOn({ node, dialect, fault: answer.left })
      const done = succeeded(answer.right)
      // Doubts as they are now: other commands may have failed since this one was sent.
      const consecutiveFailures = env.cluster.unsafeState().nodes.get(node)?.consecutiveFailures ?? 0
      return consecutiveFailures > 0 ? Effect.zipRight(env.cluster.succeeded(node), done) : done
    }
  })
}

const onKey = <A>(
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  wantsLeader: boolean,
  say: Say<A>
): Errand<A> => ({
  recorder,
  say,
  key,
  route: (state) => Routing.route(state, key, wantsLeader),
  ...(access === "read" ? { withoutLeader: (state) => Routing.route(state, key, false) } : {})
})

/** A command without a key, for which there is no KeyError. */
export const unkeyed = <A>(env: Environment, errand: Errand<A>, startedAt: bigint): Effect.Effect<A, NoMoreServers> =>
  Effect.withFiberRuntime((fiber) =>
    Effect.catchTag(
      env.isTraced(fiber)
        ? traced(env, errand.recorder, undefined, (span) => pursue(env, errand, startedAt, undefined, span))
        : pursue(env, errand, startedAt),
      "KeyError",
      Effect.die
    )
  )

/** A command on one node; on the leader instead, where it is the leader's and the node a raft member. */
export const onNode = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  node: string,
  say: Say<A>,
  wantsLeader: boolean,
  startedAt: bigint
): Effect.Effect<A, NoMoreServers> =>
  unkeyed(env, { recorder, say, only: node, route: (state) => Routing.routeTo(state, node, wantsLeader) }, startedAt)
