/**
 * When a node that its source lacks is gone. A file that is being written is a short file for a while: what was removed
 * is confirmed by a second reading. Pure.
 */
import * as Arr from "effect/Array"
import * as Equivalence from "effect/Equivalence"

/** What a source lists, and the nodes that it lacks without being confirmed to. */
export interface Removals {
  /** The nodes of the latest reading that could be used, in its order. */
  readonly listed: ReadonlyArray<string>
  /** Each node that readings have lacked since it was there, with the time of the first of them. */
  readonly missing: ReadonlyMap<string, number>
  /** The last of `listed`, where it may be the beginning of a longer address, of which the rest is still to be written. */
  readonly cut: string | undefined
  /** When `listed` was first read as it is; undefined where a reading since then could not be used. */
  readonly since: number | undefined
}

/** One reading that could be used. */
export interface Reading {
  readonly nodes: ReadonlyArray<string>
  /** Whether its last line has no end, as that of a file that is being written. */
  readonly endsOpen: boolean
}

/** A node that every reading has lacked for so many milliseconds is gone, however often the source changes meanwhile. */
export const longest = 30_000

/** The start: the source lists these nodes, and no other was there before. */
export const make = (listed: ReadonlyArray<string>): Removals => ({
  listed,
  missing: new Map(),
  cut: undefined,
  since: undefined
})

/** The nodes to use: those that are listed, then those that are not yet known to be gone. */
export const nodes = ({ cut, listed, missing }: Removals): ReadonlyArray<string> => [
  ...(cut === undefined ? listed : listed.slice(0, -1)),
  ...missing.keys()
]

const sameNodes = Arr.getEquivalence(Equivalence.string)

/**
 * A reading at `now` lists these nodes. What it lacks is gone where the source was the same `confirmAfter` before; until
 * then, a new last node that one of these begins with is not used.
 */
export const read = (
  self: Removals,
  { endsOpen, nodes: listed }: Reading,
  now: number,
  confirmAfter: number
): Removals => {
  const since = self.since !== undefined && sameNodes(self.listed, listed) ? self.since : now
  if (now - since >= confirmAfter) return { listed, missing: new Map(), cut: undefined, since }
  const used = nodes(self)
  const present = new Set(listed)
  const missing = new Map<string, number>()
  for (const node of used) {
    const missed = self.missing.get(node) ?? now
    if (!present.has(node) && now - missed < longest) missing.set(node, missed)
  }
  const last = listed.at(-1) ?? ""
  const isCut = endsOpen && !used.includes(last) && [...missing.keys()].some((node) => node.startsWith(last))
  return { listed, missing, cut: isCut ? last : undefined, since }
}

/** A reading could not be used: the next one that can confirms nothing. */
export const unusable = (self: Removals): Removals => ({ ...self, since: undefined })

/** When the source is to be read again for the sake of what it lacks; undefined where it lacks nothing. */
export const confirmAt = ({ missing, since }: Removals, confirmAfter: number): number | undefined =>
  missing.size === 0 || since === undefined ? undefined : since + confirmAfter
