import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Backoff from "../cluster/Backoff.js"
import * as ClusterState from "../cluster/ClusterState.js"
import type { Dialect } from "../model/Dialect.js"
import { type Fault, KeyError, type NodeFailure, NoMoreServers } from "../model/GhostDBError.js"
import type * as Protocol from "../protocol/Protocol.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import {
  type Command,
  type Environment,
  elapsed,
  type FirstAttempt,
  isRefused,
  now,
  type Outcome,
  Outgoing
} from "./Command.js"
import * as Progress from "./Progress.js"

/**
 * Runs a command that cannot take the fast path: the node's dialect is unknown, an attempt failed, or there is no live node
 * or leader. Nothing in it waits beyond the command's deadline, and none of its waits needs an interruption to end.
 */
export const runWithFailover = <A>(
  env: Environment,
  command: Command<A>,
  first?: FirstAttempt,
  span?: Pick<Tracer.Span, "event">
): Outcome<A> => {
  const { cluster, settings } = env
  const { deadline, recorder } = command
  if (first?.fault.reason === "QueueTimeout" || first?.fault.reason === "Deadline") {
    return endLate(env, command, first, span)
  }
  const addEvent = (event: string, attributes: Record<string, unknown>) =>
    span?.event(event, FiberServices.unixNanos(env.clock), attributes)

  const run = (progress: Progress.Progress): Outcome<A> =>
    Effect.suspend(() => {
      const step = Progress.nextStep(command, progress, cluster.unsafeState(), now(env) >= deadline)
      switch (step._tag) {
        case "Attempt":
          return tryNode(Progress.attempting(progress, step.node), step.node, step.route)
        case "ProbeDead":
          return Effect.flatMap(cluster.probeDead(deadline), () => run(Progress.afterProbe(progress)))
        case "FindLeader":
          return Effect.flatMap(cluster.findLeader(deadline), (leader) =>
            run(Progress.afterSearch(progress, Option.getOrUndefined(leader)))
          )
        case "AwaitLeader":
          return awaitLeader(Progress.awaitingLeader(progress, cluster.unsafeState()))
        case "Fail":
          return new NoMoreServers({ failures: step.failures })
      }
    })

  const tryNode = (progress: Progress.Progress, node: string, route: Progress.Target["route"], first?: FirstAttempt) =>
    Effect.flatMap(attemptOn(env, command, node, route, addEvent, first), (attempted): Outcome<A> => {
      switch (attempted._tag) {
        case "Answered":
          return Effect.succeed(attempted.answer)
        case "Refused":
          return attempted.error
        case "Moved":
          return run(progress)
        case "Late":
          return Effect.zipRight(
            attempted.counts === undefined ? Effect.void : cluster.timedOut(node, attempted.counts),
            Effect.suspend(() => run(Progress.afterDeadline(progress, attempted.failure)))
          )
        case "Failed":
          return afterFailure(progress, attempted.failure, attempted.dialectUsed)
      }
    })

  const afterFailure = (progress: Progress.Progress, failure: NodeFailure, dialectUsed: Dialect | undefined) =>
    Effect.flatMap(cluster.failed(failure.node, failure, dialectUsed, deadline), (verdict) => {
      if (verdict === "dead" || verdict === "redirect") {
        env.attempts.failedOver()
        addEvent("failover", { "server.address": failure.node, "error.type": failure.reason })
      }
      return run(Progress.afterFailure(progress, failure, verdict))
    })

  let election: Backoff.Backoff<undefined> | undefined
  const awaitLeader = (progress: Progress.Progress) => {
    addEvent("no leader", {})
    election ??= Backoff.make(settings.election, env.clock)
    return Effect.flatMap(election.next(undefined, deadline), (again) => run(Progress.afterWait(progress, again)))
  }

  return (
    first === undefined
      ? run(Progress.initial)
      : tryNode(Progress.attempting(Progress.initial, first.node), first.node, command.route, first)
  ).pipe(
    Effect.tap((answer) => Effect.sync(() => recorder.succeeded(answer, elapsed(env, command.startedAt)))),
    Effect.tapError(({ _tag }) => Effect.sync(() => recorder.failed(_tag, elapsed(env, command.startedAt))))
  )
}

/** Ends a command whose first attempt its deadline has ended, perhaps with ten thousands of others: at once. */
const endLate = <A>(
  env: Environment,
  { recorder, startedAt }: Command<A>,
  { fault, node }: FirstAttempt,
  span: Pick<Tracer.Span, "event"> | undefined
): Outcome<A> => {
  env.attempts.failed(node, fault.reason)
  span?.event("attempt failed", FiberServices.unixNanos(env.clock), {
    "server.address": node,
    "error.type": fault.reason
  })
  const { stackTraceLimit } = Error
  // A stack would name this function alone, and cost more than all the rest.
  Error.stackTraceLimit = 0
  const error = new NoMoreServers({ failures: [lateFailure(env, node, fault)] })
  Error.stackTraceLimit = stackTraceLimit
  recorder.failed(error._tag, elapsed(env, startedAt))
  return fault.reason === "Deadline" ? Effect.zipRight(env.cluster.unanswered(node), error) : error
}

/** How a node has failed a command whose deadline has passed. */
const lateFailure = ({ settings }: Environment, node: string, fault: Fault | undefined): NodeFailure =>
  fault?.reason === "QueueTimeout"
    ? { node, reason: "QueueTimeout", detail: fault.detail }
    : { node, reason: "Deadline", detail: `no answer within the deadline of ${settings.deadline} ms` }

