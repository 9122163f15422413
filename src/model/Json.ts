/** What JSON can hold, as a type that the compiler checks and keeps readable. */

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
 * and that says why.
 *
 * @category types
 * @since 0.1.0
 */
export type Storable<A> = [A] extends [Json | ToJson<A>] ? A : Json | ToJson<A>

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
 * The type of a value that JSON cannot hold: `undefined`, functions, bigints, symbols.
 *
 * @category types
 * @since 0.1.0
 */
export interface NotJson {
  readonly "JSON cannot hold undefined, functions, bigints or symbols": never
}
