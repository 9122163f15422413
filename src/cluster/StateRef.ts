/** The managed ring: the state of the cluster in one place, where commands read it and every transition is one step. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as MutableRef from "effect/MutableRef"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ClusterLog from "./ClusterLog.js"
import * as ClusterState from "./ClusterState.js"

/**
 * A SubscriptionRef in its parts: commands read the state without an Effect, transitions need no lock, and those who
 * follow the changes come to an end with the scope.
 */
export interface StateRef {
  /** The state now. */
  readonly state: Effect.Effect<ClusterState.ClusterState>
  /** The same, at once. */
  readonly unsafeState: () => ClusterState.ClusterState
  /** The state as it is, then each change of it. */
  readonly states: Stream.Stream<ClusterState.ClusterState>
  /** Applies a transition in one step, counts and logs what it changed, and publishes the new state. */
  readonly transition: (
    f: (self: ClusterState.ClusterState, now: number) => ClusterState.ClusterState
  ) => Effect.Effect<{ readonly before: ClusterState.ClusterState; readonly after: ClusterState.ClusterState }>
}

/** Holds a state until the scope closes; then it holds a cluster without nodes, so that no later command calls one dead. */
export const make = Effect.fnUntraced(function* (
  initial: ClusterState.ClusterState
): Effect.fn.Return<StateRef, never, Scope.Scope> {
  const ref = MutableRef.make(initial)
  const published = yield* Effect.acquireRelease(PubSub.unbounded<ClusterState.ClusterState>(), PubSub.shutdown)
  yield* Effect.acquireRelease(
    Effect.sync(() => ClusterLog.countNodes(undefined, MutableRef.get(ref))),
    () =>
      Effect.sync(() => {
        const before = MutableRef.get(ref)
        MutableRef.set(ref, ClusterState.make([], { replicas: initial.replicas, dialect: undefined, now: 0 }))
        ClusterLog.countNodes(before, undefined)
      })
  )
  return {
    state: Effect.sync(() => MutableRef.get(ref)),
    unsafeState: () => MutableRef.get(ref),
    states: Stream.unwrapScoped(
      Effect.map(PubSub.subscribe(published), (later) =>
        Stream.concat(Stream.succeed(MutableRef.get(ref)), Stream.fromQueue(later))
      )
    ),
    transition: (f) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const before = MutableRef.get(ref)
        const after = f(before, now)
        if (after === before) return Effect.succeed({ before, after })
        MutableRef.set(ref, after)
        published.unsafeOffer(after)
        ClusterLog.countNodes(before, after)
        return Effect.as(ClusterLog.logChanges(before, after), { before, after })
      }).pipe(Effect.uninterruptible)
  }
})
