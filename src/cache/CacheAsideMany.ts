/** Cache-aside for many keys as one operation: one lookup of all, one load of those that it does not answer, one write. */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import * as BulkLoader from "./BulkLoader.js"
import * as CacheAside from "./CacheAside.js"
import * as Calls from "./Calls.js"
import type * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as Immediate from "./Immediate.js"
import * as LoadedValues from "./LoadedValues.js"
import * as ManyKeys from "./ManyKeys.js"
import * as Outage from "./Outage.js"
import * as PerClient from "./PerClient.js"
import * as Stamps from "./Stamps.js"
import * as StorableJson from "./StorableJson.js"
import type * as StoredEntry from "./StoredEntry.js"

/** A lookup of many keys, and the loader that gives the values where there are none. */
export interface LookupMany<A, E, R, F>
  extends Omit<CacheAside.Lookup<A, E, R, F>, "key" | "effect" | "wantsPrevious"> {
  /** Each once. */
  readonly keys: ReadonlyArray<string>
  /** The key with the store's prefix. */
  readonly keyOf: (key: string) => string
  readonly loader: BulkLoader.Loader<A, E, R>
}

/**
 * The values of the keys, from the cache or else from the loader, in the order of the keys; without those for which the
 * loader has none. Lookups and runs are shared with all who ask for the same keys at the same time, one by one as well.
 */
export const getOrElseMany = <A, E, R, F>(
  lookup: LookupMany<A, E, R, F>
): Effect.Effect<ReadonlyMap<string, A>, E | F | CacheAside.LookupError, R> =>
  Effect.withFiberRuntime((fiber) => {
    const { db, keys } = lookup
    if (keys.length === 0) return Effect.succeed(new Map<string, A>())
    const state = PerClient.of(db)
    const { answers } = new Batch(lookup, state, FiberServices.clockOf(fiber))
    return state.shared.isTraced(fiber)
      ? Effect.withSpan(answers, "ghostdb getOrElseMany", {
          attributes: { "db.system.name": "ghostdb", "db.operation.batch.size": keys.length },
          captureStackTrace: false
        })
      : answers
  })

/** What the keys of a batch can fail with. */
type Errors<E, F> = E | F | CacheAside.LookupError

/** What is shared of a key, or why there is nothing; absent where the loader has no value. */
type Shared<A, E> = Exit.Exit<CacheAside.Outcome<A>, E | CacheAside.LookupError> | undefined

/** A key that the loader is to give. */
interface Missing {
  readonly index: number
  /** Its lookup, where this caller leads it. */
  readonly lookup: Calls.Call | undefined
  readonly previous: StoredEntry.StoredEntry | undefined
  /** Why it could not be looked up: what is loaded is not stored. */
  readonly outage: NoMoreServers | undefined
}

/** What follows from what was found under a key. */
type Step<A, E, R, F> =
  | { readonly _tag: "Answer"; readonly exit: Exit.Exit<A, Errors<E, F>>; readonly shared: Shared<A, E> }
  /** The answer takes an effect, at once, or `waits`. */
  | {
      readonly _tag: "Effect"
      readonly effect: Effect.Effect<A, Errors<E, F>, R>
      readonly waits: boolean
      readonly shared: Shared<A, E>
    }
  | { readonly _tag: "Missing"; readonly missing: Omit<Missing, "index" | "lookup"> }

/** One batch under way. */
class Batch<A, E, R, F> {
  /** The keys with the store's prefix. */
  private readonly keys: ReadonlyArray<string>
  private readonly indices: ReadonlyMap<string, number>
  /** For keys that go the way of a single one: their effects are one load all the same. */
  private readonly loadOne: (key: string) => Effect.Effect<A, E, R>
  private readonly first: CacheAside.Run<A, E, R, F>
  /** None where the loader has no value. */
  private readonly exits: Array<Exit.Exit<A, Errors<E, F>> | undefined>
  private readonly waiting: Array<readonly [index: number, effect: Effect.Effect<A, Errors<E, F>, R>]> = []

  constructor(
    private readonly lookup: LookupMany<A, E, R, F>,
    private readonly state: PerClient.PerClient,
    private readonly clock: Clock.Clock
  ) {
    this.keys = lookup.keys.map(lookup.keyOf)
    this.indices = new Map(this.keys.map((key, index) => [key, index]))
    this.loadOne = BulkLoader.make(lookup.loader)
    const { db, entries, failures, freshness } = lookup
    const report = () => {}
    const effect = () => this.loadOne(lookup.keys[0] ?? "")
    const one = { db, entries, failures, freshness, effect, key: this.keys[0] ?? "", wantsPrevious: false }
    this.first = CacheAside.begin(one, state, clock, report)
    this.exits = new Array(this.keys.length)
  }

