import type { ParseError } from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type { NoMoreServers } from "../model/GhostDBError.js"
import type { Reason, ToJson } from "../model/Json.js"
import type { DurationLike, Ttl } from "../model/Ttl.js"
import type { LoadTimeout } from "./LoadTimeout.js"
import type { LockOptions } from "./Lock.js"

/**
 * Who decides that an entry has expired: the server, late and with every read anew, or the `Clock`, to the millisecond.
 *
 * @category options
 * @since 0.1.0
 */
export type Expiry = "server" | "exact"

/**
 * What becomes of a stored value that does not decode.
 *
 * @category options
 * @since 0.1.0
 */
export type OnDecodeError = "fail" | "miss"

/**
 * What becomes of a lookup when no node serves it.
 *
 * @category options
 * @since 0.1.0
 */
export type OnOutage = "run" | "fail"

/**
 * For how long callers wait for the effect.
 *
 * @category options
 * @since 0.1.0
 */
export interface TimeoutOptions<H extends DurationLike | undefined = DurationLike | undefined> {
  /**
   * A caller with a stale value (`staleFor`) waits this long for a new one, and then has the stale one, while the effect
   * goes on. Default: it has the stale one at once.
   */
  readonly soft?: DurationLike | undefined
  /**
   * A caller waits this long for the effect, and then fails with `LoadTimeout`. The effect goes on in the background for
   * a minute at most, and its value is stored. Default: as long as the effect takes.
   */
  readonly hard?: H
}

/**
 * What is remembered of the effect's failures.
 *
 * @category options
 * @since 0.1.0
 */
export interface FailureOptions<F, FI, FR> {
  /** Failures that this schema accepts are remembered, others are not. */
  readonly schema: Schema.Schema<F, FI, FR> & JsonEncoded<FI>
  /** 0: not at all. */
  readonly ttl: Ttl
}

/**
 * How values stay fresh, in stores of either expiry: options of a store, and of each call.
 *
 * @category options
 * @since 0.1.0
 */
export interface FreshnessOptions<
  A,
  D extends OnDecodeError | undefined = OnDecodeError,
  O extends OnOutage | undefined = OnOutage,
  H extends DurationLike | undefined = DurationLike | undefined
> {
  /**
   * The TTL of the values, or of each value: short for an absence, for instance. 0, of a value of `getOrElse`: it is
   * returned and not stored. Default -1: values never expire.
   */
  readonly ttl?: Ttl | ((value: A) => Ttl) | undefined
  /**
   * By which share of itself, from 0 to 1, a TTL is shortened at random, so that entries that were stored together do not
   * expire together. Default 0.
   */
  readonly jitter?: number | undefined
  /** For how long callers wait for the effect. Default: as long as it takes. */
  readonly timeout?: TimeoutOptions<H> | undefined
  /**
   * Whether processes take turns: one runs the effect, the others wait for what it stores. A guard against stampedes
   * and no mutual exclusion: see {@link LockOptions}. Default `false`: it costs three commands a miss.
   */
  readonly lock?: boolean | LockOptions | undefined
  /**
   * `"fail"`: a stored value that does not decode is a `ParseError`. `"miss"`: it is as if there were none, so that old
   * entries do not break a deploy that changes the schema. Default `"fail"`: it does not hide a wrong schema.
   */
  readonly onDecodeError?: D
  /**
   * `"run"`: when no node serves the lookup, the effect runs all the same and its value is not stored; that is counted,
   * and logged once a minute. `"fail"`: a lookup or a store that no node serves is a `NoMoreServers`. Default `"run"`: a
   * cache is there to be done without.
   */
  readonly onOutage?: O
}

/**
 * What only a store with exact expiry can do: a server that expires late, and anew after each read, would never end.
 *
 * @category options
 * @since 0.1.0
 */
