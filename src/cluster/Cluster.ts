/**
 * The cluster of one client: what is known of it in one place, and the parts that keep that true. The rules are pure
 * functions in `ClusterState`; here are the effects around them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Topology } from "../model/Topology.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import * as Handshake from "./Handshake.js"
import * as LeaderSearch from "./LeaderSearch.js"
import * as Revival from "./Revival.js"
import * as StateRef from "./StateRef.js"

/**
 * What follows a failed attempt.
 *
 * - `dead`: the node is out of the ring, the key's next live owner is to be tried.
 * - `suspect`: the node stays, the command fails.
 * - `retry`: the node speaks another dialect than was thought, the same node is to be tried.
 * - `redirect`: the node does not lead its raft cluster, the leader is to be found.
 */
export type Verdict = "dead" | "suspect" | "retry" | "redirect"

/** What a client knows of its cluster, and asks of it. */
export interface Cluster
  extends Pick<StateRef.StateRef, "state" | "unsafeState">,
    Handshake.Handshake,
    Revival.Revival,
    LeaderSearch.LeaderSearch {
  /** The topology as it is, then each change of it. */
  readonly topology: Stream.Stream<Topology>
  /** A command has succeeded on the node. */
  readonly succeeded: (node: string) => Effect.Effect<void>
  /** A command has failed on the node, all its retries included. `dialectUsed` is that of the last, if it got so far. */
  readonly failed: (node: string, fault: Fault, dialectUsed: Dialect | undefined) => Effect.Effect<Verdict>
  /** A command has run out of time between attempts on the node: the same, but without a ping, for lack of time. */
  readonly timedOut: (node: string, fault: Fault) => Effect.Effect<void>
}

/** The cluster of `nodes`, which follows `changes`. Revival runs until the scope closes. */
export const make = Effect.fnUntraced(function* (
  nodes: ReadonlyArray<string>,
  changes: Stream.Stream<ReadonlyArray<string>>,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const fixed = settings.dialect === "auto" ? undefined : settings.dialect
  const { replicas } = settings
  const ref = yield* StateRef.make(
    ClusterState.make(nodes, { replicas, dialect: fixed, now: yield* Clock.currentTimeMillis })
  )
  const handshake = yield* Handshake.make(ref, connections, fixed)
  const revival = yield* Revival.make(ref, handshake, connections, settings)
  const leaderSearch = yield* LeaderSearch.make(ref, handshake, revival, connections, settings)
  yield* Effect.forkScoped(follow(ref, changes, connections, fixed))

  const markDead = (node: string, fault: Fault) =>
    Effect.as(
      ref.transition((self, now) => ClusterState.died(self, node, fault, now)),
      "dead" as const
    )
  const suspect = (node: string, fault: Fault) =>
    Effect.map(
      ref.transition((self, now) => ClusterState.suspected(self, node, fault, settings.failureThreshold, now)),
      ({ after }) => (ClusterState.isLive(after, node) ? ("suspect" as const) : ("dead" as const))
    )

  const failed: Cluster["failed"] = (node, fault, dialectUsed) => {
    const faultClass = ClusterState.classify(fault)
    if (faultClass === "down") return markDead(node, fault)
    if (faultClass === "redirect") {
      return Effect.as(
        ref.transition((self) => ClusterState.leaderLost(self, node)),
        "redirect" as const
      )
    }
    if (faultClass === "local") return Effect.succeed("suspect")
    return Effect.flatMap(ref.state, ({ nodes }) => {
      // It has left the cluster: nothing to update.
      if (!nodes.has(node)) return Effect.succeed("dead" as const)
      return Effect.matchEffect(handshake.ping(node), {
        onFailure: () => markDead(node, fault),
        onSuccess: (dialect) =>
          dialectUsed === dialect
            ? suspect(node, fault)
            : Effect.as(
                ref.transition((self) => ClusterState.dialectKnown(self, node, dialect)),
                "retry" as const
              )
      })
    })
  }

  return {
    state: ref.state,
    unsafeState: ref.unsafeState,
    ...handshake,
    ...revival,
    ...leaderSearch,
    topology: ref.states.pipe(
      Stream.map(({ topology }) => topology),
      Stream.changesWith((before, after) => before === after)
    ),
    succeeded: (node) => ref.transition((self) => ClusterState.succeeded(self, node)),
    failed,
    timedOut: (node, fault) => {
      const faultClass = ClusterState.classify(fault)
      if (faultClass === "redirect" || faultClass === "local") return Effect.void
      return Effect.asVoid(faultClass === "down" ? markDead(node, fault) : suspect(node, fault))
    }
  }
})

/** Applies each change of the list of nodes, and closes the connections to those that have left. */
const follow = (
  ref: StateRef.StateRef,
  changes: Stream.Stream<ReadonlyArray<string>>,
  connections: Connections,
  dialect: Dialect | undefined
): Effect.Effect<void> =>
  Stream.runForEach(changes, (nodes) =>
    ref
      .transition((self, now) => ClusterState.reloaded(self, nodes, { dialect, now }))
      .pipe(
        Effect.flatMap(({ after, before }) =>
          Effect.forEach(
            [...before.nodes.keys()].filter((node) => !after.nodes.has(node)),
            connections.release,
            { discard: true }
          )
        )
      )
  )