  get answers(): Effect.Effect<ReadonlyMap<string, A>, Errors<E, F>, R> {
    return Effect.gen(this, function* () {
      const { clock, keys, state } = this
      const results = yield* Calls.of(state.shared).shareMany<CacheAside.Outcome<A>, E | CacheAside.LookupError, R>(
        clock,
        keys,
        this.first.lookupVariant,
        (led) => this.lookUp(led)
      )
      const missing: Array<Missing> = []
      for (const [index, result] of results.entries()) {
        if (result.led || result.exit === undefined) continue
        ClientMetrics.cacheAsideShared.unsafeUpdate(1, state.shared.registry)
        state.events.emit("Shared", keys[index] ?? "")
        const step = yield* this.joined(index, result.exit)
        if (step._tag === "Missing") missing.push({ index, lookup: undefined, ...step.missing })
        else yield* this.take(index, step)
      }
      if (missing.length > 0) yield* this.load(missing)
      const waited = yield* exitsOf(this.waiting.map(([, effect]) => effect))
      for (const [at, [index]] of this.waiting.entries()) this.exits[index] = waited[at]
      const answers = new Map<string, A>()
      for (const [index, key] of this.lookup.keys.entries()) {
        const exit = this.exits[index]
        if (exit !== undefined) answers.set(key, yield* exit)
      }
      return answers
    })
  }

  /** Looks up the keys of the calls, and loads what is missing. Who waits for what was found does not wait for the rest. */
  private lookUp(led: ReadonlyArray<Calls.Call>): Effect.Effect<ReadonlyArray<Shared<A, E>>, never, R> {
    return Effect.gen(this, function* () {
      const found = yield* this.lookup.entries.findMany(
        this.lookup.db,
        led.map(({ key }) => key)
      )
      const fresh = yield* this.fresh(led, found)
      const shared: Array<Shared<A, E>> = []
      const missing: Array<Missing> = []
      const places: Array<number> = []
      for (const [at, call] of led.entries()) {
        const index = this.indices.get(call.key) ?? 0
        const step = fresh[at] ?? (yield* this.judge(index, found[at] ?? nothing))
        if (step._tag === "Missing") {
          missing.push({ index, lookup: call, ...step.missing })
          places.push(at)
        } else {
          shared[at] = step.shared
          Calls.of(this.state.shared).complete(call, step.shared)
          yield* this.take(index, step)
        }
      }
      if (missing.length === 0) return shared
      // Callers that have begun at the same time get to join.
      yield* Effect.yieldNow()
      for (const [at, exit] of (yield* this.load(missing)).entries()) shared[places[at] ?? 0] = exit
      return shared
    })
  }

  /** Those that are fresh, in one pass. */
  private fresh(
    led: ReadonlyArray<Calls.Call>,
    found: ReadonlyArray<Found>
  ): Effect.Effect<ReadonlyArray<Step<A, E, R, F> | undefined>, never, R> {
    const { entries, freshness } = this.lookup
    // Whether one is refreshed ahead is decided for each by itself.
    if (freshness.refreshAhead > 0) return Effect.succeed([])
    const now = this.clock.unsafeCurrentTimeMillis()
    const places: Array<readonly [at: number, found: EntryStore.Found]> = []
    const values: Array<Effect.Effect<A, unknown, R>> = []
    for (const [at, one] of found.entries()) {
      if (Either.isLeft(one) || Option.isNone(one.right)) continue
      const verdict = Freshness.judge(one.right.value, now, freshness, 1)
      if (verdict._tag !== "Fresh") continue
      places.push([at, one.right.value])
      const decoded = entries.decode(verdict.entry.json)
      // What a decoder has thrown is no more than a value that needs a second look.
      values.push(Immediate.resultOf(decoded) ? decoded : Effect.catchAllDefect(decoded, Effect.fail))
    }
    return Effect.map(ManyKeys.eithers(values), (decoded) => {
      const steps: Array<Step<A, E, R, F> | undefined> = []
      let hits = 0
      for (const [i, [at, found]] of places.entries()) {
        const value = decoded[i]
        if (value === undefined || Either.isLeft(value)) continue
        steps[at] = { _tag: "Answer", exit: Exit.succeed(value.right), shared: read(found) }
        this.state.events.emit("Hit", led[at]?.key ?? "")
        hits++
      }
      ClientMetrics.cacheAsideHits.unsafeUpdate(hits, this.state.shared.registry)
      return steps
    })
  }