export interface ExactFreshnessOptions<A, F, FI, FR> {
  /**
   * For how long a value that has expired is served at once, while it is refreshed in the background, once at a time.
   * Past that, callers run the effect. A refresh runs in a scope of its own, with the other services of the caller that
   * has begun it; it ends after a minute, and with the layer of the client. Default: not at all.
   */
  readonly staleFor?: DurationLike | undefined
  /**
   * Refreshes a value in the background before it expires, the likelier the nearer its end and the longer the effect
   * takes, so that no caller waits and processes need not agree (XFetch: Vattani et al. 2015). A number is its `beta`:
   * more than 1 refreshes earlier. Default `false`.
   */
  readonly refreshAhead?: boolean | number | undefined
  /** Failures of the effect that are remembered. A value that may still be served is never lost to one. Default: none. */
  readonly failure?: FailureOptions<F, FI, FR> | undefined
  /**
   * Tags of the values, or of each value: `GhostDB.expireTags` ends all entries with a tag. Each lookup of an entry costs
   * one more per tag. Default: none.
   */
  readonly tags?: ReadonlyArray<string> | ((value: A) => ReadonlyArray<string>) | undefined
}

/**
 * The type of an option that a store without exact expiry does not have.
 *
 * @category types
 * @since 0.1.0
 */
export interface NeedsExactExpiry {
  readonly 'needs a store with expiry: "exact"': never
}

/**
 * The options that a store of one expiry has besides {@link FreshnessOptions}.
 *
 * @category types
 * @since 0.1.0
 */
export type OptionsByExpiry<A, X extends Expiry, F, FI, FR> = [X] extends ["exact"]
  ? ExactFreshnessOptions<A, F, FI, FR>
  : { readonly [K in keyof ExactFreshnessOptions<A, F, FI, FR>]?: NeedsExactExpiry | undefined }

/**
 * How a `Store` keeps its values.
 *
 * @category options
 * @since 0.1.0
 */
export type StoreOptions<
  A = unknown,
  D extends OnDecodeError = OnDecodeError,
  X extends Expiry = Expiry,
  O extends OnOutage | undefined = OnOutage,
  H extends DurationLike | undefined = DurationLike | undefined,
  F = never,
  FI = never,
  FR = never
> = StoreKeyOptions<X> & FreshnessOptions<A, D, O, H> & OptionsByExpiry<A, X, F, FI, FR>

/**
 * Where a store keeps its values, and how they are written.
 *
 * @category options
 * @since 0.1.0
 */
export interface StoreKeyOptions<X extends Expiry> {
  /** Put in front of each key. Default: nothing. */
  readonly prefix?: string | undefined
  /**
   * `"server"` stores the value's JSON and nothing else, which other SDKs read; real servers expire late, and anew after
   * every read.
   *
   * `"exact"` stores `{ "value": <JSON>, "expiresAt": <milliseconds since the epoch, or null> }` and honours it by the
   * `Clock`; the server has it for a minute longer. Clocks of the processes that share entries should agree.
   *
   * Default `"server"`.
   */
  readonly expiry?: X | undefined
  /**
   * Whether the store can be cleared: `clear` ends all its entries, for all processes. Each lookup costs one more, of the
   * stamp that says so. Only with exact expiry, and with a prefix. Default `false`.
   */
  readonly clearable?: boolean | undefined
}

/**
 * The errors of decoding that remain.
 *
 * @category types
 * @since 0.1.0
 */
export type DecodeError<D extends OnDecodeError> = D extends "miss" ? never : ParseError

/**
 * The errors of decoding that remain in a call that may say otherwise than its store, whose error is `E`.
 *
 * @category types
 * @since 0.1.0
 */
export type CallDecodeError<E, D extends OnDecodeError | undefined> = D extends OnDecodeError ? DecodeError<D> : E

/**
 * The errors of outages that remain.
 *
 * @category types
 * @since 0.1.0
 */
export type OutageError<O extends OnOutage | undefined> = O extends "fail" ? NoMoreServers : never

/**
 * The error of a hard timeout, where there is one.
 *
 * @category types
 * @since 0.1.0
 */
export type TimeoutError<H extends DurationLike | undefined> = [H] extends [undefined] ? never : LoadTimeout

