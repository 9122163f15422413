/** Cache-aside: look up, on a miss run the effect, store, return; and what keeps that from running it too often. */

import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { KeyError, type NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import type { CacheEvent } from "./CacheEvents.js"
import * as Calls from "./Calls.js"
import * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as LoadedValues from "./LoadedValues.js"
import { LoadTimeout } from "./LoadTimeout.js"
import * as Lock from "./Lock.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"
import * as Stamps from "./Stamps.js"
import * as StorableJson from "./StorableJson.js"
import type * as StoredEntry from "./StoredEntry.js"

/** One lookup of a key, and the effect that gives the value where there is none. */
export interface Lookup<A, E, R, F> {
  readonly db: GhostDBService
  /** With the store's prefix. */
  readonly key: string
  readonly entries: EntryStore.EntryStore<A, R>
  readonly effect: (previous: Option.Option<A>) => Effect.Effect<A, E, R>
  /** Whether the effect makes use of the previous value. */
  readonly wantsPrevious: boolean
  readonly freshness: Freshness.Freshness<A>
  readonly failures: LoadedValues.Failures<F, R> | undefined
}

/** What can go wrong besides the effect; the options decide which of it can. */
export type LookupError = KeyError | NoMoreServers | ParseError | LoadTimeout

/** What callers of a key share: each makes of it what its own schema and options say. */
export type Outcome<A> =
  /** What a node had. */
  | { readonly _tag: "Read"; readonly found: EntryStore.Found }
  | { readonly _tag: "Outage"; readonly error: NoMoreServers }
  /** Nothing to use. Each caller waits for the effect as long as its own options say. */
  | { readonly _tag: "Missed"; readonly previous: StoredEntry.StoredEntry | undefined }
  | LoadedValues.Ran<A>

/** What a caller makes of what was found. */
export type Decision<A, F> =
  | { readonly _tag: "Answer"; readonly exit: Exit.Exit<A, F>; readonly early?: StoredEntry.StoredEntry | undefined }
  | { readonly _tag: "Stale"; readonly value: A; readonly entry: StoredEntry.StoredEntry }
  | { readonly _tag: "Run"; readonly previous: StoredEntry.StoredEntry | undefined }

/** A lookup under way, for one caller. */
export interface Run<A, E, R, F> extends Lookup<A, E, R, F> {
  readonly state: PerClient.PerClient
  readonly clock: Clock.Clock
  readonly lookupVariant: string
  readonly runVariant: string
  /** Says what became of it, to events and to the caller's span. */
  readonly report: (type: CacheEvent["type"]) => void
  /** The caller has waited for the refresh of a stale value, and has its result. */
  readonly refreshed?: () => void
}

/** How long work that no caller waits for may take, in milliseconds. */
const backgroundLimit = 60_000

/** The value of a key, from the cache or else from the effect. */
export const getOrElse = <A, E, R, F>(lookup: Lookup<A, E, R, F>): Effect.Effect<A, E | F | LookupError, R> =>
  Effect.withFiberRuntime((fiber) => {
    const { db, key } = lookup
    if (typeof key !== "string") return Effect.fail(new KeyError({ key, reason: "NotAString" }))
    const state = PerClient.of(db)
    let outcome: CacheEvent["type"] = "Miss"
    const report: Run<A, E, R, F>["report"] = (type) => {
      outcome = type
      state.events.emit(type, key)
    }
    const refreshed = () => {
      outcome = "Refreshed"
    }
    const run = { ...begin(lookup, state, FiberServices.clockOf(fiber), report), refreshed }
    if (!state.shared.isTraced(fiber)) return answer(run)
    return Effect.withSpan(
      Effect.ensuring(
        answer(run),
        Effect.suspend(() => Effect.annotateCurrentSpan("ghostdb.cache.outcome", outcomeName(outcome)))
      ),
      "ghostdb getOrElse",
      { attributes: { "db.system.name": "ghostdb" }, captureStackTrace: false }
    )
  })

/** A lookup that begins now. */
export const begin = <A, E, R, F>(
  lookup: Lookup<A, E, R, F>,
  state: PerClient.PerClient,
  clock: Clock.Clock,
  report: Run<A, E, R, F>["report"]
): Run<A, E, R, F> => {
  const variant = `${state.name}:${lookup.entries.variant()}`
  return { ...lookup, state, clock, lookupVariant: `lookup:${variant}`, runVariant: `run:${variant}`, report }
}

/** As a span's attribute: `hit`, `stale`, `negative_hit`, … */
const outcomeName = (type: CacheEvent["type"]) => type.replace(/(?<=.)[A-Z]/g, "_$&").toLowerCase()

const now = ({ clock }: { readonly clock: Clock.Clock }) => clock.unsafeCurrentTimeMillis()

/** Looks up, and where that gives nothing to use, runs: together with all callers of the key that come meanwhile. */
const answer = <A, E, R, F>(run: Run<A, E, R, F>): Effect.Effect<A, E | F | LookupError, R> =>
  Effect.suspend(() => {
    let own: Decision<A, F> | undefined
    const lead = Effect.flatMap(Effect.either(run.entries.find(run.db, run.key)), (read) => {
      if (Either.isLeft(read)) return read.left._tag === "KeyError" ? read.left : outageOfLookup(run, read.left)
      return Effect.flatMap(
        decide(run, read.right, true),
        (decision): Effect.Effect<Outcome<A>, E | LookupError, R> => {
          // Callers that have begun at the same time get to join.
          if (decision._tag === "Run") return Effect.zipRight(Effect.yieldNow(), missed(run, decision.previous))
          own = decision
          return Effect.succeed({ _tag: "Read", found: Option.getOrThrow(read.right) })
        }
      )
    })
    return Effect.flatMap(
      Calls.of(run.state.shared).share(run.clock, run.key, run.lookupVariant, () => lead),
      ([outcome, led]) => {
        if (!led) {
          ClientMetrics.cacheAsideShared.unsafeUpdate(1, run.state.shared.registry)
          run.report("Shared")
        }
        return led && own !== undefined ? carryOut(run, own) : settle(run, outcome, led)
      }
    )
  })

/** No node serves the lookup: the effect runs without the cache, unless that is an error. */
const outageOfLookup = <A, E, R, F>(
  run: Run<A, E, R, F>,
  error: NoMoreServers
): Effect.Effect<Outcome<A>, E | LookupError, R> => {
  if (run.freshness.onOutage === "fail" || hasHardTimeout(run)) return Effect.succeed({ _tag: "Outage", error })
  return compute(run, undefined, error)
}

export const hasHardTimeout = <A>({ freshness }: { readonly freshness: Freshness.Freshness<A> }) =>
  Number.isFinite(freshness.hard)

/** There is nothing to use: callers who have no limit of their own wait for the leader's effect. */
const missed = <A, E, R, F>(
  run: Run<A, E, R, F>,
  previous: StoredEntry.StoredEntry | undefined
): Effect.Effect<Outcome<A>, E | LookupError, R> =>
  hasHardTimeout(run) ? Effect.succeed({ _tag: "Missed", previous }) : compute(run, previous)

/** What this caller makes of what is stored. The leader's lookups are counted. */
export const decide = <A, E, R, F>(
  run: Run<A, E, R, F>,
  found: Option.Option<EntryStore.Found>,
  led: boolean
): Effect.Effect<Decision<A, F>, ParseError, R> => {
  const { failures, freshness } = run
  const count = (metric: typeof ClientMetrics.cacheAsideHits, type: CacheEvent["type"]) => {
    if (!led) return
    metric.unsafeUpdate(1, run.state.shared.registry)
    run.report(type)
  }
  const miss = (previous?: StoredEntry.StoredEntry): Decision<A, F> => {
    count(ClientMetrics.cacheAsideMisses, "Miss")
    return { _tag: "Run", previous }
  }
  const read = (entry: StoredEntry.StoredEntry, onValue: (value: A) => Decision<A, F>) =>
    Effect.map(
      EntryStore.recoverDecode(freshness.onDecodeError, run.entries.decode(entry.json)),
      Option.match({ onNone: () => miss(), onSome: onValue })
    )
  return Effect.flatMap(freshness.refreshAhead > 0 ? Random.next : Effect.succeed(1), (random) => {
    if (Option.isNone(found)) return Effect.succeed(miss())
    const verdict = Freshness.judge(found.value, now(run), freshness, random)
    switch (verdict._tag) {
      case "Broken":
        return freshness.onDecodeError === "fail" ? Effect.fail(verdict.error) : Effect.succeed(miss())
      case "Over":
        return Effect.succeed(miss(verdict.entry))
      case "Failure":
        // A failure that cannot be read is as good as none: the effect gives a new one.
        return failures === undefined
          ? Effect.succeed(miss())
          : Effect.map(
              EntryStore.recoverDecode("miss", failures.decode(verdict.entry.json)),
              Option.match({
                onNone: () => miss(),
                onSome: (error): Decision<A, F> => {
                  count(ClientMetrics.cacheAsideNegativeHits, "NegativeHit")
                  return { _tag: "Answer", exit: Exit.fail(error) }
                }
              })
            )
      case "Fresh":
        return read(verdict.entry, (value) => {
          count(ClientMetrics.cacheAsideHits, "Hit")
          return { _tag: "Answer", exit: Exit.succeed(value), early: verdict.early ? verdict.entry : undefined }
        })
      case "Stale":
        return read(verdict.entry, (value) => {
          count(ClientMetrics.cacheAsideStaleHits, "Stale")
          return { _tag: "Stale", value, entry: verdict.entry }
        })
    }
  })
}

export const carryOut = <A, E, R, F>(
  run: Run<A, E, R, F>,
  decision: Decision<A, F>
): Effect.Effect<A, E | F | LookupError, R> => {
  switch (decision._tag) {
    case "Answer":
      return decision.early === undefined ? decision.exit : Effect.zipRight(refresh(run, decision.early), decision.exit)
    case "Stale":
      return Effect.flatMap(refresh(run, decision.entry), (call) =>
        run.freshness.soft === 0
          ? Effect.succeed(decision.value)
          : Calls.of(run.state.shared)
              .wait<Outcome<A>, E | LookupError>(run.clock, call, run.freshness.soft)
              .pipe(
                Effect.flatMap(
                  Option.match({
                    onNone: () => Effect.succeed(decision.value),
                    onSome: (outcome) => {
                      run.refreshed?.()
                      return settle(run, outcome, false)
                    }
                  })
                ),
                // That the refresh has failed is logged; the stale value stays.
                Effect.catchAllCause((cause) =>
                  Cause.isInterruptedOnly(cause) ? Effect.failCause(cause) : Effect.succeed(decision.value)
                )
              )
      )
    case "Run":
      return Effect.flatMap(compute(run, decision.previous), (outcome) => settle(run, outcome, true))
  }
}

/** What this caller makes of a shared outcome. The leader has the value itself, the others have copies of their own. */
export const settle = <A, E, R, F>(
  run: Run<A, E, R, F>,
  outcome: Outcome<A>,
  led: boolean
): Effect.Effect<A, E | F | LookupError, R> => {
  switch (outcome._tag) {
    case "Outage":
      return run.freshness.onOutage === "fail"
        ? Effect.fail(outcome.error)
        : Effect.flatMap(compute(run, undefined, outcome.error), (own) => settle(run, own, true))
    case "Missed":
      return Effect.flatMap(compute(run, outcome.previous), (own) => settle(run, own, true))
    case "Read":
      StorableJson.freeze(outcome.found.json)
      return Effect.flatMap(decide(run, Option.some(outcome.found), false), (decision) => carryOut(run, decision))
    case "Ran": {
      const { json, outage, value } = outcome
      if (Option.isSome(outage) && run.freshness.onOutage === "fail") return Effect.fail(outage.value)
      if (led) return Effect.succeed(value)
      return Effect.flatMap(
        Option.isSome(json) ? Effect.succeed(json.value) : run.entries.encode(run.key, value),
        (json) => {
          StorableJson.freeze(json)
          return run.entries.decode(json)
        }
      )
    }
  }
}

/** Runs the effect, together with all callers of the key. In an outage of the lookup, nothing is stored. */
export const compute = <A, E, R, F>(
  run: Run<A, E, R, F>,
  previous: StoredEntry.StoredEntry | undefined,
  outage?: NoMoreServers
): Effect.Effect<Outcome<A>, E | LookupError, R> => {
  const calls = Calls.of(run.state.shared)
  const { hard } = run.freshness
  const lead = (call: Calls.Call) => load(run, call, previous, outage)
  if (!Number.isFinite(hard)) {
    return Effect.flatMap(calls.share(run.clock, run.key, run.runVariant, lead), ([outcome, led]) =>
      led ? Effect.succeed(outcome) : copied(run, outcome)
    )
  }
  const options = {
    limit: hard + backgroundLimit,
    onLimit: Outage.recordAbandoned(run.db, run.key),
    joinableFor: Number.POSITIVE_INFINITY,
    keep: false
  }
  return inBackground(run, options, (call) => Effect.asSome(lead(call))).pipe(
    Effect.flatMap((call) => calls.wait<Outcome<A>, E | LookupError>(run.clock, call, hard)),
    Effect.flatMap(
      Option.match({
        onNone: () => {
          run.report("TimedOut")
          return Effect.fail(new LoadTimeout({ key: run.key, waited: hard }))
        },
        onSome: (outcome) => copied(run, outcome)
      })
    )
  )
}

/** A copy of its own for a caller who has waited for another's value. */
export const copied = <A, E, R, F>(
  run: Run<A, E, R, F>,
  outcome: Outcome<A>
): Effect.Effect<Outcome<A>, LookupError, R> =>
  outcome._tag === "Ran" && Option.isSome(outcome.json)
    ? Effect.map(run.entries.decode(outcome.json.value), (value) => ({ ...outcome, value }))
    : Effect.succeed(outcome)

/**
 * Starts work that outlives its caller: in the client's scope, and with a scope of its own in the place of the caller's,
 * which may close before it ends.
 */
const inBackground = <A, E, R, F>(
  { clock, key, runVariant, state }: Run<A, E, R, F>,
  options: Calls.BackgroundOptions,
  lead: (call: Calls.Call) => Effect.Effect<Option.Option<Outcome<A>>, E | LookupError, R>
): Effect.Effect<Calls.Call, never, R> =>
  Calls.of(state.shared).background<Outcome<A>, E | LookupError, R>(
    clock,
    key,
    runVariant,
    options,
    (effect) => state.fork(effect),
    (call) => Effect.scopedWith((scope) => Effect.provideService(lead(call), Scope.Scope, scope))
  )

/** Refreshes a value in the background, unless that is under way. */
const refresh = <A, E, R, F>(
  run: Run<A, E, R, F>,
  entry: StoredEntry.StoredEntry
): Effect.Effect<Calls.Call, never, R> => {
  const { db, freshness, key, state } = run
  const { lock } = freshness
  const newer = (found: EntryStore.Found): Option.Option<Outcome<A>> => {
    const verdict = Freshness.judge(found, now(run), freshness, 1)
    return verdict._tag === "Fresh" && verdict.entry.expiresAt !== entry.expiresAt
      ? Option.some({ _tag: "Read", found })
      : Option.none()
  }
  const options = {
    limit: backgroundLimit,
    onLimit: Outage.recordAbandoned(db, key),
    joinableFor: Math.max(entry.expiresAt + freshness.staleFor - now(run), 0),
    keep: true
  }
  return inBackground(run, options, (call) => {
    const compute = execute(run, call, { previous: entry, isRefresh: true })
    const guarded =
      lock === undefined
        ? Effect.asSome(compute)
        : Lock.tryWithLock({
            db,
            key,
            options: lock,
            lookup: Effect.map(run.entries.find(db, key), Option.flatMap(newer)),
            compute
          })
    return guarded.pipe(
      Effect.map((refreshed) => {
        if (Option.isSome(refreshed)) state.events.emit("Refreshed", key)
        return refreshed
      }),
      Effect.tapErrorCause((cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.void
        state.events.emit("RefreshFailed", key)
        return Outage.recordFailedRefresh(db, cause)
      })
    )
  })
}

/** Runs the effect when it is this process's turn, unless another process has left an answer meanwhile. */
const load = <A, E, R, F>(
  run: Run<A, E, R, F>,
  call: Calls.Call,
  previous: StoredEntry.StoredEntry | undefined,
  outage: NoMoreServers | undefined
): Effect.Effect<Outcome<A>, E | LookupError, R> => {
  const { db, entries, freshness, key } = run
  if (freshness.lock === undefined || outage !== undefined) return execute(run, call, { previous, outage })
  const answered = Effect.flatMap(entries.find(db, key), (found) =>
    Option.isNone(found)
      ? Effect.succeedNone
      : Effect.map(decide(run, found, false), (decision) =>
          decision._tag === "Answer" ? Option.some<Outcome<A>>({ _tag: "Read", found: found.value }) : Option.none()
        )
  )
  return Lock.withLock({
    db,
    key,
    options: freshness.lock,
    lookup: answered,
    compute: (reachable) => execute(run, call, { previous, awaitStore: reachable || freshness.onOutage === "fail" }),
    onOutage: (error) => (freshness.onOutage === "fail" ? Effect.fail(error) : Outage.record(db, error))
  })
}

/** Stores a value in the background, unless its key is written meanwhile. */
const storeLater = <A, E, R, F>(run: Run<A, E, R, F>, call: Calls.Call, value: A, time: LoadedValues.LoadTime) =>
  Effect.suspend(() => {
    if (call.detached) return Effect.void
    const calls = Calls.of(run.state.shared)
    const own = calls.begin(run.key)
    return Effect.asVoid(
      run.state.fork(
        Effect.ensuring(
          LoadedValues.store(run, [{ call: own, value }], time),
          Effect.sync(() => calls.end(own))
        )
      )
    )
  })

interface ExecuteOptions {
  readonly previous: StoredEntry.StoredEntry | undefined
  /** The lookup was in an outage: nothing is stored. */
  readonly outage?: NoMoreServers | undefined
  readonly isRefresh?: boolean
  /** Whether the caller waits until the value is stored. Default true. */
  readonly awaitStore?: boolean
}

/** Runs the effect, and stores what it gives. */
const execute = <A, E, R, F>(
  run: Run<A, E, R, F>,
  call: Calls.Call,
  { awaitStore = true, isRefresh = false, outage, previous }: ExecuteOptions
): Effect.Effect<Outcome<A>, E | LookupError, R> =>
  Effect.gen(function* () {
    const { clock, db, entries, freshness } = run
    if (outage !== undefined && freshness.onOutage === "run") {
      run.state.events.emit("Outage", run.key)
      yield* Outage.record(db, outage)
    }
    const old =
      run.wantsPrevious && previous !== undefined
        ? yield* Effect.orDie(EntryStore.recoverDecode("miss", entries.decode(previous.json)))
        : Option.none<A>()
    const start = yield* Stamps.begin(db)
    const startedAt = clock.unsafeCurrentTimeNanos()
    const value = yield* Effect.tapError(run.effect(old), (error) =>
      // A value that may still be served is worth more than a failure.
      isRefresh || outage !== undefined ? Effect.void : LoadedValues.remember(run, [call], error)
    )
    if (outage !== undefined) {
      return LoadedValues.ran(value, Option.none(), Option.some(outage))
    }
    const took =
      freshness.refreshAhead > 0 ? Math.max(Math.round(Number(clock.unsafeCurrentTimeNanos() - startedAt) / 1e6), 1) : 0
    const time = { start, took }
    if (!awaitStore) {
      yield* storeLater(run, call, value, time)
      return LoadedValues.ran(value)
    }
    const [stored = Exit.succeed(LoadedValues.ran(value))] = yield* LoadedValues.store(run, [{ call, value }], time)
    return yield* stored
  })
