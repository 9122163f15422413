/**
 * What stored entries look like, and how they are read back safely.
 *
 * With `expiry: "server"` an entry is the value's encoded JSON and nothing else. With `expiry: "exact"` it is
 * `{ "value": <JSON>, "expiresAt": <number> | null }`, or `{ "failure": <JSON>, "expiresAt": … }` for a cached failure;
 * `expiresAt` is in milliseconds since the epoch, `null` for never.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"

const ExpiresAt = Schema.NullOr(Schema.Finite)

const Exact = Schema.Union(
  Schema.Struct({ value: Schema.Unknown, expiresAt: ExpiresAt }),
  Schema.Struct({ failure: Schema.Unknown, expiresAt: ExpiresAt })
)

// Without `exact` an absent `value` would pass as undefined, and each failure for a value.
const decodeExact = Schema.decodeUnknownEither(Exact, { exact: true })

/** An entry of an exact store, its value or failure still encoded. `expiresAt` is `Infinity` for never. */
export interface ExactEntry {
  readonly _tag: "Value" | "Failure"
  readonly json: unknown
  readonly expiresAt: number
}

const stored = (expiresAt: number) => (Number.isFinite(expiresAt) ? expiresAt : null)

/** The JSON of an entry that holds a value until a time. */
export const exactValue = (value: Json, expiresAt: number): Json => ({ value, expiresAt: stored(expiresAt) })

/** The JSON of an entry that holds a failure until a time. */
export const exactFailure = (failure: Json, expiresAt: number): Json => ({ failure, expiresAt: stored(expiresAt) })

/** Reads the JSON of {@link exactValue} and {@link exactFailure}. */
export const readExact = (json: Json): Either.Either<ExactEntry, ParseResult.ParseError> =>
  Either.map(decodeExact(json), (entry) => ({
    ...("value" in entry
      ? { _tag: "Value" as const, json: entry.value }
      : { _tag: "Failure" as const, json: entry.failure }),
    expiresAt: entry.expiresAt ?? Number.POSITIVE_INFINITY
  }))

/** What a lookup can find, judged by the clock and decoded. */
export type Lookup<A> =
  | { readonly _tag: "Miss" }
  | { readonly _tag: "Value"; readonly value: A; readonly isStale: boolean }
  | { readonly _tag: "Failure"; readonly json: unknown }

const miss: Lookup<never> = { _tag: "Miss" }

/** How values of one schema are read and written. Times in milliseconds. */
export interface EntryStore<A, E, R> {
  /** Tells apart entries of one schema that are written differently. */
  readonly format: string
  /** A value that has expired for less than `staleFor` is found, as stale. */
  readonly find: (
    db: GhostDBService,
    key: string,
    staleFor: number
  ) => Effect.Effect<Lookup<A>, NoMoreServers | KeyError | E, R>
  /** The server is to keep the entry for `staleFor` longer than its TTL. */
  readonly put: (
    db: GhostDBService,
    key: string,
    value: A,
    ttl: Ttl,
    staleFor: number
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseResult.ParseError, R>
  readonly add: (
    db: GhostDBService,
    key: string,
    value: A,
    ttl: Ttl
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseResult.ParseError, R>
}

/** How values of one schema become JSON and come back. */
export interface Codec<A, E, R> {
  readonly encode: (value: A) => Effect.Effect<Json, ParseResult.ParseError, R>
  readonly decode: (json: unknown) => Effect.Effect<A, ParseResult.ParseError, R>
  /** None where a value that cannot be read counts as none; otherwise its error. */
  readonly recoverDecode: <B, R2>(
    self: Effect.Effect<B, ParseResult.ParseError, R2>
  ) => Effect.Effect<Option.Option<B>, E, R2>
}

/** Entries that expire as the server lets them. */
export const serverEntries = <A, E, R>({ recoverDecode, decode, encode }: Codec<A, E, R>): EntryStore<A, E, R> => ({
  format: "server",
  find: (db, key) =>
    Effect.flatMap(
      db.get(key),
      Option.match({
        onNone: () => Effect.succeed(miss),
        onSome: (json) =>
          Effect.map(
            recoverDecode(decode(json)),
            Option.match({
              onNone: (): Lookup<A> => miss,
              onSome: (value): Lookup<A> => ({ _tag: "Value", value, isStale: false })
            })
          )
      })
    ),
  put: (db, key, value, ttl) => Effect.flatMap(encode(value), (json) => db.put(key, json, ttl)),
  add: (db, key, value, ttl) => Effect.flatMap(encode(value), (json) => db.add(key, json, ttl))
})

/** Entries that expire when their time has come by the `Clock`. */
export const exactEntries = <A, E, R>({ recoverDecode, decode, encode }: Codec<A, E, R>): EntryStore<A, E, R> => {
  const write = (value: A, ttl: Ttl) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const lifetime = Ttl.toMillis(ttl)
      return Effect.map(encode(value), (json) => ({ json: exactValue(json, now + lifetime), lifetime }))
    })
  return {
    format: "exact",
    find: (db, key, staleFor) =>
      Effect.gen(function* () {
        const json = yield* db.get(key)
        if (Option.isNone(json)) return miss
        const entry = yield* recoverDecode(readExact(json.value))
        if (Option.isNone(entry)) return miss
        const now = yield* Clock.currentTimeMillis
        const { _tag, expiresAt } = entry.value
        if (expiresAt + (_tag === "Value" ? staleFor : 0) <= now) return miss
        if (_tag === "Failure") return { _tag, json: entry.value.json }
        const value = yield* recoverDecode(decode(entry.value.json))
        return Option.isNone(value) ? miss : { _tag, value: value.value, isStale: expiresAt <= now }
      }),
    put: (db, key, value, ttl, staleFor) =>
      Effect.flatMap(write(value, ttl), ({ json, lifetime }) => db.put(key, json, Ttl.forServer(lifetime + staleFor))),
    add: (db, key, value, ttl) =>
      Effect.gen(function* () {
        const { json, lifetime } = yield* write(value, ttl)
        const add = db.add(key, json, Ttl.forServer(lifetime))
        const result = yield* add
        if (result === "STORED") return result
        const current = Option.flatMap(yield* db.get(key), (present) => Either.getRight(readExact(present)))
        const now = yield* Clock.currentTimeMillis
        const isOver = Option.exists(current, ({ _tag, expiresAt }) => _tag === "Failure" || expiresAt <= now)
        return isOver ? yield* Effect.zipRight(db.delete(key), add) : result
      })
  }
}
