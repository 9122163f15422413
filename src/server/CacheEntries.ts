/** What a node in memory holds: entries with a time to go at, the least recently used first, bounded in number. */

/** A value as it stands in a node. */
export interface Entry {
  /** The value's JSON text. */
  readonly value: string
  /** Milliseconds since the epoch; `Infinity` is never. */
  readonly expiresAt: number
}

/** A change of the entries. */
export type Write =
  | { readonly _tag: "Put" | "Add"; readonly key: string; readonly entry: Entry }
  | { readonly _tag: "Delete"; readonly key: string }
  | { readonly _tag: "Flush" }

/** The entries of one node, which change in place. Every look at them is at a time, in milliseconds since the epoch. */
export interface CacheEntries {
  /** The entry of a key, which becomes the most recently used. */
  readonly use: (key: string, now: number) => Entry | undefined
  /** Tells whether the write did what it says: an `Add` of a key that is there, or a `Delete` of one that is not, doesn't. */
  readonly apply: (write: Write, now: number) => boolean
  /** All that have not expired, the least recently used first. */
  readonly list: (now: number) => ReadonlyArray<readonly [key: string, entry: Entry]>
  /** The number of those that have not expired. */
  readonly size: (now: number) => number
  /** Puts others in the place of all that are there. */
  readonly replace: (entries: ReadonlyArray<readonly [key: string, entry: Entry]>) => void
}

/** No entries, and later at most `keyspaceSize`: one more evicts the least recently used. */
export const make = (keyspaceSize: number): CacheEntries => {
  // A Map keeps the order of insertion: the first entry is the least recently used.
  const entries = new Map<string, Entry>()
  let newest: string | undefined

  const lookup = (key: string, now: number): Entry | undefined => {
    const entry = entries.get(key)
    if (entry === undefined || entry.expiresAt > now) return entry
    entries.delete(key)
    return undefined
  }

  const store = (key: string, entry: Entry): void => {
    // Set alone keeps an existing key in its old place; nothing needs to move when it is the newest already.
    if (key !== newest) entries.delete(key)
    entries.set(key, entry)
    newest = key
    if (entries.size <= keyspaceSize) return
    const oldest = entries.keys().next().value
    if (oldest !== undefined) entries.delete(oldest)
  }

  const sweep = (now: number): void => {
    for (const [key, entry] of entries) {
      if (entry.expiresAt <= now) entries.delete(key)
    }
  }

  return {
    use: (key, now) => {
      const entry = lookup(key, now)
      if (entry !== undefined && key !== newest) store(key, entry)
      return entry
    },
    apply: (write, now) => {
      switch (write._tag) {
        case "Put":
          store(write.key, write.entry)
          return true
        case "Add":
          if (lookup(write.key, now) !== undefined) return false
          store(write.key, write.entry)
          return true
        case "Delete":
          return lookup(write.key, now) !== undefined && entries.delete(write.key)
        case "Flush":
          entries.clear()
          return true
      }
    },
    list: (now) => {
      sweep(now)
      return [...entries]
    },
    size: (now) => {
      sweep(now)
      return entries.size
    },
    replace: (others) => {
      entries.clear()
      newest = undefined
      for (const [key, entry] of others) store(key, entry)
    }
  }
}
