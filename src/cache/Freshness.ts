/** How long a value is good for, and what a found entry is worth at a moment. */

import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Random from "effect/Random"
import { DurationLike, Ttl } from "../model/Ttl.js"
import type { Found } from "./EntryStore.js"
import * as Lock from "./Lock.js"
import type { StoredEntry } from "./StoredEntry.js"
import type { ExactFreshnessOptions, FreshnessOptions, OnDecodeError, OnOutage } from "./StoreOptions.js"

/** The options of a call, with those of its store where it says nothing. Times in milliseconds. */
export interface Freshness<A> {
  /** Milliseconds, `Infinity` for never, 0 for "do not store". Throws where the option does. */
  readonly lifetimeOf: (value: A) => number
  /** The lifetime of all values where it is one; `Infinity` where it depends. */
  readonly longest: number
  readonly jitter: number
  readonly staleFor: number
  /** The beta of XFetch; 0 for no refresh ahead. */
  readonly refreshAhead: number
  readonly soft: number
  readonly hard: number
  /** Milliseconds that failures are remembered; 0 for not at all. */
  readonly failureLifetime: number
  readonly lock: Lock.LockSettings | undefined
  readonly tagsOf: (value: A) => ReadonlyArray<string>
  readonly onDecodeError: OnDecodeError
  readonly onOutage: OnOutage
}

/** All options at once, by whatever type they have been checked. */
export interface AnyOptions<A>
  extends FreshnessOptions<A, OnDecodeError | undefined, OnOutage | undefined, DurationLike | undefined>,
    Omit<ExactFreshnessOptions<A, never, never, never>, "failure"> {
  readonly failure?: { readonly ttl: Ttl } | undefined
}

const refuse = (problem: string) => new Cause.IllegalArgumentException(problem)

/** A TTL that may be 0, which is "do not store". */
const lifetime = (ttl: Ttl): number => {
  if (ttl === 0 || (Duration.isDuration(ttl) && Duration.toMillis(ttl) === 0)) return 0
  if (typeof ttl === "string" && Number.parseFloat(ttl) === 0) return 0
  return Ttl.toMillis(ttl)
}

const millis = (name: string, duration: DurationLike | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : DurationLike.toMillis(name, duration)

/**
 * The options in force. Throws, and so makes a defect of, options that cannot be used, before anything is looked up.
 */
export const resolve = <A>(options: AnyOptions<A>): Freshness<A> => {
  const { failure, jitter = 0, lock, refreshAhead = false, tags = [], timeout, ttl = Ttl.forever } = options
  if (!(jitter >= 0 && jitter <= 1)) throw refuse(`jitter is a share from 0 to 1, not ${jitter}`)
  const beta = refreshAhead === true ? 1 : refreshAhead === false ? 0 : refreshAhead
  if (!(beta >= 0 && Number.isFinite(beta))) throw refuse(`refreshAhead is a number, 0 or more, not ${beta}`)
  return {
    lifetimeOf: typeof ttl === "function" ? (value) => lifetime(ttl(value)) : () => lifetime(ttl),
    longest: typeof ttl === "function" ? Number.POSITIVE_INFINITY : lifetime(ttl),
    jitter,
    staleFor: millis("staleFor", options.staleFor, 0),
    refreshAhead: beta,
    soft: millis("timeout.soft", timeout?.soft, 0),
    hard: millis("timeout.hard", timeout?.hard, Number.POSITIVE_INFINITY),
    failureLifetime: failure === undefined ? 0 : lifetime(failure.ttl),
    lock: lock === undefined || lock === false ? undefined : Lock.resolve(lock === true ? {} : lock),
    tagsOf: typeof tags === "function" ? tags : () => tags,
    onDecodeError: options.onDecodeError ?? "fail",
    onOutage: options.onOutage ?? "run"
  }
}

/** A lifetime shortened at random. */
export const jittered = (lifetime: number, { jitter }: { readonly jitter: number }): Effect.Effect<number> =>
  jitter === 0 || !Number.isFinite(lifetime)
    ? Effect.succeed(lifetime)
    : Effect.map(Random.next, (random) => Math.max(lifetime * (1 - jitter * random), 1))

/** What an entry is worth. */
export type Verdict =
  /** `early`: to be refreshed ahead of its end. */
  | { readonly _tag: "Fresh"; readonly entry: StoredEntry; readonly early: boolean }
  | { readonly _tag: "Stale"; readonly entry: StoredEntry }
  | { readonly _tag: "Failure"; readonly entry: StoredEntry }
  | { readonly _tag: "Broken"; readonly error: ParseResult.ParseError }
  /** Nothing to use; an old value may be there all the same. */
  | { readonly _tag: "Over"; readonly entry: StoredEntry | undefined }

/**
 * Judges an entry at a time. `random` is from 0 to 1.
 *
 * XFetch: a value is refreshed ahead when `now - took * beta * ln(random)` is past its end. (Vattani, Chierichetti,
 * Lowenstein: Optimal Probabilistic Cache Stampede Prevention, 2015.)
 */
export const judge = (
  found: Found,
  now: number,
  { failureLifetime, refreshAhead, staleFor }: Pick<Freshness<never>, "failureLifetime" | "refreshAhead" | "staleFor">,
  random: number
): Verdict => {
  if (Either.isLeft(found.entry)) return { _tag: "Broken", error: found.entry.left }
  const entry = found.entry.right
  if (found.isEnded) return { _tag: "Over", entry }
  if (entry._tag === "Failure") {
    return now < entry.expiresAt && failureLifetime > 0
      ? { _tag: "Failure", entry }
      : { _tag: "Over", entry: undefined }
  }
  if (now < entry.expiresAt) {
    const ahead = entry.took * refreshAhead * Math.log(Math.max(random, Number.MIN_VALUE))
    return { _tag: "Fresh", entry, early: ahead < 0 && now - ahead >= entry.expiresAt }
  }
  return now < entry.expiresAt + staleFor ? { _tag: "Stale", entry } : { _tag: "Over", entry }
}