/**
 * Refuses, by a type that is shown, a schema whose encoded side JSON cannot hold. A function that is generic in the schema
 * asks for it as well, and so hands it on:
 *
 * @example
 * import type { Schema } from "effect"
 * import { GhostDB, type JsonEncoded } from "effect-ghostdb"
 *
 * const storeOf = <A, I>(schema: Schema.Schema<A, I> & JsonEncoded<I>, prefix: string) =>
 *   GhostDB.forSchema(schema, { prefix, ttl: "5 minutes" })
 *
 * @category types
 * @since 0.1.0
 */
export type JsonEncoded<I> = [I] extends [ToJson<I>] ? unknown : NotJsonEncoded<Reason<I, "encoded">>

/**
 * The type of a schema whose encoded side JSON cannot hold; `Why` says which part of it.
 *
 * @category types
 * @since 0.1.0
 */
export interface NotJsonEncoded<Why extends string = string> {
  readonly "the encoded side of the schema must be JSON": Why
}

/**
 * What a store's writes take: `"instances"`, of a `Schema.Class`, whose plain look-alikes it could not encode; all values of
 * the type otherwise.
 *
 * @category types
 * @since 0.1.0
 */
export type Written = "instances" | "values"

/**
 * What the writes of a schema's store take. `S` is the schema's own type.
 *
 * @category types
 * @since 0.1.0
 */
export type WrittenOf<A, S> = S extends {
  readonly fields: Schema.Struct.Fields
  readonly identifier: string
} & (abstract new (
  ...args: never
) => A)
  ? "instances"
  : Written

/**
 * Refuses, by a type that is shown, a plain object in the place of an instance of `A`. The compiler compares the members of
 * types, and those of an instance of a `Schema.Class` are read-only; in an object literal, or a copy by spreading, they are
 * not. What is declared as read-only members it cannot tell apart, nor a plain object deeper in a value.
 *
 * @category types
 * @since 0.1.0
 */
export type Instance<A, V, W extends Written> = [W] extends ["instances"]
  ? [V] extends [never]
    ? unknown
    : 0 extends V & 1
      ? unknown
      : [Exclude<MutableKeys<V>, MutableKeys<A>> & keyof A] extends [never]
        ? unknown
        : PlainObject<A>
  : unknown

/**
 * The type of a plain object in the place of an instance of `A`.
 *
 * @category types
 * @since 0.1.0
 */
export interface PlainObject<A> {
  readonly "a plain object is no instance of the class: make one by `new`": A
}

type MutableKeys<V> = {
  [K in keyof V]-?: Identical<{ readonly [P in K]: V[P] }, Pick<V, K>> extends true ? never : K
}[keyof V]

type Identical<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/**
 * How one `Store.getOrElse` goes: what is not said here is as the store has it.
 *
 * @category options
 * @since 0.1.0
 */
export type GetOrElseOptions<
  A,
  X extends Expiry,
  D extends OnDecodeError | undefined = OnDecodeError | undefined,
  O extends OnOutage | undefined = OnOutage | undefined,
  H extends DurationLike | undefined = DurationLike | undefined,
  F = never,
  FI = never,
  FR = never
> = FreshnessOptions<A, D, O, H> & OptionsByExpiry<A, X, F, FI, FR>

/**
 * How `GhostDB.cached` keeps one value, and how its lookup goes.
 *
 * @category options
 * @since 0.1.0
 */
export type CachedOptions<
  A,
  I,
  R,
  D extends OnDecodeError,
  X extends Expiry,
  O extends OnOutage | undefined,
  H extends DurationLike | undefined,
  F,
  FI,
  FR,
  S = unknown
> = FreshnessOptions<A, D, O, H> &
  OptionsByExpiry<A, X, F, FI, FR> & {
    /** The schema of the value. */
    readonly schema: Schema.Schema<A, I, R> & JsonEncoded<I> & S
    /** @see StoreKeyOptions.expiry */
    readonly expiry?: X | undefined
  }
