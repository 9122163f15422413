import type * as Option from "effect/Option"
import type { Json } from "../model/Json.js"

/** What a near cache holds: bounded in number and bytes, the least recently used goes first. Times in milliseconds. */
export interface NearEntries {
  readonly find: (key: string) => Option.Option<Json> | undefined
  /** Holds for so long at most, unless the key is distrusted. */
  readonly hold: (key: string, value: Option.Option<Json>, lifetime: number) => void
  readonly drop: (key: string) => void
  /** For so long nothing is held of the key: a node may yet carry out a write of it. */
  readonly distrust: (key: string, lifetime: number) => void
  /** The entry that has just been put lives for so long, and is not held beyond. */
  readonly willLive: (key: string, lifetime: number) => void
  readonly clear: () => void
  readonly size: number
  readonly bytes: number
}

interface Held {
  readonly value: Option.Option<Json>
  readonly expiresAt: number
  readonly bytes: number
}

const overhead = 64

/** An estimate of what JSON takes in memory. */
export const sizeOf = (json: Json): number => {
  let bytes = 0
  const open: Array<Json> = [json]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next === "string") bytes += 2 * next.length
    else if (typeof next !== "object" || next === null) bytes += 8
    else {
      bytes += 16
      for (const [name, member] of Object.entries<Json>(next)) {
        if (!Array.isArray(next)) bytes += 2 * name.length
        open.push(member)
      }
    }
  }
  return bytes
}

/** A map of times that forgets the ones that were set first. */
const times = (capacity: number) => {
  const all = new Map<string, number>()
  return {
    get: (key: string) => all.get(key),
    delete: (key: string) => all.delete(key),
    set: (key: string, time: number) => {
      all.delete(key)
      all.set(key, time)
      if (all.size <= capacity) return
      for (const oldest of all.keys()) return all.delete(oldest)
    }
  }
}

/** Nothing held yet. */
export const make = (
  { capacity, lifetime, maxBytes }: { readonly capacity: number; readonly maxBytes: number; readonly lifetime: number },
  now: () => number
): NearEntries => {
  // A Map keeps the order of insertion: the first value is the least recently used.
  const held = new Map<string, Held>()
  const distrusted = times(10_000)
  const ends = times(Math.max(capacity, 10_000))
  let bytes = 0

  const drop = (key: string) => {
    const found = held.get(key)
    if (found === undefined) return
    held.delete(key)
    bytes -= found.bytes
  }
  return {
    find: (key) => {
      const found = held.get(key)
      if (found === undefined) return undefined
      if (found.expiresAt <= now()) {
        drop(key)
        return undefined
      }
      held.delete(key)
      held.set(key, found)
      return found.value
    },
    hold: (key, value, holdFor) => {
      const time = now()
      if ((distrusted.get(key) ?? time) > time) return
      const end = ends.get(key) ?? Number.POSITIVE_INFINITY
      // Real servers expire late, and an entry that they still have has begun to live anew.
      if (end <= time) ends.delete(key)
      const expiresAt = Math.min(time + Math.min(holdFor, lifetime), end > time ? end : Number.POSITIVE_INFINITY)
      drop(key)
      if (expiresAt <= time) return
      const size = overhead + 2 * key.length + (value._tag === "Some" ? sizeOf(value.value) : 0)
      if (size > maxBytes) return
      held.set(key, { value, expiresAt, bytes: size })
      bytes += size
      while (held.size > capacity || bytes > maxBytes) {
        const [oldest] = held.keys()
        if (oldest === undefined) return
        drop(oldest)
      }
    },
    drop,
    distrust: (key, lifetime) => distrusted.set(key, now() + lifetime),
    willLive: (key, livesFor) => {
      // Longer than anything is held anyway.
      if (livesFor >= lifetime) ends.delete(key)
      else ends.set(key, now() + livesFor)
    },
    clear: () => {
      held.clear()
      bytes = 0
    },
    get size() {
      return held.size
    },
    get bytes() {
      return bytes
    }
  }
}
