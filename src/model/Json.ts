/** What JSON can hold, as a type that the compiler checks and keeps readable. */
import type { Effect } from "effect/Effect"

/**
 * What JSON can hold, as it is read back.
 *
 * @category models
 * @since 0.1.0
 */
export type Json = null | string | number | boolean | ReadonlyArray<Json> | { readonly [key: string]: Json }

/**
 * The type of the argument that takes a value of type `A` to be stored: `A` itself where JSON can hold it, interfaces
 * included, which have no index signature and are no {@link Json} for that. Otherwise a type that `A` is not assignable to,
 * and that says why in a sentence.
 *
 * @category types
 * @since 0.1.0
 */
export type Storable<A> = [A] extends [Json | ToJson<A>]
  ? A
  : unknown extends A
    ? Json
    : // Json, so that a function that is generic in a type of JSON can hand its value on.
      Json | NotJson<Reason<A, "value">>

/**
 * `A`, with the type of a message in the place of each member that JSON cannot hold. Optional members are left out when
 * absent or undefined, and members under a symbol always, as by `JSON.stringify`.
 *
 * @category types
 * @since 0.1.0
 */
export type ToJson<A> = [A] extends [Json]
  ? A
  : unknown extends A
    ? Json
    : A extends string | number | boolean | null
      ? A
      : A extends undefined | bigint | symbol | AnyFunction
        ? NotJson
        : A extends object
          ? [keyof A] extends [never]
            ? Json // of `object`, and of an empty class, nothing is known
            : {
                readonly [K in keyof A]: K extends symbol
                  ? A[K] extends AnyFunction
                    ? NotJson
                    : A[K]
                  : IsOptional<A, K> extends true
                    ? ToJson<Exclude<A[K], undefined>> | undefined
                    : ToJson<A[K]>
              }
          : NotJson

/** An index signature can be absent too, but is not optional; an undefined element of a tuple becomes null. */
type IsOptional<A, K extends keyof A> =
  A extends ReadonlyArray<unknown>
    ? false
    : string extends K
      ? false
      : number extends K
        ? false
        : Record<never, never> extends Pick<A, K>
          ? true
          : false

type AnyFunction = ((...args: never) => unknown) | (abstract new (...args: never) => unknown)

/**
 * The type of a value that JSON cannot hold, such as `undefined`, functions, bigints and dates; `Why` says what it is.
 *
 * @category types
 * @since 0.1.0
 */
export interface NotJson<Why extends string = string> {
  readonly "JSON cannot hold the value": Why
}

/**
 * Which parts of a type JSON cannot hold, as sentences that begin with the part's path. So deep that a sentence is still
 * read; what is deeper is told of its outermost member.
 */
export type Reason<A, Path extends string, Depth extends ReadonlyArray<0> = []> = [A] extends [Json | ToJson<A>]
  ? never
  : A extends undefined
    ? `${Path} can be undefined, which JSON cannot hold`
    : A extends bigint
      ? `${Path} is a bigint, which JSON cannot hold`
      : A extends symbol
        ? `${Path} is a symbol, which JSON cannot hold`
        : A extends AnyFunction
          ? `${Path} is a function, which JSON cannot hold`
          : unknown extends A
            ? `${Path} is of an unknown type`
            : A extends object
              ? ReasonOfObject<A, Path, Depth>
              : never

type ReasonOfObject<A extends object, Path extends string, Depth extends ReadonlyArray<0>> = A extends Date
  ? `${Path} is a Date, which JSON cannot hold: ${Advice<Path>}`
  : A extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
    ? `${Path} is a Map or Set, which JSON cannot hold: ${Advice<Path>}`
    : A extends ArrayBufferView | ArrayBuffer
      ? `${Path} is bytes, which JSON cannot hold: ${Advice<Path>}`
      : A extends { readonly toJSON: () => unknown }
        ? `${Path} has a toJSON method and would not be read back as it is: ${Advice<Path>}`
        : A extends Effect<unknown, unknown, unknown> | PromiseLike<unknown>
          ? `${Path} has to be run first: it is no value yet`
          : Depth["length"] extends 4
            ? `${Path} has a member that JSON cannot hold`
            : A extends ReadonlyArray<infer Item>
              ? Reason<Item, `${Path}[]`, [...Depth, 0]>
              : {
                  [K in keyof A & string]-?: Reason<
                    IsOptional<A, K> extends true ? Exclude<A[K], undefined> : A[K],
                    `${Path}.${K}`,
                    [...Depth, 0]
                  >
                }[keyof A & string]

type Advice<Path extends string> = Path extends `encoded${string}`
  ? "let the schema encode it, as Schema.Date does"
  : "GhostDB.forSchema encodes it"
