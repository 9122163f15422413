/** What JSON can hold, as a type that the compiler checks and keeps readable. */

/** What JSON can hold, as it is read back. */
export type Json = null | string | number | boolean | ReadonlyArray<Json> | { readonly [key: string]: Json }

/**
 * Checks, member by member, that JSON can hold a value of type `A`, and is `A` then: `put` takes `A & ToJson<A>`-like
 * arguments, so that interfaces (which have no index signature) are accepted. A member that cannot be stored has the type
 * of a message instead, which the compiler shows. Optional members are left out when absent, as by `JSON.stringify`.
 */
export type ToJson<A> = [A] extends [Json]
  ? A
  : unknown extends A
    ? Json
    : A extends string | number | boolean | null
      ? A
      : A extends undefined | bigint | symbol | ((...args: never) => unknown)
        ? NotJson
        : A extends object
          ? { readonly [K in keyof A]: K extends symbol ? NotJson : ToJson<A[K]> }
          : NotJson

/** The type of a value that JSON cannot hold: `undefined`, functions, bigints, symbols. */
export interface NotJson {
  readonly "JSON cannot hold undefined, functions, bigints or symbols": never
}
