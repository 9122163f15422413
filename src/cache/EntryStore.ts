import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as Immediate from "./Immediate.js"
import * as Intent from "./Intent.js"
import * as ManyKeys from "./ManyKeys.js"
import * as PerClient from "./PerClient.js"
import * as ReservedKeys from "./ReservedKeys.js"
import * as SafeDecode from "./SafeDecode.js"
import * as SchemaKey from "./SchemaKey.js"
import * as Stamps from "./Stamps.js"
import * as StorableJson from "./StorableJson.js"
import type * as StoredEntry from "./StoredEntry.js"
import type { OnDecodeError } from "./StoreOptions.js"

/** What a node had under a key. */
export interface Found {
  readonly json: Json
  /** The entry, or why it is none. */
  readonly entry: Either.Either<StoredEntry.StoredEntry, ParseResult.ParseError>
  /** Whether a stamp ends it: a tag has expired, or the store was cleared. */
  readonly isEnded: boolean
}

/** What is written beside a value. */
export interface WriteOptions {
  /** In milliseconds, `Infinity` for never. */
  readonly lifetime: number
  /** How much longer the server is to keep it, in milliseconds. */
  readonly staleFor: number
  readonly loadedAt: number
  readonly tags: ReadonlyArray<string>
  readonly took: number
}