  /** What follows from what a node has, or from that there is none. */
  private judge(index: number, one: Found, led = true): Effect.Effect<Step<A, E, R, F>, never, R> {
    if (Either.isLeft(one)) {
      if (one.left._tag === "NoMoreServers") return Effect.succeed(this.outage(index, one.left))
      return Effect.succeed({ _tag: "Answer", exit: Exit.fail(one.left), shared: Exit.fail(one.left) })
    }
    const run = this.run(index)
    return Effect.map(
      Effect.exit(CacheAside.decide(run, one.right, led)),
      Exit.match({
        onFailure: (cause): Step<A, E, R, F> => {
          const exit = Exit.failCause(cause)
          return { _tag: "Answer", exit, shared: exit }
        },
        onSuccess: (decision) => {
          if (decision._tag === "Run" || Option.isNone(one.right)) {
            return this.missed(index, decision._tag === "Run" ? decision.previous : undefined)
          }
          const effect = CacheAside.carryOut(run, decision)
          const waits = decision._tag === "Stale" && this.lookup.freshness.soft > 0
          return { _tag: "Effect", effect, waits, shared: read(one.right.value) }
        }
      })
    )
  }

  /** What follows from what another caller has found. */
  private joined(
    index: number,
    exit: Exit.Exit<CacheAside.Outcome<A>, E | CacheAside.LookupError>
  ): Effect.Effect<Step<A, E, R, F>, never, R> {
    if (Exit.isFailure(exit)) {
      return Effect.succeed({ _tag: "Answer", exit: Exit.failCause(exit.cause), shared: undefined })
    }
    const outcome = exit.value
    switch (outcome._tag) {
      case "Read":
        StorableJson.freeze(outcome.found.json)
        return this.judge(index, Either.right(Option.some(outcome.found)), false)
      case "Outage":
        return Effect.succeed(this.outage(index, outcome.error))
      case "Missed":
        return Effect.succeed(this.missed(index, outcome.previous))
      case "Ran": {
        const effect = CacheAside.settle(this.run(index), outcome, false)
        return Effect.succeed({ _tag: "Effect", effect, waits: false, shared: undefined })
      }
    }
  }

  private outage(index: number, error: NoMoreServers): Step<A, E, R, F> {
    const isError = this.lookup.freshness.onOutage === "fail"
    if (!isError && !CacheAside.hasHardTimeout(this.lookup)) {
      return { _tag: "Missing", missing: { previous: undefined, outage: error } }
    }
    const outcome = { _tag: "Outage", error } as const
    const effect = CacheAside.settle(this.run(index), outcome, true)
    return { _tag: "Effect", effect, waits: !isError, shared: Exit.succeed(outcome) }
  }

  private missed(index: number, previous: StoredEntry.StoredEntry | undefined): Step<A, E, R, F> {
    if (!CacheAside.hasHardTimeout(this.lookup)) return { _tag: "Missing", missing: { previous, outage: undefined } }
    const outcome = { _tag: "Missed", previous } as const
    const effect = CacheAside.settle(this.run(index), outcome, true)
    return { _tag: "Effect", effect, waits: true, shared: Exit.succeed(outcome) }
  }

  private take(index: number, step: Exclude<Step<A, E, R, F>, { _tag: "Missing" }>): Effect.Effect<void, never, R> {
    if (step._tag === "Effect" && !step.waits) {
      return Effect.map(Effect.exit(step.effect), (exit) => {
        this.exits[index] = exit
      })
    }
    if (step._tag === "Answer") this.exits[index] = step.exit
    else this.waiting.push([index, step.effect])
    return Effect.void
  }

  /** Runs the loader for those that no other caller loads, and waits for the others. */
  private load(missing: ReadonlyArray<Missing>): Effect.Effect<ReadonlyArray<Shared<A, E>>, never, R> {
    return Effect.gen(this, function* () {
      const shared = yield* this.lookup.freshness.lock === undefined ? this.share(missing) : this.loadLocked(missing)
      for (const [at, { index }] of missing.entries()) {
        const exit = shared[at]
        if (exit === undefined) continue
        if (Exit.isFailure(exit)) this.exits[index] = Exit.failCause(exit.cause)
        else this.exits[index] = yield* Effect.exit(CacheAside.settle(this.run(index), exit.value, true))
      }
      return shared
    })
  }

  private share(missing: ReadonlyArray<Missing>): Effect.Effect<ReadonlyArray<Shared<A, E>>, never, R> {
    const byKey = new Map(missing.map((one) => [this.keys[one.index] ?? "", one]))
    const loaded = Calls.of(this.state.shared).shareMany<CacheAside.Outcome<A>, E | CacheAside.LookupError, R>(
      this.clock,
      [...byKey.keys()],
      this.first.runVariant,
      (led) =>
        this.execute(
          led.flatMap((call) => {
            const one = byKey.get(call.key)
            return one === undefined ? [] : [{ ...one, call }]
          })
        )
    )
    return Effect.flatMap(loaded, (results) =>
      Effect.forEach(results, ({ exit, led }, at): Effect.Effect<Shared<A, E>, never, R> => {
        if (led || exit === undefined || Exit.isFailure(exit)) return Effect.succeed(exit)
        return Effect.exit(CacheAside.copied(this.run(missing[at]?.index ?? 0), exit.value))
      })
    )
  }

