/**
 * The entries of one adapter's store, which can be dropped all at once, although GhostDB cannot list keys.
 *
 * An entry is `{ "generation": <string>, "value": <JSON>, "expiresAt": <milliseconds since the epoch, or null> }`, and
 * counts only while its generation is the `id` of the stamp that stands for the store: see Stamps. `clear` makes a new
 * stamp. Losing the stamp, to an eviction or a restart, loses entries but never revives any.
 *
 * A `set` that is under way during a `clear` is lost with the others. Entries that were dropped stay on the nodes until
 * they are overwritten, expire, or are evicted. Every command asks the node of the stamp, too.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { fromEither } from "../model/fromEither.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as Intent from "./Intent.js"
import * as ManyKeys from "./ManyKeys.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"
import type * as ReservedKeys from "./ReservedKeys.js"
import * as SafeDecode from "./SafeDecode.js"
import * as Stamps from "./Stamps.js"
import * as StorableJson from "./StorableJson.js"

/**
 * The entries of one namespace. TTLs are in milliseconds, `Infinity` for never, and exact by the `Clock`. With a client
 * that fails open, an outage is a miss and nothing else: what was to be stored is not.
 */
export interface Namespace {
  readonly get: (key: string) => Effect.Effect<Option.Option<unknown>, NoMoreServers | KeyError>
  readonly getMany: (
    keys: ReadonlyArray<string>
  ) => Effect.Effect<Array<Option.Option<unknown>>, NoMoreServers | KeyError>
  /** `NOT_STORED` where it is too large. A value that JSON would not hold as it is, is a defect that names the path. */
  readonly set: (
    key: string,
    value: unknown,
    ttl: number
  ) => Effect.Effect<StoreResult | "OUTAGE", NoMoreServers | KeyError>
  /** `NOT_STORED` when any of them is not. */
  readonly setMany: (
    entries: Iterable<readonly [key: string, value: unknown, ttl: number]>
  ) => Effect.Effect<StoreResult | "OUTAGE", NoMoreServers | KeyError>
  readonly remove: (key: string) => Effect.Effect<void, NoMoreServers | KeyError>
  readonly clear: Effect.Effect<void, NoMoreServers | KeyError>
}

const decode = SafeDecode.decoderOption(
  Schema.Struct({
    generation: Schema.String,
    value: Schema.Unknown,
    expiresAt: Schema.NullOr(Schema.Finite)
  })
)

const absent = Either.right(Option.none<Json>())

/** The value of an entry that counts. One in another format is a miss. */
const valueOf = (json: Json, generation: string, now: number): Option.Option<unknown> =>
  Option.flatMap(decode(json), ({ expiresAt, generation: own, value }) =>
    own === generation && (expiresAt === null || expiresAt > now) ? Option.some(value) : Option.none()
  )

/** Throws, and so makes a defect of, a value that would be stored as something else. */
const storable = (key: string, value: unknown): Json => {
  const wrong = StorableJson.unstorable(value)
  // It has just been checked.
  if (wrong === undefined) return value as Json
  throw new Cause.IllegalArgumentException(
    `the value for the key ${JSON.stringify(key)} is not JSON: ${wrong.found} at ${StorableJson.showPath(wrong.path)}`
  )
}

/** A namespace of the client, in its part of the key space. */
export const make = (db: GhostDBService, space: ReservedKeys.Space): Namespace => {
  const { failsOpen } = PerClient.of(db)
  // Whether a value was too large or no node served it, the answers of a client that fails open do not tell.
  const orElse = <A, B, E>(
    answer: B,
    self: Effect.Effect<A, E | NoMoreServers>
  ): Effect.Effect<A | B, E | NoMoreServers> =>
    failsOpen
      ? Effect.catchIf(
          Intent.run({ strict: true }, self),
          (error): error is E & NoMoreServers => Outage.isOutage(error),
          (error) => Effect.as(Outage.record(db, error), answer)
        )
      : self

  const many = ManyKeys.of(db)
  const outages = (results: Iterable<ManyKeys.KeyResult<unknown>>) =>
    [...results].flatMap((result) => (Either.isLeft(result) && Outage.isOutage(result.left) ? [result.left] : []))

  const getMany: Namespace["getMany"] = (keys) => {
    const entryKeys = keys.map(space.entry)
    const read = ManyKeys.getMap(db, [space.generation, ...entryKeys])
    return Effect.gen(function* () {
      const results = yield* failsOpen ? Intent.run({ strict: true }, read) : read
      const [outage, ...others] = failsOpen ? outages(results.values()) : []
      if (outage !== undefined) yield* Outage.record(db, outage, others.length + 1)
      const found = (key: string) => {
        const result = results.get(key) ?? absent
        return fromEither(failsOpen && Either.isLeft(result) && Outage.isOutage(result.left) ? absent : result)
      }
      const stamp = yield* Stamps.settle(db, space.generation, yield* found(space.generation))
      const now = yield* Clock.currentTimeMillis
      const values: Array<Option.Option<unknown>> = []
      for (const key of entryKeys) {
        const json = yield* found(key)
        values.push(
          Option.isNone(json) || Option.isNone(stamp) ? Option.none() : valueOf(json.value, stamp.value.id, now)
        )
      }
      return values
    })
  }

  const setMany: Namespace["setMany"] = (entries) => {
    const set = Effect.gen(function* () {
      const checked = Array.from(entries, ([key, value, ttl]) => ({ key, value: storable(key, value), ttl }))
      const stamp = yield* Stamps.readOrMake(db, space.generation)
      if (Option.isNone(stamp)) return "NOT_STORED"
      const now = yield* Clock.currentTimeMillis
      const results = yield* Effect.flatMap(
        many.put(
          checked.map(({ key, ttl, value }) => ({
            key: space.entry(key),
            value: { generation: stamp.value.id, value, expiresAt: Number.isFinite(ttl) ? now + ttl : null },
            ttl: Ttl.forServer(ttl)
          }))
        ),
        (answers) => fromEither(Either.all(answers))
      )
      return results.includes("NOT_STORED") ? "NOT_STORED" : "STORED"
    })
    return orElse("OUTAGE" as const, set)
  }

  return {
    get: (key) => Effect.map(getMany([key]), ([value]) => value ?? Option.none()),
    getMany,
    set: (key, value, ttl) => setMany([[key, value, ttl]]),
    setMany,
    remove: (key) => orElse(undefined, Effect.asVoid(db.delete(space.entry(key)))),
    clear: orElse(undefined, Effect.asVoid(Stamps.renewLater(db, space.generation)))
  }
}