/**
 * The result on one node: an answer; the key is refused; the route leads elsewhere by now; the deadline has passed
 * (`counts` is a failure before that, which is held against the node); or all attempts have failed.
 */
type Attempted<A> =
  | { readonly _tag: "Answered"; readonly answer: A }
  | { readonly _tag: "Refused"; readonly error: KeyError }
  | { readonly _tag: "Moved" }
  | { readonly _tag: "Late"; readonly failure: NodeFailure; readonly counts: NodeFailure | undefined }
  | { readonly _tag: "Failed"; readonly failure: NodeFailure; readonly dialectUsed: Dialect | undefined }

const moved = Effect.succeed({ _tag: "Moved" } as const)

/** All attempts on one node, by the `retry` schedule, while the node is live and the route leads to it. */
const attemptOn = <A>(
  env: Environment,
  command: Command<A>,
  node: string,
  route: Progress.Target["route"],
  addEvent: (event: string, attributes: Record<string, unknown>) => void,
  first: FirstAttempt | undefined
): Effect.Effect<Attempted<A>> => {
  const { cluster, settings } = env
  const { deadline, key } = command
  let dialectUsed = first?.dialect
  let counts: NodeFailure | undefined
  let backoff: Backoff.Backoff<NodeFailure> | undefined

  const once = Effect.flatMap(cluster.handshake(node, deadline), (protocol): Effect.Effect<Attempted<A>, Fault> => {
    const to = route(cluster.unsafeState())
    if (to === "no leader" && counts !== undefined) return searchedLeader
    return typeof to === "object" && to.node === node ? send(protocol) : moved
  })

  // The leader has failed, and does not lead until it is asked. Where it does not, a ping says whether it is dead.
  const searchedLeader = Effect.flatMap(cluster.findLeader(deadline), (leader): Effect.Effect<Attempted<A>, Fault> => {
    if (Option.contains(leader, node)) return Effect.flatMap(cluster.handshake(node, deadline), send)
    return cluster.isSilent(node) ? moved : Effect.zipRight(cluster.ping(node, deadline), moved)
  })

  const send = (protocol: Protocol.Protocol): Effect.Effect<Attempted<A>, Fault> => {
    if (key !== undefined && isRefused(key, protocol)) {
      return Effect.succeed({ _tag: "Refused", error: new KeyError({ key, reason: "Empty" }) })
    }
    dialectUsed = protocol.dialect
    const to = cluster.unsafeState().nodes.get(node)
    if (key !== undefined && command.access === "write" && to !== undefined) cluster.writing(key, to)
    const outgoing = new Outgoing(env, command.toRequest(protocol), key)
    addEvent("attempt", { "server.address": node })
    return Effect.flatMap(outgoing.post(node, deadline), (reply) => {
      const decoded = outgoing.read(reply)
      if (!decoded.ok) return Effect.fail(decoded.fault)
      const answered = { _tag: "Answered", answer: decoded.answer } as const
      return Effect.as(outgoing.isOversized ? outgoing.warnOversized : cluster.succeeded(node), answered)
    })
  }

  const attempt = (): Effect.Effect<Attempted<A>> =>
    Effect.matchEffect(
      Effect.suspend(() => once),
      { onFailure: afterFault, onSuccess: Effect.succeed }
    )

  const afterFault = (fault: Fault): Effect.Effect<Attempted<A>> => {
    const failure: NodeFailure = { node, reason: fault.reason, detail: fault.detail }
    env.attempts.failed(node, fault.reason)
    addEvent("attempt failed", { "server.address": node, "error.type": fault.reason })
    if (fault.reason === "QueueTimeout") return Effect.succeed(late(failure))
    if (fault.reason === "Deadline") return Effect.as(cluster.unanswered(node), late(failure))
    const faultClass = ClusterState.classify(fault)
    if (faultClass !== "down" && faultClass !== "suspect") return decide(fault, failure)
    counts = failure
    return Effect.zipRight(
      cluster.disconnected(node),
      Effect.suspend(() => decide(fault, failure))
    )
  }

  const decide = (fault: Fault, failure: NodeFailure): Effect.Effect<Attempted<A>> => {
    const unanswered = fault.reason === "AttemptTimeout" ? cluster.unanswered(node) : Effect.void
    if (now(env) >= deadline) return Effect.as(unanswered, late(undefined))
    const faultClass = ClusterState.classify(fault)
    const failed: Attempted<A> = { _tag: "Failed", failure: deathOf(node) ?? failure, dialectUsed }
    if (faultClass === "redirect" || fault.reason === "ReplyTooLarge" || !isLive()) return Effect.succeed(failed)
    backoff ??= Backoff.make(settings.retry, env.clock, (millis) => cluster.delay(node, millis))
    const next = Effect.flatMap(backoff.next(failure, deadline), (again) => {
      if (!again || !isLive()) return Effect.succeed({ ...failed, failure: deathOf(node) ?? failure })
      return now(env) >= deadline ? Effect.succeed(late(undefined)) : attempt()
    })
    return Effect.zipRight(unanswered, next)
  }

  const late = (fault: Fault | undefined): Attempted<A> => ({
    _tag: "Late",
    failure: lateFailure(env, node, fault),
    counts
  })

  const isLive = () => ClusterState.isLive(cluster.unsafeState(), node)
  /** What the node has died of, where this attempt ended because another found it dead. */
  const deathOf = (node: string) => cluster.unsafeState().nodes.get(node)?.death

  return first === undefined ? attempt() : Effect.suspend(() => afterFault(first.fault))
}
