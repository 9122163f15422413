import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Tracer from "effect/Tracer"
import * as ClusterState from "../cluster/ClusterState.js"
import type * as Routing from "../cluster/Routing.js"
import type { Dialect } from "../model/Dialect.js"
import { type Fault, KeyError, type NodeFailure, NoMoreServers } from "../model/GhostDBError.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import {
  attempt,
  type Environment,
  type Errand,
  elapsed,
  type FirstAttempt,
  isRefused,
  type Outcome,
  unsent
} from "./Command.js"

/**
 * The way of a command once it is not straight: a node has not been spoken to yet, an attempt has failed, or there is no
 * live node or no leader.
 */
export const pursue = <A>(
  env: Environment,
  errand: Errand<A>,
  startedAt: bigint,
  first?: FirstAttempt,
  span?: Tracer.Span
): Outcome<A> =>
  Effect.suspend(() => {
    const { cluster, settings } = env
    const tell = (event: string, attributes: Record<string, unknown>) =>
      span?.event(event, env.clock.unsafeCurrentTimeNanos(), attributes)
    const failures: Array<NodeFailure> = []
    let current: string | undefined
    /** The last failure of an attempt on the current node. */
    let last: NodeFailure | undefined
    /** The dialect of the last attempt on the current node. */
    let spoken: Dialect | undefined
    let swept = false
    /** The last node to refuse what a leader does. */
    let refusedBy: string | undefined
    let election: Schedule.ScheduleDriver<unknown> | undefined

    /** A node's failure that repeats itself while a command waits is told once. */
    const note = (failure: NodeFailure) => {
      if (failures.every(({ node, reason }) => node !== failure.node || reason !== failure.reason))
        failures.push(failure)
    }

    const giveUp = ({ topology }: ClusterState.ClusterState) => {
      const dead = topology.dead.filter(({ node }) => errand.only === undefined || errand.only === node)
      return new NoMoreServers({ failures: dead.length > 0 ? dead.map(({ failure }) => failure) : failures })
    }

    const next: Outcome<A> = Effect.flatMap(cluster.state, (state) => go(state, errand.route(state)))

    const go = (state: ClusterState.ClusterState, route: Routing.Route): Outcome<A> => {
      if (typeof route === "object") return on(route.node, errand.route)
      current = undefined
      if (route === "no leader") return elect
      if (swept || route === "gone") return giveUp(state)
      swept = true
      return Effect.zipRight(cluster.probeDead, next)
    }

    const on = (node: string, route: Errand<A>["route"], made?: FirstAttempt): Outcome<A> => {
      current = node
      last = undefined
      spoken = made?.dialect
      return Effect.matchEffect(persist(node, route, made?.fault), {
        onSuccess: (outcome) => outcome,
        onFailure: (failure) =>
          Effect.flatMap(cluster.failed(node, failure, spoken), (verdict) => {
            if (verdict === "retry") return on(node, route)
            note(failure)
            if (verdict === "redirect") refusedBy = node
            if (verdict === "suspect") return new NoMoreServers({ failures })
            Telemetry.failedOver()
            tell("failover", { "server.address": node, "error.type": failure.reason })
            return next
          })
      })
    }

    /** All attempts on one node, by the `retry` schedule, while the node is live and the way leads to it. */
    const persist = (node: string, route: Errand<A>["route"], fault: Fault | undefined) => {
      let made = fault
      const once = Effect.suspend((): Effect.Effect<Outcome<A>, Fault> => {
        if (made !== undefined) {
          const failure = made
          made = undefined
          return Effect.fail(failure)
        }
        return Effect.flatMap(Effect.zip(cluster.handshake(node), cluster.state), ([protocol, state]) => {
          const to = route(state)
          if (typeof to !== "object" || to.node !== node) return Effect.succeed(next)
          if (errand.key !== undefined && isRefused(errand.key, protocol)) {
            return Effect.succeed<Outcome<A>>(new KeyError({ key: errand.key, reason: "Empty" }))
          }
          spoken = protocol.dialect
          const request = errand.say(protocol)
          const oversized = unsent(env, request, errand.key)
          if (oversized !== undefined) return Effect.map(oversized, Effect.succeed)
          tell("attempt", { "server.address": node })
          return Effect.map(attempt(env, node, request), Effect.succeed)
        })
      })
      return once.pipe(
        Effect.mapError((fault): NodeFailure => {
          Telemetry.attemptFailed(node, fault.reason)
          tell("attempt failed", { "server.address": node, "error.type": fault.reason })
          last = { node, ...fault }
          return last
        }),
        Effect.retry({
          schedule: settings.retry,
          while: (failure) =>
            ClusterState.classify(failure) === "redirect"
              ? Effect.succeed(false)
              : Effect.map(cluster.state, (state) => ClusterState.isLive(state, node))
        })
      )
    }

    /** Finds the leader; while there is none, a command that can do without goes on, and any other waits. */
    const elect: Outcome<A> = Effect.flatMap(Effect.zip(cluster.findLeader, cluster.state), ([leader, state]) => {
      if (Option.isSome(leader) && leader.value !== refusedBy) return next
      const { withoutLeader } = errand
      const other = withoutLeader?.(state)
      if (withoutLeader !== undefined && typeof other === "object") return on(other.node, withoutLeader)
      for (const { dialect, node } of state.topology.live) {
        if (Option.contains(dialect, "raft"))
          note({ node, reason: "NotLeader", detail: "the raft cluster has no leader" })
      }
      for (const { failure } of state.topology.dead) note(failure)
      tell("no leader", {})
      return Effect.matchEffect(wait, { onFailure: () => new NoMoreServers({ failures }), onSuccess: () => next })
    })

    /** One step of the `election` schedule; fails at its end. */
    const wait = Effect.gen(function* () {
      election ??= yield* Schedule.driver(settings.election)
      yield* election.next(undefined)
      refusedBy = undefined
    })

    const tooLate: Outcome<never> = Effect.suspend(() => {
      if (current === undefined) {
        const dead = cluster.unsafeState().topology.dead.map(({ failure }) => failure)
        return new NoMoreServers({ failures: failures.length > 0 ? failures : dead })
      }
      const detail = `no answer within the deadline of ${settings.deadline} ms`
      failures.push({ node: current, reason: "Deadline", detail })
      const error = new NoMoreServers({ failures })
      return last === undefined ? error : Effect.zipRight(cluster.timedOut(current, last), error)
    })

    const { recorder } = errand
    return (first === undefined ? next : on(first.node, errand.route, first)).pipe(
      Effect.timeoutTo({
        duration: Math.max(settings.deadline - elapsed(env, startedAt) * 1000, 0),
        onSuccess: Effect.succeed,
        onTimeout: () => tooLate
      }),
      Effect.flatten,
      Effect.tapBoth({
        onSuccess: (answer) => Effect.sync(() => recorder.succeeded(answer, elapsed(env, startedAt))),
        onFailure: ({ _tag }) => Effect.sync(() => recorder.failed(_tag, elapsed(env, startedAt)))
      })
    )
  })
