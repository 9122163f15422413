/** The same command on many keys. */
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"

/** How a command on many keys runs. */
export interface BatchOptions {
  /** How many keys are under way at a time; they are pipelined on the connections of their nodes. Default 128. */
  readonly concurrency?: number | undefined
}

/**
 * Runs a command for each entry, the last of several of one key, and gathers what came of it, in the order of the keys.
 * It never fails as a whole: a key whose command failed has its error in the map.
 */
export const forEachEntry = <V, A, E, R>(
  entries: Iterable<readonly [key: string, value: V]>,
  command: (key: string, value: V) => Effect.Effect<A, E, R>,
  { concurrency = 128 }: BatchOptions = {}
): Effect.Effect<ReadonlyMap<string, Either.Either<A, E>>, never, R> =>
  Effect.suspend(() =>
    Effect.forEach(
      new Map(entries),
      ([key, value]) => Effect.map(Effect.either(command(key, value)), (result) => [key, result] as const),
      { concurrency }
    )
  ).pipe(Effect.map((results) => new Map(results)))

/** {@link forEachEntry} for a command that takes a key only. */
export const forEachKey = <A, E, R>(
  keys: Iterable<string>,
  command: (key: string) => Effect.Effect<A, E, R>,
  options?: BatchOptions
): Effect.Effect<ReadonlyMap<string, Either.Either<A, E>>, never, R> =>
  Effect.suspend(() =>
    forEachEntry(
      Array.from(keys, (key) => [key, undefined] as const),
      command,
      options
    )
  )
