import type * as Duration from "effect/Duration"
import type { ParseError } from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { ToJson } from "../model/Json.js"
import type { Ttl } from "../model/Ttl.js"
import type { LockOptions } from "./Lock.js"

/**
 * Who decides that an entry has expired: the server, late and with every read anew, or the `Clock`, to the millisecond.
 */
export type Expiry = "server" | "exact"

/** What becomes of a stored value that does not decode. */
export type OnDecodeError = "fail" | "miss"

/** What becomes of a lookup when no node serves it. */
export type OnOutage = "run" | "fail"

/** How a {@link Store} keeps its values. */
export interface StoreOptions<D extends OnDecodeError = OnDecodeError, X extends Expiry = Expiry> {
  /** Put in front of each key. Default: nothing. */
  readonly prefix?: string | undefined
  /** The TTL of values that are stored without one. Default -1: they never expire. */
  readonly ttl?: Ttl | undefined
  /**
   * `"server"` stores the value's JSON and nothing else; real servers expire late, and anew after every read.
   *
   * `"exact"` stores `{ "value": <JSON>, "expiresAt": <milliseconds since the epoch, or null> }` and honours it by the
   * `Clock`; the server has it for a minute longer. Clocks of the processes that share entries should agree.
   *
   * Default `"server"`.
   */
  readonly expiry?: X | undefined
  /**
   * `"fail"`: a stored value that does not decode is a `ParseError`. `"miss"`: it is as if there were none, so that old
   * entries do not break a deploy that changes the schema. Default `"fail"`.
   */
  readonly onDecodeError?: D | undefined
}

/** The errors of decoding that remain. */
export type DecodeError<D extends OnDecodeError> = D extends "miss" ? never : ParseError

/** The errors of outages that remain. */
export type OutageError<O extends OnOutage> = O extends "run" ? never : NoMoreServers

/** Refuses, by a type that is shown, a schema whose encoded side JSON cannot hold. */
export type JsonEncoded<I> = [I] extends [ToJson<I>] ? unknown : NotJsonEncoded<I>

/** The type of a schema whose encoded side JSON cannot hold. */
export interface NotJsonEncoded<I> {
  readonly "the encoded side of the schema must be JSON": ToJson<I>
}

/** How one {@link Store.getOrElse} goes. */
export interface CacheAsideOptions<A, O extends OnOutage = OnOutage> {
  /** The TTL of the value, or of each value: short for an absence, for instance. Default: the store's. */
  readonly ttl?: Ttl | ((value: A) => Ttl) | undefined
  /**
   * Whether processes take turns: one runs the effect, the others wait for what it stores. A guard against stampedes
   * and no mutual exclusion: see {@link LockOptions}. Default `false`.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * `"run"`: when no node serves the lookup, the effect runs all the same and its value is not stored; that is counted,
   * and logged once a minute. `"fail"`: a lookup or a store that no node serves is a `NoMoreServers`. Default `"run"`.
   */
  readonly onOutage?: O | undefined
}

/** What only a store with exact expiry can do: a server that expires late and slides would keep these for ever. */
export interface ExactCacheAsideOptions<F, FI, FR> {
  /**
   * For how long a value that has expired is served at once, while it is refreshed in the background, once at a time.
   * A refresh ends with the layer of the client. Default: not at all.
   */
  readonly staleFor?: Duration.DurationInput | undefined
  /** Failures of the effect that are remembered: those of this schema, for this TTL. Default: none. */
  readonly failure?: { readonly schema: Schema.Schema<F, FI, FR> & JsonEncoded<FI>; readonly ttl: Ttl } | undefined
}

/** The type of an option that a store without exact expiry does not have. */
export interface NeedsExactExpiry {
  readonly 'needs a store with expiry: "exact"': never
}

/** The options of {@link Store.getOrElse} in a store of one expiry. */
export type GetOrElseOptions<A, X extends Expiry, O extends OnOutage, F, FI, FR> = CacheAsideOptions<A, O> &
  ([X] extends ["exact"]
    ? ExactCacheAsideOptions<F, FI, FR>
    : { readonly staleFor?: NeedsExactExpiry | undefined; readonly failure?: NeedsExactExpiry | undefined })

/** How `GhostDB.cached` keeps one value, and how its lookup goes. */
export type CachedOptions<
  A,
  I,
  R,
  D extends OnDecodeError,
  X extends Expiry,
  O extends OnOutage,
  F,
  FI,
  FR
> = GetOrElseOptions<A, X, O, F, FI, FR> & {
  /** The schema of the value. */
  readonly schema: Schema.Schema<A, I, R> & JsonEncoded<I>
  /** @see StoreOptions.expiry */
  readonly expiry?: X | undefined
  /** @see StoreOptions.onDecodeError */
  readonly onDecodeError?: D | undefined
}
