/** The managed ring: the state of the cluster in one place, where commands read it and every transition is one step. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Registry from "../telemetry/Registry.js"
import * as ClusterLog from "./ClusterLog.js"
import * as ClusterState from "./ClusterState.js"

/**
 * A SubscriptionRef for this purpose: commands read the state without an Effect, transitions need no lock, no state is kept
 * for a slow consumer, and the streams of states end with the scope.
 */
export interface StateRef {
  /** The state now. */
  readonly state: Effect.Effect<ClusterState.ClusterState>
  /** The same, at once. */
  readonly unsafeState: () => ClusterState.ClusterState
  /** The state as it is, then its changes: the latest alone for a consumer that is slow. */
  readonly states: Stream.Stream<ClusterState.ClusterState>
  /** Waits for a state in which this holds; does not end once the scope has closed. */
  readonly awaitState: (holds: (state: ClusterState.ClusterState) => boolean) => Effect.Effect<void>
  /** Applies a transition in one step, counts and logs what it changed, and publishes the new state. */
  readonly transition: (
    f: (self: ClusterState.ClusterState, now: number) => ClusterState.ClusterState
  ) => Effect.Effect<{ readonly before: ClusterState.ClusterState; readonly after: ClusterState.ClusterState }>
}

/** Holds a state until the scope closes; then it holds a cluster without nodes, so that no later command calls one dead. */
export const make = Effect.fnUntraced(function* (
  initial: ClusterState.ClusterState
): Effect.fn.Return<StateRef, never, Scope.Scope> {
  const registry = yield* Registry.current
  let current = initial
  let closed = false
  /** One for each stream of states; open while the stream has not seen the latest. */
  const followers = new Set<Effect.Latch>()
  /** Those who wait for a certain state: looked at in the step that makes it, which costs no fiber its turn. */
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const follower of followers) follower.unsafeOpen()
    for (const look of waiting) look()
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => ClusterLog.countNodes(registry, undefined, current)),
    () =>
      Effect.sync(() => {
        ClusterLog.countNodes(registry, current, undefined)
        current = ClusterState.make([], { replicas: initial.ring.replicas, dialect: undefined, now: 0 })
        closed = true
        waiting.clear()
        wake()
      })
  )
  const follow = Effect.acquireRelease(
    Effect.sync(() => {
      const follower = Effect.unsafeMakeLatch(true)
      followers.add(follower)
      return follower
    }),
    (follower) => Effect.sync(() => followers.delete(follower))
  )
  return {
    state: Effect.sync(() => current),
    unsafeState: () => current,
    states: Stream.unwrapScoped(
      Effect.map(follow, (follower) =>
        Stream.repeatEffect(
          Effect.zipRight(
            follower.await,
            Effect.sync(() => {
              if (closed) return undefined
              follower.unsafeClose()
              return current
            })
          )
        ).pipe(Stream.takeWhile(Predicate.isNotUndefined))
      )
    ),
    awaitState: (holds) =>
      Effect.async<void>((resume) => {
        if (closed) return
        if (holds(current)) return resume(Effect.void)
        const look = () => {
          if (!holds(current)) return
          waiting.delete(look)
          resume(Effect.void)
        }
        waiting.add(look)
        return Effect.sync(() => waiting.delete(look))
      }),
    transition: (f) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const before = current
        const after = f(before, now)
        if (after === before) return Effect.succeed({ before, after })
        current = after
        ClusterLog.countNodes(registry, before, after)
        wake()
        return Effect.as(ClusterLog.logChanges(before, after), { before, after })
      }).pipe(Effect.uninterruptible)
  }
})