  /** Locks are for one key each. */
  private loadLocked(missing: ReadonlyArray<Missing>): Effect.Effect<ReadonlyArray<Shared<A, E>>, never, R> {
    return exitsOf(missing.map(({ index, outage, previous }) => CacheAside.compute(this.run(index), previous, outage)))
  }

  /** Runs the loader, and stores what it gives. */
  private execute(
    led: ReadonlyArray<Missing & { readonly call: Calls.Call }>
  ): Effect.Effect<ReadonlyArray<Shared<A, E>>, never, R> {
    return Effect.gen(this, function* () {
      const { db, freshness, keys, loader } = this.lookup
      yield* this.recordOutages(led)
      const storable = led.filter(({ outage }) => outage === undefined)
      const start = yield* Stamps.begin(db)
      const startedAt = this.clock.unsafeCurrentTimeNanos()
      const exit = yield* Effect.suspend(() => loader(led.map(({ index }) => keys[index] ?? ""))).pipe(
        Effect.map((values) => new Map(values)),
        Effect.exit
      )
      const shared: Array<Shared<A, E>> = []
      if (Exit.isFailure(exit)) {
        const error = Cause.failureOption(exit.cause)
        const calls = storable.map(({ call }) => call)
        if (Option.isSome(error)) yield* LoadedValues.remember(this.first, calls, error.value)
        for (const at of led.keys()) shared[at] = Exit.failCause(exit.cause)
      } else {
        const took = Number(this.clock.unsafeCurrentTimeNanos() - startedAt) / 1e6
        const valueOf = ({ index }: Missing) => {
          const key = keys[index] ?? ""
          // Where there is the key, there is a value of the type.
          return exit.value.has(key) ? [exit.value.get(key) as A] : []
        }
        const loaded = storable.flatMap((one) => valueOf(one).map((value) => ({ call: one.call, value })))
        const stored = yield* LoadedValues.store(this.first, loaded, {
          start,
          took: freshness.refreshAhead > 0 ? Math.max(Math.round(took), 1) : 0
        })
        let next = 0
        for (const [at, one] of led.entries()) {
          const [value] = valueOf(one).map((value) =>
            one.outage === undefined
              ? stored[next++]
              : Exit.succeed(LoadedValues.ran(value, Option.none(), Option.some(one.outage)))
          )
          shared[at] = value
        }
      }
      // Whoever waits for one of them does not wait for those that others load.
      for (const [at, { lookup }] of led.entries()) {
        if (lookup !== undefined) Calls.of(this.state.shared).complete(lookup, shared[at])
      }
      return shared
    })
  }

  private recordOutages(led: ReadonlyArray<Missing>): Effect.Effect<void> {
    const outages = led.flatMap(({ index, outage }) => (outage === undefined ? [] : [[index, outage] as const]))
    const [first] = outages
    if (first === undefined || this.lookup.freshness.onOutage !== "run") return Effect.void
    for (const [index] of outages) this.state.events.emit("Outage", this.keys[index] ?? "")
    return Outage.record(this.lookup.db, first[1], outages.length)
  }

  /** The lookup of one of the keys. */
  private run(index: number): CacheAside.Run<A, E, R, F> {
    const key = this.keys[index] ?? ""
    return {
      ...this.first,
      key,
      effect: () => this.loadOne(this.lookup.keys[index] ?? ""),
      report: (type) => this.state.events.emit(type, key)
    }
  }
}

type Found = Either.Either<Option.Option<EntryStore.Found>, KeyError | NoMoreServers>

const nothing: Found = Either.right(Option.none())

const read = (found: EntryStore.Found) => Exit.succeed({ _tag: "Read", found } as const)

/** The exits of effects that wait, each in a fiber of its own; none of one that has interrupted itself. */
const exitsOf = <A, E, R>(
  effects: ReadonlyArray<Effect.Effect<A, E, R>>
): Effect.Effect<ReadonlyArray<Exit.Exit<A, E> | undefined>, never, R> =>
  effects.length === 0
    ? Effect.succeed([])
    : Effect.scopedWith((scope) =>
        Effect.flatMap(
          Effect.forEach(effects, (effect) => Effect.forkIn(effect, scope)),
          Effect.forEach((fiber) =>
            Effect.map(Fiber.await(fiber), (exit) =>
              Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause) ? undefined : exit
            )
          )
        )
      )
