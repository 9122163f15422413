/** What an effect or a loader of cache-aside has given, and how it is stored. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as Calls from "./Calls.js"
import type * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as ManyKeys from "./ManyKeys.js"
import * as Outage from "./Outage.js"
import type * as PerClient from "./PerClient.js"
import * as Stamps from "./Stamps.js"
import * as StoredEntry from "./StoredEntry.js"

/** How failures of the effect are remembered. */
export interface Failures<F, R> {
  /** In milliseconds. */
  readonly lifetime: number
  readonly decode: (json: unknown) => Effect.Effect<F, ParseError, R>
  /** The JSON of a failure; none of one that is not to be remembered. */
  readonly encode: (error: unknown) => Effect.Effect<Option.Option<Json>, ParseError, R>
}

/** Where values are stored, and how. */
export interface Target<A, R, F> {
  readonly db: GhostDBService
  readonly entries: EntryStore.EntryStore<A, R>
  readonly freshness: Freshness.Freshness<A>
  readonly failures: Failures<F, R> | undefined
  readonly state: PerClient.PerClient
}

/** A value, and the call that has loaded it. */
export interface Loaded<A> {
  readonly call: Calls.Call
  readonly value: A
}

/** A value that was loaded, and what became of storing it. */
export interface Ran<A> {
  readonly _tag: "Ran"
  readonly value: A
  /** None where the value was not encoded, since it was not stored. */
  readonly json: Option.Option<Json>
  readonly outage: Option.Option<NoMoreServers>
}

/** A value of which nothing is known but itself. */
export const ran = <A>(
  value: A,
  json: Option.Option<Json> = Option.none(),
  outage: Option.Option<NoMoreServers> = Option.none()
): Ran<A> => ({ _tag: "Ran", value, json, outage })

/** When the loading of values began, and how long it took, in milliseconds; 0 where that does not matter. */
export interface LoadTime {
  readonly start: Stamps.LoadStart
  readonly took: number
}

interface Write<A> extends Loaded<A> {
  readonly index: number
  readonly json: Json
  readonly options: EntryStore.WriteOptions
}

/**
 * Stores values for as long as the options say, in one operation. No value is lost to that; one that cannot be encoded is
 * a defect of its call.
 */
export const store = <A, R, F>(
  target: Target<A, R, F>,
  loaded: ReadonlyArray<Loaded<A>>,
  time: LoadTime
): Effect.Effect<ReadonlyArray<Exit.Exit<Ran<A>>>, never, R> =>
  Effect.gen(function* () {
    const { db, entries, freshness, state } = target
    const exits: Array<Exit.Exit<Ran<A>>> = loaded.map(({ value }) => Exit.succeed(ran(value)))
    const writes = yield* encode(target, loaded, exits, time)
    const now = yield* Clock.currentTimeMillis
    const answers = new Map<number, Either.Either<StoreResult, KeyError | NoMoreServers>>()
    if (writes.length > 0) {
      yield* Calls.of(state.shared).store(writes, (wanted) =>
        Effect.map(
          ManyKeys.of(db).put(
            wanted.map(({ call, json, options }) => ({ key: call.key, ...entries.stored(json, options, now) }))
          ),
          (results) => {
            for (const [at, { index }] of wanted.entries()) {
              const result = results[at]
              if (result !== undefined) answers.set(index, result)
            }
          }
        )
      )
    }
    const outages: Array<NoMoreServers> = []
    for (const { call, index, json, value } of writes) {
      const answer = answers.get(index)
      const isOutage = answer?._tag === "Left" && answer.left._tag === "NoMoreServers"
      if (isOutage) outages.push(answer.left)
      const isStored = answer?._tag === "Right" && answer.right === "STORED"
      state.events.emit(isOutage ? "Outage" : isStored ? "Stored" : "NotStored", call.key)
      exits[index] = Exit.succeed(
        ran(value, Option.some(json), isOutage ? Option.some(answer.left) : Option.none<NoMoreServers>())
      )
    }
    const [outage] = outages
    if (outage !== undefined && freshness.onOutage === "run") yield* Outage.record(db, outage, outages.length)
    return exits
  })

/** The writes of those values that are to be stored. */
const encode = <A, R, F>(
  { db, entries, freshness, state }: Target<A, R, F>,
  loaded: ReadonlyArray<Loaded<A>>,
  exits: Array<Exit.Exit<Ran<A>>>,
  { start, took }: LoadTime
): Effect.Effect<ReadonlyArray<Write<A>>, never, R> =>
  Effect.gen(function* () {
    const planned: Array<Loaded<A> & { readonly index: number; lifetime: number; tags: ReadonlyArray<string> }> = []
    for (const [index, { call, value }] of loaded.entries()) {
      const plan = Either.try({
        try: () => ({ lifetime: freshness.lifetimeOf(value), tags: freshness.tagsOf(value) }),
        catch: (error) => error
      })
      if (Either.isLeft(plan)) yield* Outage.recordNotStored(db, call.key, Cause.die(plan.left))
      if (Either.isRight(plan) && plan.right.lifetime > 0) planned.push({ index, call, value, ...plan.right })
      else state.events.emit("NotStored", call.key)
    }
    const encoded = yield* ManyKeys.eithers(planned.map(({ call, value }) => entries.encode(call.key, value)))
    const writes: Array<Write<A>> = []
    for (const [at, { call, index, lifetime, tags, value }] of planned.entries()) {
      const json = encoded[at]
      if (json === undefined) continue
      if (Either.isLeft(json)) {
        exits[index] = Exit.die(json.left)
        continue
      }
      const options = {
        lifetime: freshness.jitter === 0 ? lifetime : yield* Freshness.jittered(lifetime, freshness),
        staleFor: freshness.staleFor,
        loadedAt: Stamps.loadedAt(db, start, entries.stampKeys(tags)),
        tags,
        took
      }
      writes.push({ call, index, value, json: json.right, options })
    }
    return writes
  })

/**
 * Stores a failure of the effect for each call, where it is to be remembered. Where that fails, the failure of the effect
 * stays.
 */
export const remember = <A, R, F>(
  { db, failures, state }: Target<A, R, F>,
  calls: ReadonlyArray<Calls.Call>,
  error: unknown
): Effect.Effect<void, never, R> => {
  const [first] = calls
  if (failures === undefined || first === undefined) return Effect.void
  return Effect.gen(function* () {
    const json = yield* failures.encode(error)
    if (Option.isNone(json)) return
    const expiresAt = (yield* Clock.currentTimeMillis) + failures.lifetime
    const value = StoredEntry.exact.write({ ...StoredEntry.value(json.value, expiresAt), _tag: "Failure" })
    const ttl = Ttl.forServer(failures.lifetime)
    const results = yield* Calls.of(state.shared).store(
      calls.map((call) => ({ call })),
      (wanted) => ManyKeys.of(db).put(wanted.map(({ call }) => ({ key: call.key, value, ttl })))
    )
    const failed = results.flatMap((result) => (Either.isLeft(result) ? [result.left] : []))
    const outages = failed.filter(Outage.isOutage)
    const [outage] = outages
    if (outage !== undefined) yield* Outage.record(db, outage, outages.length)
    const refused = failed.find((error) => !Outage.isOutage(error))
    if (refused !== undefined) yield* Outage.recordNotStored(db, first.key, Cause.fail(refused))
  }).pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : Outage.recordNotStored(db, first.key, cause)
    ),
    Effect.catchAll(() => Effect.void)
  )
}
