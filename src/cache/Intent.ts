import type * as Effect from "effect/Effect"
import { locallyWith } from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"

/** What a policy wants of the commands that it runs, whatever decorates the client. */
export interface Intent {
  /** The write stores what a call has found: it is no write of the user's, which would detach that call. */
  readonly storing?: boolean | undefined
  /**
   * The latest value decides something. It is read past near caches, and in a raft cluster from the leader, also where reads
   * go to any node.
   */
  readonly fresh?: boolean | undefined
  /** A near cache holds what is read for so many milliseconds at most: the store knows its TTL. */
  readonly holdFor?: number | undefined
  /** Outages are errors, although the client fails open: the policy handles them itself. */
  readonly strict?: boolean | undefined
}

const none: Intent = {}

const ref: FiberRef.FiberRef<Intent> = globalValue("effect-ghostdb/Intent", () =>
  FiberRef.unsafeMake<Intent>(none, { fork: () => none })
)

/** The intent of the fiber's commands. Fibers that it forks have none. */
export const current: Effect.Effect<Intent> = FiberRef.get(ref)

/** Runs commands with an intent, besides the one that there is. */
export const run = <A, E, R>(intent: Intent, commands: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  locallyWith(commands, ref, (outer) => ({ ...outer, ...intent }))
