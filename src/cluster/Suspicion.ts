/** What follows a failure: whether the node is dead, is suspect, or has done nothing wrong. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import { type Handshake, pingTimeout } from "./Handshake.js"
import type { StateRef } from "./StateRef.js"

/**
 * What follows a failed attempt.
 *
 * - `dead`: the node is out of the ring, the key's next live owner is tried.
 * - `suspect`: the node stays, the command fails.
 * - `local`: it was not the node's fault, and is not counted; the command fails.
 * - `retry`: the node speaks another dialect than was thought, the same node is tried again.
 * - `redirect`: the node does not lead its raft cluster, the leader is searched.
 */
export type Verdict = "dead" | "suspect" | "local" | "retry" | "redirect"

export interface Suspicion {
  /** Whether {@link Suspicion.succeeded} would change anything. */
  readonly isDoubted: (node: string) => boolean
  /** Whether the node has not answered, and the ping that follows has no answer yet. */
  readonly isSilent: (node: string) => boolean
  /** A command has succeeded on the node. */
  readonly succeeded: (node: string) => Effect.Effect<void>
  /**
   * An attempt on the node has had no answer. A ping is sent beside the command's next attempt; where that has no answer
   * either, the node is dead, and all attempts under way on it end. Does not wait for the ping.
   */
  readonly unanswered: (node: string) => Effect.Effect<void>
  /**
   * A command has failed on the node, all its retries included. `dialectUsed` is that of the last, if it got so far. A
   * ping that this waits for ends at `deadline`, milliseconds of the monotonic clock.
   */
  readonly failed: (
    node: string,
    fault: Fault,
    dialectUsed: Dialect | undefined,
    deadline: number
  ) => Effect.Effect<Verdict>
  /** A command has run out of time between attempts on the node: {@link Suspicion.failed}, but without a ping. */
  readonly timedOut: (node: string, fault: Fault) => Effect.Effect<void>
}

/** The rules of `ClusterState` with the pings that they need. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { ping }: Handshake,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Suspicion, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock
  /** The nodes that are being pinged since they did not answer, and whether they have answered a command meanwhile. */
  const checks = new Map<string, { answered: boolean; readonly endsAt: number }>()
  /** A check that belongs to one caller ends with it, and not always by itself. */
  const isChecked = (node: string) => {
    const check = checks.get(node)
    return check !== undefined && (connections.isolatesCallers !== true || Monotonic.unsafeNow(clock) < check.endsAt)
  }

  /** Applies a transition; where it kills the node, all attempts on it end. */
  const kill = (node: string, transition: Parameters<StateRef["transition"]>[0]) =>
    Effect.flatMap(ref.transition(transition), ({ after, before }) => {
      const live = ClusterState.isLive(after, node)
      return !live && ClusterState.isLive(before, node)
        ? Effect.as(connections.interrupt(node), live)
        : Effect.succeed(live)
    })
  const markDead = (node: string, fault: Fault) =>
    Effect.as(
      kill(node, (self, now) => ClusterState.died(self, node, fault, now)),
      "dead" as const
    )
  const suspect = (node: string, fault: Fault) =>
    Effect.map(
      kill(node, (self, now) => ClusterState.suspected(self, node, fault, settings.failureThreshold, now)),
      (live) => (live ? ("suspect" as const) : ("dead" as const))
    )

  const checkSuspect = (node: string, fault: Fault, dialectUsed: Dialect | undefined, deadline: number) =>
    Effect.matchEffect(ping(node, deadline), {
      onFailure: (reason): Effect.Effect<Verdict> =>
        // A ping that could not be sent, or answered, in the time that was left says nothing of the node.
        ClusterState.classify(reason) === "local" || reason.reason === "Deadline"
          ? suspect(node, fault)
          : markDead(node, fault),
      onSuccess: (dialect) =>
        dialectUsed === dialect
          ? suspect(node, fault)
          : Effect.as(
              ref.transition((self) => ClusterState.dialectKnown(self, node, dialect)),
              "retry" as const
            )
    })

  const failed: Suspicion["failed"] = (node, fault, dialectUsed, deadline) =>
    Effect.suspend(() => {
      const faultClass = ClusterState.classify(fault)
      // It is known to be dead, or has left the cluster: nothing to update.
      if (!ClusterState.isLive(ref.unsafeState(), node)) return Effect.succeed("dead" as const)
      switch (faultClass) {
        case "down":
          return markDead(node, fault)
        case "redirect":
          return Effect.as(
            ref.transition((self) => ClusterState.leaderLost(self, node)),
            "redirect" as const
          )
        case "local":
          return Effect.succeed("local" as const)
        case "suspect":
          return checkSuspect(node, fault, dialectUsed, deadline)
      }
    })

  const check = (node: string, state: { answered: boolean }) =>
    Effect.catchAll(ping(node, Number.POSITIVE_INFINITY), (silence) =>
      state.answered || !isSilence(silence.reason) ? Effect.void : markDead(node, silence)
    ).pipe(Effect.ensuring(Effect.sync(() => checks.delete(node))))

  return {
    isSilent: isChecked,
    isDoubted: (node) =>
      (ref.unsafeState().nodes.get(node)?.consecutiveFailures ?? 0) > 0 || (checks.size > 0 && checks.has(node)),
    succeeded: (node) =>
      Effect.suspend(() => {
        const state = checks.get(node)
        if (state !== undefined) state.answered = true
        return ref.transition((self) => ClusterState.succeeded(self, node))
      }),
    unanswered: (node) =>
      Effect.suspend(() => {
        if (isChecked(node) || !ClusterState.isLive(ref.unsafeState(), node)) return Effect.void
        const state = { answered: false, endsAt: Monotonic.unsafeNow(clock) + pingTimeout(settings) }
        checks.set(node, state)
        return Effect.forkIn(Effect.interruptible(check(node, state)), scope)
      }),
    failed,
    timedOut: (node, fault) =>
      Effect.suspend(() => {
        const faultClass = ClusterState.classify(fault)
        if (faultClass === "redirect" || faultClass === "local") return Effect.void
        return Effect.asVoid(faultClass === "down" ? markDead(node, fault) : suspect(node, fault))
      })
  }
})

/** Failures of a ping that cost a whole timeout. Any other leaves time for the `retry` schedule, after which it decides. */
const isSilence = (reason: Fault["reason"]): boolean => reason === "AttemptTimeout" || reason === "ConnectTimeout"