/** How the values of one schema are written and read. */
export interface EntryStore<A, R> {
  readonly format: StoredEntry.Format
  /** The same for stores whose entries mean the same. */
  readonly variant: () => string
  /** The keys of the stamps that may end an entry with these tags. */
  readonly stampKeys: (tags: ReadonlyArray<string>) => ReadonlyArray<string>
  /** The JSON of a value. It fails where that would be stored as something else, by the key and the path. */
  readonly encode: (key: string, value: A) => Effect.Effect<Json, ParseResult.ParseError, R>
  readonly decode: (json: unknown) => Effect.Effect<A, ParseResult.ParseError, R>
  readonly find: (db: GhostDBService, key: string) => Effect.Effect<Option.Option<Found>, NoMoreServers | KeyError>
  /** {@link EntryStore.find} of many keys, in their order. */
  readonly findMany: (
    db: GhostDBService,
    keys: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Either.Either<Option.Option<Found>, NoMoreServers | KeyError>>>
  /** What is stored of a value's JSON at a time, and for how long the server is to keep it. */
  readonly stored: (json: Json, options: WriteOptions, now: number) => { readonly value: Json; readonly ttl: Ttl }
  readonly write: (
    command: GhostDBService["put"],
    key: string,
    json: Json,
    options: WriteOptions
  ) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
}

/** Options of an entry that says nothing but when it expires. */
export const plain = (lifetime: number, staleFor: number): WriteOptions => ({
  lifetime,
  staleFor,
  loadedAt: Number.NEGATIVE_INFINITY,
  tags: [],
  took: 0
})

/**
 * The value of an effect that decodes, none where an error, or a decoder that throws, counts as a miss. With `"fail"` an
 * error stays.
 */
export const recoverDecode = <A, R>(
  onDecodeError: OnDecodeError,
  decode: Effect.Effect<A, ParseResult.ParseError, R>
): Effect.Effect<Option.Option<A>, ParseResult.ParseError, R> =>
  onDecodeError === "fail"
    ? Effect.asSome(decode)
    : Effect.catchAllCause(Effect.asSome(decode), (cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : Effect.succeedNone
      )

const stampKeys = (tags: ReadonlyArray<string>, prefixStamp: string | undefined): ReadonlyArray<string> => {
  const keys = tags.map(ReservedKeys.tag)
  return prefixStamp === undefined ? keys : [...keys, prefixStamp]
}

/** Whether one of the stamps has come since the entry was loaded. */
const isEnded = (
  db: GhostDBService,
  entry: StoredEntry.StoredEntry,
  prefixStamp: string | undefined
): Effect.Effect<boolean, NoMoreServers | KeyError> => {
  const keys = stampKeys(entry.tags, prefixStamp)
  if (keys.length === 0) return Effect.succeed(false)
  return Effect.map(
    Effect.forEach(keys, (key) => Stamps.readKept(db, key), { concurrency: "unbounded" }),
    (stamps) => stamps.some((stamp) => Option.isSome(stamp) && stamp.value.at >= entry.loadedAt)
  )
}

type FoundMany = ReadonlyArray<Either.Either<Option.Option<Found>, NoMoreServers | KeyError>>

/** Ends those that a stamp ends; each stamp is read once. Where one cannot be read, its entries have that error. */
const endMany = (db: GhostDBService, found: FoundMany, prefixStamp: string | undefined): Effect.Effect<FoundMany> => {
  const stampsOf = (one: FoundMany[number]): ReadonlyArray<string> => {
    if (Either.isLeft(one) || Option.isNone(one.right) || Either.isLeft(one.right.value.entry)) return []
    const keys = one.right.value.entry.right.tags.map(ReservedKeys.tag)
    return prefixStamp === undefined ? keys : [...keys, prefixStamp]
  }
  const wanted = new Set(found.flatMap(stampsOf))
  if (wanted.size === 0) return Effect.succeed(found)
  return Effect.map(Stamps.readKeptMany(db, [...wanted]), (stamps) =>
    found.map((one) => {
      const keys = stampsOf(one)
      return keys.length === 0
        ? one
        : Either.flatMap(one, (option) =>
            Either.map(Either.all(keys.map((key) => stamps.get(key) ?? noStamp)), (read) =>
              Option.map(option, (found) => ({
                ...found,
                isEnded: Either.match(found.entry, {
                  onLeft: () => false,
                  onRight: ({ loadedAt }) => read.some((stamp) => Option.isSome(stamp) && stamp.value.at >= loadedAt)
                })
              }))
            )
          )
    })
  )
}

const noStamp: Either.Either<Option.Option<Stamps.Stamp>> = Either.right(Option.none())

/** How the entries of a store are made. */
export interface EntryStoreOptions {
  readonly format: StoredEntry.Format
  /** The key of the stamp that ends all of them. */
  readonly prefixStamp: string | undefined
  /** Milliseconds that an entry lives at most, as far as the store knows. */
  readonly longest: number
}

/** Entries that the server expires do not say when: a near cache is told by the store. */
const getFor = (db: GhostDBService, key: string, longest: number) =>
  Number.isFinite(longest) && PerClient.of(db).isNear ? Intent.run({ holdFor: longest }, db.get(key)) : db.get(key)

const getManyFor = (db: GhostDBService, keys: ReadonlyArray<string>, longest: number) =>
  Number.isFinite(longest) && PerClient.of(db).isNear
    ? Intent.run({ holdFor: longest }, ManyKeys.of(db).get(keys))
    : ManyKeys.of(db).get(keys)

/** The entries of a schema. */
export const make = <A, I, R>(
  schema: Schema.Schema<A, I, R>,
  { format, longest, prefixStamp }: EntryStoreOptions
): EntryStore<A, R> => {
  const encode = Schema.encode(schema)
  const stored: EntryStore<A, R>["stored"] = (json, { lifetime, loadedAt, staleFor, tags, took }, now) =>
    format.name === "server"
      ? { value: json, ttl: Number.isFinite(lifetime) ? Math.max(Math.ceil(lifetime / 1000), 1) : Ttl.forever }
      : {
          value: format.write({ _tag: "Value", json, expiresAt: now + lifetime, loadedAt, tags, took }),
          ttl: Ttl.forServer(lifetime + staleFor)
        }
  let variant: string | undefined
  return {
    format,
    variant: () => (variant ??= `${format.name}:${SchemaKey.of(schema.ast)}`),
    stampKeys: (tags) => stampKeys(tags, prefixStamp),
    encode: (key, value) => {
      const check = (json: I): Effect.Effect<Json, ParseResult.ParseError> => {
        const wrong = StorableJson.unstorable(json)
        // The type of the schema's encoded side has been checked, and the values just now.
        if (wrong === undefined) return Immediate.succeed(json as Json)
        const message = `the value for the key ${JSON.stringify(key)} cannot be stored: ${wrong.found} at ${StorableJson.showPath(wrong.path)}`
        return Immediate.fail(ParseResult.parseError(new ParseResult.Type(schema.ast, json, message)))
      }
      const encoded = encode(value)
      const result = Immediate.resultOf(encoded)
      if (result === undefined) return Effect.flatMap(encoded, check)
      return Either.isRight(result) ? check(result.right) : Immediate.fail(result.left)
    },
    decode: SafeDecode.decoder(schema),
    find: (db, key) =>
      Effect.flatMap(format.name === "server" ? getFor(db, key, longest) : db.get(key), (json) => {
        if (Option.isNone(json)) return Effect.succeedNone
        const entry = format.read(json.value)
        const found = (isEnded: boolean) => Option.some<Found>({ json: json.value, entry, isEnded })
        return format.name === "server" || Either.isLeft(entry)
          ? Effect.succeed(found(false))
          : Effect.map(isEnded(db, entry.right, prefixStamp), found)
      }),
    findMany: (db, keys) =>
      Effect.flatMap(
        format.name === "server" ? getManyFor(db, keys, longest) : ManyKeys.of(db).get(keys),
        (results) => {
          const found = results.map(
            Either.map(Option.map((json): Found => ({ json, entry: format.read(json), isEnded: false })))
          )
          return format.name === "server" ? Effect.succeed(found) : endMany(db, found, prefixStamp)
        }
      ),
    stored,
    write: (command, key, json, options) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const { ttl, value } = stored(json, options, now)
        return command(key, value, ttl)
      })
  }
}
