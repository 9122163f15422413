/**
 * What the policies keep for one client: calls under way, the log of outages, and a scope for work that no caller waits
 * for. It is made with the client, is carried by its service, and ends with the client's scope.
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { GhostDBService } from "../model/GhostDBService.js"

/** One client's state, by the policy that keeps it. */
export class PerClient {
  readonly #slots = new Map<object, unknown>()

  /** @param scope the client's; without one, work in the background runs until it is done */
  constructor(readonly scope: Scope.Scope | undefined) {}

  /** What `make` gave for this client, made at first use. */
  slot<A>(make: (client: PerClient) => A): A {
    if (!this.#slots.has(make)) this.#slots.set(make, make(this))
    // Only the line above writes: under `make` stands what `make` gave.
    return this.#slots.get(make) as A
  }

  /** The state of a decorated service: calls of its own, since it answers otherwise, that end with the same scope. */
  derive(): PerClient {
    return new PerClient(this.scope)
  }

  /** Runs the effect in the background. It is interrupted where it still runs when the client's scope closes. */
  fork<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> {
    const interruptible = Effect.interruptible(effect)
    const fork = this.scope === undefined ? Effect.forkDaemon(interruptible) : Effect.forkIn(interruptible, this.scope)
    return Effect.asVoid(fork)
  }
}

/** Where a service carries the state. A decorator that spreads the service carries it on. */
export const id: unique symbol = Symbol.for("effect-ghostdb/PerClient")

/** A service written by hand has its state from its first use on, for as long as it is reachable. */
const byHand = new WeakMap<GhostDBService, PerClient>()

/** The state of a service's client. */
export const of = (db: GhostDBService): PerClient => {
  const carried: unknown = Reflect.get(db, id)
  if (carried instanceof PerClient) return carried
  let state = byHand.get(db)
  if (state === undefined) {
    state = new PerClient(undefined)
    byHand.set(db, state)
  }
  return state
}

/** The service of a new client, with the state that ends with the scope. */
export const attach = (db: GhostDBService, scope: Scope.Scope): GhostDBService =>
  Object.assign(db, { [id]: new PerClient(scope) })
