/** Work that no caller waits for. It ends with the client. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { GhostDBService } from "../model/GhostDBService.js"

const scopes = new WeakMap<GhostDBService, Scope.Scope>()

/** A client shows the end of its layer by the end of its `topology`: that holds for a service that wraps it, too. */
const scopeOf = (db: GhostDBService): Effect.Effect<Scope.Scope> =>
  Effect.flatMap(Scope.make(), (made) => {
    const known = scopes.get(db)
    if (known !== undefined) return Effect.succeed(known)
    scopes.set(db, made)
    return Stream.runDrain(db.topology).pipe(
      Effect.ensuring(Scope.close(made, Exit.void)),
      Effect.forkDaemon,
      Effect.as<Scope.Scope>(made)
    )
  })

/** Starts the effect and goes on at once. It is interrupted where it still runs when the client's layer closes. */
export const start = <A, E, R>(db: GhostDBService, effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  Effect.flatMap(scopeOf(db), (scope) => Effect.asVoid(Effect.forkIn(Effect.interruptible(effect), scope))).pipe(
    Effect.uninterruptible
  )
