/** The commands of a store on many keys: entries instead of JSON. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import { Ttl } from "../model/Ttl.js"
import * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as Immediate from "./Immediate.js"
import * as ManyKeys from "./ManyKeys.js"
import * as PerClient from "./PerClient.js"
import * as Stamps from "./Stamps.js"
import * as TypedCommands from "./TypedCommands.js"

type Errors = NoMoreServers | KeyError | ParseError

const none = Immediate.succeed(Option.none())

/** Only what is fresh counts. */
const lasting = { failureLifetime: 0, refreshAhead: 0, staleFor: 0 }

/** The values of keys, in their order; none where there is none, it has expired, or it is a remembered failure. */
export const find = <A, R>(
  db: GhostDBService,
  keys: ReadonlyArray<string>,
  entries: EntryStore.EntryStore<A, R>,
  { onDecodeError }: Freshness.Freshness<A>
): Effect.Effect<ReadonlyArray<Either.Either<Option.Option<A>, Errors>>, never, R> => {
  const onError = (error: ParseError) => (onDecodeError === "fail" ? Immediate.fail(error) : none)
  const decode = (json: unknown): Effect.Effect<Option.Option<A>, ParseError, R> => {
    const decoded = entries.decode(json)
    const result = Immediate.resultOf(decoded)
    if (result === undefined) return EntryStore.recoverDecode(onDecodeError, decoded)
    return Either.isRight(result) ? Immediate.succeed(Option.some(result.right)) : onError(result.left)
  }
  return Effect.flatMap(entries.findMany(db, keys), (found) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      ManyKeys.eithers(
        found.map((one): Effect.Effect<Option.Option<A>, Errors, R> => {
          if (Either.isLeft(one)) return Immediate.fail(one.left)
          if (Option.isNone(one.right)) return none
          const verdict = Freshness.judge(one.right.value, now, lasting, 1)
          if (verdict._tag === "Broken") return onError(verdict.error)
          return verdict._tag === "Fresh" ? decode(verdict.entry.json) : none
        })
      )
    )
  )
}

/** Stores values as the store's options say, for one TTL if it is given. The result of each, in their order. */
export const write = <A, R>(
  db: GhostDBService,
  command: "put" | "add",
  values: ReadonlyArray<readonly [key: string, value: A]>,
  ttl: Ttl | undefined,
  entries: EntryStore.EntryStore<A, R>,
  freshness: Freshness.Freshness<A>
): Effect.Effect<ReadonlyArray<Either.Either<StoreResult, Errors>>, never, R> =>
  Effect.gen(function* () {
    const encoded = yield* ManyKeys.eithers(values.map(([key, value]) => entries.encode(key, value)))
    const start = yield* Stamps.begin(db)
    const now = yield* Clock.currentTimeMillis
    const fixed = ttl === undefined ? undefined : Ttl.toMillis(ttl)
    const results: Array<Either.Either<StoreResult, Errors>> = []
    const writes: Array<ManyKeys.Entry> = []
    const places: Array<number> = []
    for (const [index, [key, value]] of values.entries()) {
      const json = encoded[index]
      const lifetime = fixed ?? freshness.lifetimeOf(value)
      results.push(notStored)
      if (json === undefined || lifetime === 0) continue
      if (Either.isLeft(json)) {
        results[index] = Either.left(json.left)
        continue
      }
      const tags = freshness.tagsOf(value)
      const options = {
        lifetime: freshness.jitter === 0 ? lifetime : yield* Freshness.jittered(lifetime, freshness),
        staleFor: freshness.staleFor,
        loadedAt: Stamps.loadedAt(db, start, entries.stampKeys(tags)),
        tags,
        took: 0
      }
      writes.push({ key, ...entries.stored(json.right, options, now) })
      places.push(index)
    }
    const answers = yield* told(
      db,
      writes.map(({ key }) => key),
      ManyKeys.of(db)[command](writes)
    )
    for (const [at, answer] of answers.entries()) results[places[at] ?? 0] = answer
    return results
  })

/** {@link write} where the keys have no entry; what has expired or is a remembered failure is replaced. */
export const add = <A, R>(
  db: GhostDBService,
  values: ReadonlyArray<readonly [key: string, value: A]>,
  ttl: Ttl | undefined,
  entries: EntryStore.EntryStore<A, R>,
  freshness: Freshness.Freshness<A>
): Effect.Effect<ReadonlyArray<Either.Either<StoreResult, Errors>>, never, R> =>
  Effect.flatMap(write(db, "add", values, ttl, entries, freshness), (results) => {
    if (entries.format.name === "server") return Effect.succeed(results)
    return Effect.forEach(
      results,
      (result, index) => {
        const [entry] = values.slice(index, index + 1)
        return entry !== undefined && Either.isRight(result) && result.right === "NOT_STORED"
          ? Effect.either(TypedCommands.replace(db, entry[0], entry[1], ttl, entries, freshness))
          : Effect.succeed(result)
      },
      { concurrency: 16 }
    )
  })

const notStored = Either.right("NOT_STORED" as const)

/** Writes of the user's. A client tells of its own by itself. */
export const told = <A, E, R>(
  db: GhostDBService,
  keys: ReadonlyArray<string>,
  write: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const state = PerClient.of(db)
  return state.shared.tellsWrites ? write : state.writingMany(keys, write)
}
