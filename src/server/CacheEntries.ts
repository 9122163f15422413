/**
 * What a node in memory holds: entries with an expiry, the least recently used first, bounded in number and in bytes.
 */

import type { JsonText } from "../model/Exchange.js"

/** A value as it stands in a node. */
export interface Entry {
  /** The value's JSON text. A long one is UTF-8 bytes, which lie outside the JavaScript heap. */
  readonly value: JsonText
  /** Milliseconds since the epoch; `Infinity` is never. */
  readonly expiresAt: number
}

/** A change of the entries. */
export type Write =
  | { readonly _tag: "Put" | "Add"; readonly key: string; readonly entry: Entry }
  | { readonly _tag: "Delete"; readonly key: string }
  | { readonly _tag: "Flush" }

/** The entries of one node, which change in place. Every operation takes its time, in milliseconds since the epoch. */
export interface CacheEntries {
  /** The entry of a key, which becomes the most recently used. */
  readonly use: (key: string, now: number) => Entry | undefined
  /**
   * Whether the write took effect. An `Add` of an existing key and a `Delete` of a missing one do not, and neither does
   * a `Put` or `Add` of an entry that is larger than all the memory: the old entry of that key is dropped.
   */
  readonly apply: (write: Write, now: number) => boolean
  /** All that have not expired, the least recently used first. */
  readonly list: (now: number) => ReadonlyArray<readonly [key: string, entry: Entry]>
  /** The number of those that have not expired. */
  readonly size: (now: number) => number
  /** Drops all entries and stores these. */
  readonly replace: (entries: ReadonlyArray<readonly [key: string, entry: Entry]>) => void
}

/** The limits of a node's entries. Whatever exceeds one of them evicts the least recently used. */
export interface Limits {
  /** The most entries. */
  readonly keyspaceSize: number
  /** The most bytes, as {@link bytesOf} counts them. */
  readonly maxMemory: number
}

/** The objects that hold an entry. */
const overhead = 128

/** The memory of an entry, in bytes: two for each character of a string, and an allowance for the objects around it. */
export const bytesOf = (key: string, { value }: Entry): number =>
  overhead + 2 * key.length + (typeof value === "string" ? 2 * value.length : value.length)

/** A node without entries. */
export const make = ({ keyspaceSize, maxMemory }: Limits): CacheEntries => {
  // A Map keeps the order of insertion: the first entry is the least recently used.
  const entries = new Map<string, Entry>()
  let newest: string | undefined
  let bytes = 0

  const drop = (key: string): boolean => {
    const entry = entries.get(key)
    if (entry === undefined) return false
    bytes -= bytesOf(key, entry)
    return entries.delete(key)
  }

  const lookup = (key: string, now: number): Entry | undefined => {
    const entry = entries.get(key)
    if (entry === undefined || entry.expiresAt > now) return entry
    drop(key)
    return undefined
  }

  const touch = (key: string, entry: Entry): void => {
    // Set alone keeps an existing key in its old place; nothing needs to move when it is the newest already.
    if (key !== newest) entries.delete(key)
    entries.set(key, entry)
    newest = key
  }

  const store = (key: string, entry: Entry): boolean => {
    const size = bytesOf(key, entry)
    const old = entries.get(key)
    if (old !== undefined) bytes -= bytesOf(key, old)
    if (size > maxMemory) {
      entries.delete(key)
      return false
    }
    bytes += size
    touch(key, entry)
    for (const oldest of entries.keys()) {
      if (entries.size <= keyspaceSize && bytes <= maxMemory) break
      drop(oldest)
    }
    return true
  }

  const clear = (): void => {
    entries.clear()
    newest = undefined
    bytes = 0
  }

  const dropExpired = (now: number): void => {
    for (const [key, entry] of entries) {
      if (entry.expiresAt <= now) drop(key)
    }
  }

  return {
    use: (key, now) => {
      const entry = lookup(key, now)
      if (entry !== undefined && key !== newest) touch(key, entry)
      return entry
    },
    apply: (write, now) => {
      switch (write._tag) {
        case "Put":
          return store(write.key, write.entry)
        case "Add":
          return lookup(write.key, now) === undefined && store(write.key, write.entry)
        case "Delete":
          return lookup(write.key, now) !== undefined && drop(write.key)
        case "Flush":
          clear()
          return true
      }
    },
    list: (now) => {
      dropExpired(now)
      return [...entries]
    },
    size: (now) => {
      dropExpired(now)
      return entries.size
    },
    replace: (others) => {
      clear()
      for (const [key, entry] of others) store(key, entry)
    }
  }
}
