/**
 * Replaced, since a reference has no rule for forks in Effect 4: forked fibers inherit it, and would have the intent of the
 * fiber that forked them. It holds whose intent it is.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** What a policy wants of the commands that it runs. */
export interface Intent {
  /** The write stores what a call has found: it is no write of the user's, which would detach that call. */
  readonly storing?: boolean | undefined
  /** Past near caches: the node itself is read. */
  readonly fresh?: boolean | undefined
  /** A near cache holds what is read for so many milliseconds at most: the store knows its TTL. */
  readonly holdFor?: number | undefined
  /** Outages are errors, although the client fails open: the policy handles them itself. */
  readonly strict?: boolean | undefined
}

const none: Intent = {}

const ref = Context.Reference<{ readonly fiber: number | undefined; readonly intent: Intent }>(
  "effect-ghostdb/Intent",
  {
    defaultValue: () => ({ fiber: undefined, intent: none })
  }
)

const intentOf = (fiber: Fiber.Fiber<unknown, unknown>): Intent => {
  const held = fiber.getRef(ref)
  return held.fiber === fiber.id ? held.intent : none
}

/** The intent of the fiber's commands. Fibers that it forks have none. */
export const current: Effect.Effect<Intent> = Effect.withFiber((fiber) => Effect.succeed(intentOf(fiber)))

/** Runs commands with an intent, besides the one that there is. */
export const run = <A, E, R>(intent: Intent, commands: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    Effect.provideService(commands, ref, { fiber: fiber.id, intent: { ...intentOf(fiber), ...intent } })
  )
