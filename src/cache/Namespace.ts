/**
 * Entries under a prefix that can be dropped all at once, although GhostDB cannot list keys.
 *
 * An entry is `{ "generation": <string>, "value": <JSON>, "expiresAt": <milliseconds since the epoch, or null> }` under
 * `<namespace>:<key>`, and counts only while its generation is the one that stands, as a string, under
 * `<namespace>#generation`. `clear` deletes the generation; the next `set` makes a new one at random, so that no
 * generation ever comes back and losing one, to an eviction or a restart, loses entries but never revives any.
 *
 * A `set` that is under way during a `clear` is lost with the others. Entries that were dropped stay on the nodes until
 * they are overwritten, expire, or are evicted. Every command asks the node of the generation, too.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as ReservedKeys from "./ReservedKeys.js"
import * as SafeDecode from "./SafeDecode.js"

/** The entries of one namespace. TTLs are in milliseconds, `Infinity` for never, and exact by the `Clock`. */
export interface Namespace {
  readonly get: (key: string) => Effect.Effect<Option.Option<unknown>, NoMoreServers | KeyError>
  readonly getMany: (
    keys: ReadonlyArray<string>
  ) => Effect.Effect<Array<Option.Option<unknown>>, NoMoreServers | KeyError>
  readonly set: (key: string, value: unknown, ttl: number) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /** `NOT_STORED` when any of them is not. */
  readonly setMany: (
    entries: Iterable<readonly [key: string, value: unknown, ttl: number]>
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  readonly remove: (key: string) => Effect.Effect<void, NoMoreServers | KeyError>
  readonly clear: Effect.Effect<void, NoMoreServers | KeyError>
}

const decode = SafeDecode.decoder(
  Schema.Struct({
    generation: Schema.String,
    value: Schema.Unknown,
    expiresAt: Schema.NullOr(Schema.Finite)
  })
)

const concurrency = 128

/** A namespace of the client. */
export const make = (db: GhostDBService, name: string): Namespace => {
  const generationKey = ReservedKeys.generation(name)
  const keyOf = (key: string) => `${name}:${key}`

  const generation = Effect.map(db.get(generationKey), Option.filter(Schema.is(Schema.String)))

  const findOrMake = Effect.flatMap(db.get(generationKey), (current) => {
    if (Option.isSome(current) && typeof current.value === "string") return Effect.succeedSome(current.value)
    const made = crypto.randomUUID()
    const store = Option.isNone(current) ? db.add(generationKey, made) : db.put(generationKey, made)
    return Effect.map(store, (result) => (result === "STORED" ? Option.some(made) : Option.none()))
  })
  // Where it is not stored, another has just made one, or the reply was lost: the next look finds it.
  const generationForWrite = Effect.repeat(findOrMake, { until: Option.isSome, times: 3 })

  const read = (key: string, generation: Effect.Effect<Option.Option<string>, NoMoreServers | KeyError>) =>
    Effect.zipWith(
      generation,
      Effect.flatMap(db.get(keyOf(key)), (json) =>
        // What is no entry of ours is none.
        Option.isNone(json) ? Effect.succeedNone : Effect.option(decode(json.value))
      ),
      (generation, entry) =>
        Effect.map(Clock.currentTimeMillis, (now) =>
          Option.flatMap(entry, ({ expiresAt, generation: own, value }) =>
            Option.contains(generation, own) && (expiresAt === null || expiresAt > now)
              ? Option.some(value)
              : Option.none()
          )
        ),
      { concurrent: true }
    ).pipe(Effect.flatten)

  const setMany: Namespace["setMany"] = (entries) =>
    Effect.gen(function* () {
      const generation = yield* generationForWrite
      if (Option.isNone(generation)) return "NOT_STORED"
      const now = yield* Clock.currentTimeMillis
      const results = yield* Effect.forEach(
        entries,
        ([key, value, ttl]) => {
          const entry = { generation: generation.value, value, expiresAt: Number.isFinite(ttl) ? now + ttl : null }
          // Whether it is JSON is checked when it is written.
          return db.put(keyOf(key), entry as Json, Ttl.forServer(ttl))
        },
        { concurrency }
      )
      return results.includes("NOT_STORED") ? "NOT_STORED" : "STORED"
    })

  return {
    get: (key) => read(key, generation),
    getMany: (keys) =>
      Effect.flatMap(Effect.cached(generation), (generation) =>
        Effect.forEach(keys, (key) => read(key, generation), { concurrency })
      ),
    set: (key, value, ttl) => setMany([[key, value, ttl]]),
    setMany,
    remove: (key) => Effect.asVoid(db.delete(keyOf(key))),
    clear: Effect.asVoid(db.delete(generationKey))
  }
}
