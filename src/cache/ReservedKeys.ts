/**
 * Keys that this package makes beside those of its users: they begin with a control character, so that no key that
 * anyone would choose is one of them.
 */

const mark = "\u0001"
const lockPrefix = `${mark}lock:`
const tagPrefix = `${mark}tag:`
const prefixPrefix = `${mark}prefix:`
const generationKey = new RegExp(`^${mark}\\w+-generation:`)

/** Where the lock of a key stands. */
export const lock = (key: string): string => `${lockPrefix}${key}`

/** Where the stamp of a tag stands. */
export const tag = (tag: string): string => `${tagPrefix}${tag}`

/** Where the stamp of all entries under a store's prefix stands. */
export const prefix = (prefix: string): string => `${prefixPrefix}${prefix}`

/** A part of the key space. No two of them have a key in common. */
export interface Space {
  /** Where the generation of its entries stands. */
  readonly generation: string
  /** Where an entry stands. */
  readonly entry: (key: string) => string
}

/** The part of the key space of one adapter's store. */
export const space = (adapter: "KeyValueStore" | "Persistence", ...names: ReadonlyArray<string>): Space => {
  const name = names.map((name) => name.replaceAll("%", "%25").replaceAll(":", "%3A")).join(":")
  return {
    generation: `${mark}${adapter}-generation:${name}`,
    // A key of untyped code is left as it is, for the client to refuse.
    entry: (key) => (typeof key === "string" ? `${mark}${adapter}:${name}:${key}` : key)
  }
}

/** Whether a near cache must not hold it: only what it says at the moment matters. */
export const isVolatile = (key: string): boolean => key.startsWith(lockPrefix) || generationKey.test(key)

/** Whether it is a stamp that most lookups do not find: near caches hold the absence of those, too. */
export const isStamp = (key: string): boolean => key.startsWith(tagPrefix) || key.startsWith(prefixPrefix)

/** The tag whose stamp stands there, if it is one. */
export const tagOf = (key: string): string | undefined =>
  key.startsWith(tagPrefix) ? key.slice(tagPrefix.length) : undefined
