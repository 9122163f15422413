/**
 * What the policies keep for one client: calls under way, the log of outages, and a scope for work that no caller waits
 * for. It is made with the client, is carried by its service, and ends with the client's scope.
 */

import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import * as Registry from "../telemetry/Registry.js"
import { CacheEvents } from "./CacheEvents.js"
import type * as Calls from "./Calls.js"
import * as Intent from "./Intent.js"
import * as ManyKeys from "./ManyKeys.js"

/** What all services of one client share, decorated or not. */
export interface Shared extends Calls.Holder {
  /** The client's; without one, work in the background runs until it is done. */
  readonly scope: Scope.Scope | undefined
  /** Whether the client tells of each write by itself. */
  readonly tellsWrites: boolean
  /** Whether what a fiber does is traced. */
  readonly isTraced: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
  readonly registry: Registry.Registry
  readonly events: CacheEvents
  readonly slots: Map<object, unknown>
  /** How many decorated services there are. */
  decorated: number
}

/** What a client says of itself. */
type Settings = Pick<Shared, "scope" | "deadline" | "isTraced" | "isolatesCallers" | "registry">

const makeShared = (settings: Settings): Shared => ({
  ...settings,
  tellsWrites: settings.scope !== undefined,
  calls: undefined,
  events: new CacheEvents(),
  slots: new Map(),
  decorated: 0
})

/** The state of one service of a client. */
export class PerClient {
  constructor(
    readonly shared: Shared,
    /** Tells apart the services of a client, which may answer differently. */
    readonly name: string,
    /** Whether an outage is an answer here, and no error. */
    readonly failsOpen: boolean,
    /** Whether a near cache stands before the nodes. */
    readonly isNear: boolean
  ) {}

  get events(): CacheEvents {
    return this.shared.events
  }

  /** What `make` gave for this client, made at first use. */
  slot<A>(make: () => A): A {
    const { slots } = this.shared
    if (!slots.has(make)) slots.set(make, make())
    // Only the line above writes: under `make` stands what `make` gave.
    return slots.get(make) as A
  }

  /** The state of a decorated service: it shares all of this but the lookups, which it may answer otherwise. */
  derive(changes: { readonly failsOpen?: boolean; readonly isNear?: boolean }): PerClient {
    const { failsOpen = this.failsOpen, isNear = this.isNear } = changes
    return new PerClient(this.shared, `${++this.shared.decorated}`, failsOpen, isNear)
  }

  /** Runs the effect in the background. It is interrupted where it still runs when the client's scope closes. */
  fork<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> {
    const { scope } = this.shared
    const interruptible = Effect.interruptible(effect)
    return scope === undefined ? Effect.forkDaemon(interruptible) : Effect.forkIn(interruptible, scope)
  }

  /** A write of the user's: what is under way for the key is detached first. */
  writing<A, E, R>(key: string, write: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.writingMany([key], write)
  }

  /** {@link writing} of many keys. */
  writingMany<A, E, R>(keys: ReadonlyArray<string>, write: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const { calls } = this.shared
      if (calls === undefined || calls.isIdle) return write
      return Effect.flatMap(Intent.current, ({ storing }) => {
        if (storing === true) return write
        const before = keys.flatMap((key) => calls.write(key) ?? [])
        return before.length === 0 ? write : Effect.zipRight(Effect.all(before, { discard: true }), write)
      })
    })
  }
}

/** Where a service carries the state. A decorator that spreads the service carries it on. */
export const id: unique symbol = Symbol.for("effect-ghostdb/PerClient")

/** A service written by hand has its state from its first use on, for as long as it is reachable. */
const byHand = new WeakMap<GhostDBService, PerClient>()

/** The deadline is the default of a client. */
const ofHand: Settings = {
  scope: undefined,
  deadline: 5000,
  isTraced: FiberServices.isTraced,
  isolatesCallers: false,
  registry: Registry.global
}

/** The state of a service's client. */
export const of = (db: GhostDBService): PerClient => {
  const carried: unknown = Reflect.get(db, id)
  if (carried instanceof PerClient) return carried
  let state = byHand.get(db)
  if (state === undefined) {
    state = new PerClient(makeShared(ofHand), "", false, false)
    byHand.set(db, state)
  }
  return state
}

/** The service of a new client, with the state that ends with the scope. */
export const attach = (
  db: GhostDBService,
  many: ManyKeys.ManyKeys,
  settings: Settings & { readonly scope: Scope.Scope }
): GhostDBService => {
  const state = new PerClient(makeShared(settings), "", false, false)
  const attached: GhostDBService = {
    ...db,
    put: (key, value, ttl) => state.writing(key, db.put(key, value, ttl)),
    add: (key, value, ttl) => state.writing(key, db.add(key, value, ttl)),
    delete: (key) => state.writing(key, db.delete(key)),
    flush: Effect.suspend(() => {
      state.shared.calls?.writeAll()
      return db.flush
    })
  }
  ManyKeys.attach(attached, {
    get: many.get,
    put: (entries) => state.writingMany(keysOf(entries), many.put(entries)),
    add: (entries) => state.writingMany(keysOf(entries), many.add(entries)),
    delete: (keys) => state.writingMany(keys, many.delete(keys))
  })
  return Object.assign(attached, { [id]: state })
}

const keysOf = (entries: ReadonlyArray<ManyKeys.Entry>) => entries.map(({ key }) => key)

/** The service with the state of a decorated one. */
export const carry = (db: GhostDBService, state: PerClient): GhostDBService => Object.assign(db, { [id]: state })
