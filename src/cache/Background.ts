import type * as Effect from "effect/Effect"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as PerClient from "./PerClient.js"

/** Starts the effect and returns at once. It is interrupted where it still runs when the client's scope closes. */
export const forkInClient = <A, E, R>(
  db: GhostDBService,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R> => PerClient.of(db).fork(effect)
