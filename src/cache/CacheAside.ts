/** Cache-aside: look up, on a miss run the effect, store, return; and what keeps that from running it too often. */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import * as Background from "./Background.js"
import * as Lock from "./Lock.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"
import * as SafeDecode from "./SafeDecode.js"
import * as SingleFlight from "./SingleFlight.js"
import * as Entry from "./StoredEntry.js"

/** A failure to remember. */
export interface FailureOptions<F, FI, FR> {
  readonly schema: Schema.Schema<F, FI, FR>
  readonly ttl: Ttl
}

/** How one lookup goes; see `Store.getOrElse`. */
export interface Options<A, F, FI, FR, OE> {
  readonly ttl: (value: A) => Ttl
  readonly staleFor: number
  readonly failure: FailureOptions<F, FI, FR> | undefined
  readonly lock: Lock.LockOptions | undefined
  /** No node served a command: count that and go on without the cache, or fail. */
  readonly onOutage: (error: NoMoreServers) => Effect.Effect<void, OE>
}

/** What is under way in this process, for one client and one kind of entry. */
export interface Flights {
  readonly lookups: SingleFlight.SingleFlight
  readonly runs: SingleFlight.SingleFlight
  readonly refreshing: Set<string>
}

const flights = () => new WeakMap<object, Flights>()

/** The flights of a client and a schema: all stores of that schema share them. */
export const flightsOf = (db: GhostDBService, schema: object): Flights => {
  const ofClient = PerClient.of(db).slot(flights)
  const known = ofClient.get(schema)
  if (known !== undefined) return known
  const made = {
    lookups: SingleFlight.make(Metric.increment(ClientMetrics.cacheAsideShared)),
    runs: SingleFlight.make(Effect.void),
    refreshing: new Set<string>()
  }
  ofClient.set(schema, made)
  return made
}

/**
 * The value of a key, from the cache or else from the effect. `mode` tells apart lookups of one key that differ in what
 * they can fail with.
 */
export const getOrElse = <A, E, R, DE extends ParseError, SR, F, FI, FR, OE>(
  db: GhostDBService,
  shared: Flights,
  mode: string,
  entries: Entry.EntryStore<A, DE, SR>,
  key: string,
  effect: Effect.Effect<A, E, R>,
  options: Options<A, F, FI, FR, OE>
): Effect.Effect<A, E | F | DE | OE | KeyError, R | SR | FR> => {
  const { failure, lock, onOutage, staleFor } = options
  const ignoreOutage = (error: NoMoreServers) => Outage.record(db, error)

  const remember = (error: E): Effect.Effect<void, never, FR> =>
    failure !== undefined && Schema.is(failure.schema)(error)
      ? Effect.zip(Effect.orDie(Schema.encode(failure.schema)(error)), Clock.currentTimeMillis).pipe(
          Effect.flatMap(([encoded, now]) => {
            const lifetime = Ttl.toMillis(failure.ttl)
            // The type of `failure` says that this is JSON.
            const entry = Entry.exactFailure(encoded as Json, now + lifetime)
            return db.put(key, entry, Ttl.forServer(lifetime))
          }),
          Effect.catchTags({ NoMoreServers: ignoreOutage, KeyError: () => Effect.void })
        )
      : Effect.void

  // An outage is no failure of the run: those who share it may differ in what they make of that.
  const run = shared.runs.run(
    `${entries.format}:${key}`,
    Effect.tapError(effect, remember).pipe(
      Effect.flatMap((value) =>
        entries.put(db, key, value, options.ttl(value), staleFor).pipe(
          Effect.as(Option.none<NoMoreServers>()),
          Effect.catchTags({
            NoMoreServers: (error) => Effect.succeedSome(error),
            ParseError: (error) => Effect.die(error)
          }),
          Effect.map((outage) => ({ value, outage }))
        )
      )
    )
  )
  const runFor = <E2>(onOutage: (error: NoMoreServers) => Effect.Effect<void, E2>) =>
    Effect.flatMap(run, ({ outage, value }) =>
      Option.isSome(outage) ? Effect.as(onOutage(outage.value), value) : Effect.succeed(value)
    )

  const isWanted = Effect.map(
    entries.find(db, key, staleFor),
    (found) => found._tag === "Miss" || (found._tag === "Value" && found.isStale)
  )
  const refresh: Effect.Effect<void, never, R | SR | FR> = Effect.suspend(() => {
    if (shared.refreshing.has(key)) return Effect.void
    shared.refreshing.add(key)
    const refreshed = runFor(ignoreOutage)
    return Background.forkInClient(
      db,
      (lock === undefined ? refreshed : Lock.tryWithLock(db, key, lock, isWanted, refreshed)).pipe(
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause) ? Effect.void : Outage.recordFailedRefresh(db, cause)
        ),
        Effect.ensuring(Effect.sync(() => shared.refreshing.delete(key)))
      )
    )
  }).pipe(Effect.uninterruptible)

  const answer = (found: Entry.Lookup<A>): Effect.Effect<Option.Option<Exit.Exit<A, F>>, never, R | SR | FR> => {
    switch (found._tag) {
      case "Miss":
        return Effect.succeedNone
      case "Value":
        return Effect.as(
          found.isStale
            ? Effect.zipRight(Metric.increment(ClientMetrics.cacheAsideStaleHits), refresh)
            : Metric.increment(ClientMetrics.cacheAsideHits),
          Option.some(Exit.succeed(found.value))
        )
      case "Failure":
        // A failure that cannot be read is as good as none: the effect gives a new one.
        return failure === undefined
          ? Effect.succeedNone
          : SafeDecode.decoder(failure.schema)(found.json).pipe(
              Effect.tap(() => Metric.increment(ClientMetrics.cacheAsideNegativeHits)),
              Effect.map((error) => Exit.fail(error)),
              Effect.option
            )
    }
  }
  const lookup = Effect.flatMap(entries.find(db, key, staleFor), answer)

  const onMiss = () => {
    const computed = runFor(onOutage)
    return Effect.zipRight(
      Metric.increment(ClientMetrics.cacheAsideMisses),
      lock === undefined ? computed : Lock.withLock(db, key, lock, lookup, computed, onOutage)
    )
  }
  return shared.lookups.find(
    `${mode}:${entries.format}:${key}`,
    lookup.pipe(
      Effect.map(Option.getOrElse(onMiss)),
      Effect.catchTag("NoMoreServers", (error) => Effect.succeed(Effect.zipRight(onOutage(error), effect)))
    )
  )
}
