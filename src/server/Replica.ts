/** What one member of a raft group holds: its entries, and what it has received and not applied yet. */

import type { CacheEntries, Entry, Write } from "./CacheEntries.js"

/** A write that is applied at `dueAt`, as of the time `at`; both in milliseconds since the epoch. */
interface Pending {
  readonly write: Write
  readonly at: number
  readonly dueAt: number
}

/** The copy of the group's data on one member, which changes in place. */
export interface Replica {
  readonly entries: CacheEntries
  /** A write of the leader arrives, and is applied at `dueAt`. */
  readonly receive: (write: Write, at: number, dueAt: number) => void
  /** Takes over what another one holds at that time, and replaces its own entries by it at `dueAt`. */
  readonly takeOver: (source: Replica, now: number, dueAt: number) => void
  /** Forgets all that it holds, and what it has received. */
  readonly empty: () => void
  /** Applies what is due by then, in order. */
  readonly applyDue: (now: number) => void
  /** @internal What {@link takeOver} copies. */
  readonly contents: (now: number) => Contents
}

interface Contents {
  readonly entries: ReadonlyArray<readonly [key: string, entry: Entry]>
  readonly pending: ReadonlyArray<Pending>
}

/** A replica that holds these entries. */
export const make = (entries: CacheEntries): Replica => {
  let pending: Array<Pending> = []
  let first = 0
  let incoming: { readonly entries: Contents["entries"]; readonly dueAt: number } | undefined

  return {
    entries,
    receive: (write, at, dueAt) => {
      pending.push({ write, at, dueAt })
    },
    takeOver: (source, now, dueAt) => {
      const contents = source.contents(now)
      incoming = { entries: contents.entries, dueAt }
      pending = [...contents.pending]
      first = 0
    },
    empty: () => {
      entries.replace([])
      incoming = undefined
      pending = []
      first = 0
    },
    applyDue: (now) => {
      if (incoming !== undefined) {
        if (incoming.dueAt > now) return
        entries.replace(incoming.entries)
        incoming = undefined
      }
      for (let next = pending[first]; next !== undefined && next.dueAt <= now; next = pending[++first]) {
        entries.apply(next.write, next.at)
      }
      // At least half of them at a time: the rest must be moved.
      if (first > 0 && first * 2 >= pending.length) {
        pending = pending.slice(first)
        first = 0
      }
    },
    contents: (now) => ({ entries: incoming?.entries ?? entries.list(now), pending: pending.slice(first) })
  }
}
