/**
 * The consistent-hash ring: which node holds a key. Placement agrees, key by key, with GhostDB's Python and JavaScript
 * SDKs. A `Ring` is immutable; {@link add} and {@link remove} return a new one.
 *
 * A node has `replicas` points on the ring: the first is its address, point i > 0 is `address:i`. A key belongs to the
 * first point whose hash is equal or greater, past the last point to the first one. A hash is the CRC-32 of the UTF-8
 * bytes, and hashes are ordered as hexadecimal strings without leading zeros. Where two nodes have a point of the same
 * hash, the node added first keeps it.
 */

import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import { crc32 } from "./crc32.js"

/**
 * Marks a {@link Ring}.
 *
 * @category symbols
 * @since 0.1.0
 */
export const TypeId: unique symbol = Symbol.for("effect-ghostdb/Ring")

/**
 * @see the constant of the same name
 *
 * @category symbols
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * A ring of nodes, made by {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ring extends Pipeable.Pipeable {
  readonly [TypeId]: TypeId
  /** The points of each node. */
  readonly replicas: number
  /** @internal in the order in which they were added */
  readonly addresses: ReadonlyArray<string>
  /** @internal the {@link orderKey} of each point, ascending; of equal ones, the node added first comes first */
  readonly points: Float64Array
  /** @internal the address of `points[i]` is `addresses[owners[i]]` */
  readonly owners: Uint32Array
}

class RingImpl extends Pipeable.Class() implements Ring {
  readonly [TypeId]: TypeId = TypeId
  constructor(
    readonly replicas: number,
    readonly addresses: ReadonlyArray<string>,
    readonly points: Float64Array,
    readonly owners: Uint32Array
  ) {
    super()
  }
}

/**
 * A number that orders hashes as their hexadecimal strings without leading zeros are ordered: the digits moved to the
 * left, and the count of digits to put "1" before "10".
 *
 * @internal
 */
export const orderKey = (hash: number): number => {
  // bits of leading zero digits; the last digit stays, so that 0 is "0"
  const leading = Math.min(Math.clz32(hash) & ~3, 28)
  return ((hash << leading) >>> 0) * 16 + (8 - leading / 4)
}

const pointsOf = (node: string, replicas: number): Float64Array =>
  Float64Array.from({ length: replicas }, (_, i) => orderKey(crc32(i === 0 ? node : `${node}:${i}`)))

/** The index of the point a key belongs to; the ring must not be empty. */
const locate = (points: Float64Array, key: string): number => {
  const hash = orderKey(crc32(key))
  let low = 0
  let high = points.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (points[middle]! < hash) low = middle + 1
    else high = middle
  }
  return low === points.length ? 0 : low
}

/**
 * A ring of these nodes, each with `replicas` points (default 1). A node given twice counts once, at its first place.
 *
 * Throws a `RangeError` when `replicas` is not a whole number of at least 1.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (nodes: Iterable<string>, options?: { readonly replicas?: number | undefined }): Ring => {
  const replicas = options?.replicas ?? 1
  if (!Number.isSafeInteger(replicas) || replicas < 1) {
    throw new RangeError(`replicas is a whole number of at least 1, not ${replicas}`)
  }
  const addresses = Array.from(new Set(nodes))
  const unsorted = new Float64Array(addresses.length * replicas)
  addresses.forEach((node, i) => {
    unsorted.set(pointsOf(node, replicas), i * replicas)
  })
  const order = Uint32Array.from(unsorted, (_, i) => i).sort((a, b) => unsorted[a]! - unsorted[b]! || a - b)
  return new RingImpl(
    replicas,
    addresses,
    Float64Array.from(order, (i) => unsorted[i]!),
    Uint32Array.from(order, (i) => Math.floor(i / replicas))
  )
}

/**
 * Appends a node. The ring itself where the node is in it. Takes time in proportion to the ring's points.
 *
 * @category combining
 * @since 0.1.0
 */
export const add: {
  (node: string): (self: Ring) => Ring
  (self: Ring, node: string): Ring
} = dual(2, (self: Ring, node: string): Ring => {
  if (self.addresses.includes(node)) return self
  const added = pointsOf(node, self.replicas).sort()
  const index = self.addresses.length
  const points = new Float64Array(self.points.length + added.length)
  const owners = new Uint32Array(points.length)
  for (let i = 0, before = 0; i < points.length; i++) {
    const next = i - before
    if (next === added.length || self.points[before]! <= added[next]!) {
      points[i] = self.points[before]!
      owners[i] = self.owners[before]!
      before++
    } else {
      points[i] = added[next]!
      owners[i] = index
    }
  }
  return new RingImpl(self.replicas, [...self.addresses, node], points, owners)
})

/**
 * Takes a node out: its keys go to the next points, no other key moves. The ring itself where the node is not in it.
 * Takes time in proportion to the ring's points.
 *
 * @category combining
 * @since 0.1.0
 */
export const remove: {
  (node: string): (self: Ring) => Ring
  (self: Ring, node: string): Ring
} = dual(2, (self: Ring, node: string): Ring => {
  const index = self.addresses.indexOf(node)
  if (index === -1) return self
  const points = new Float64Array(self.points.length - self.replicas)
  const owners = new Uint32Array(points.length)
  for (let i = 0, kept = 0; i < self.points.length; i++) {
    const owner = self.owners[i]!
    if (owner === index) continue
    points[kept] = self.points[i]!
    owners[kept] = owner > index ? owner - 1 : owner
    kept++
  }
  return new RingImpl(
    self.replicas,
    self.addresses.filter((_, i) => i !== index),
    points,
    owners
  )
})

/**
 * The nodes, in the order in which they were added.
 *
 * @category functions
 * @since 0.1.0
 */
export const nodes = (self: Ring): ReadonlyArray<string> => self.addresses

/**
 * The node that holds the key, `undefined` in an empty ring. As {@link lookup}, and it allocates nothing.
 *
 * @category functions
 * @since 0.1.0
 */
export const owner = (self: Ring, key: string): string | undefined =>
  self.points.length === 0 ? undefined : self.addresses[self.owners[locate(self.points, key)]!]

/**
 * Calls `pick` with the position in {@link nodes} of each of the key's owners, in their order, and returns the first
 * result that is not `undefined`. Where `pick` refuses dead nodes, that is the owner in a ring without them.
 *
 * @internal
 */
export const find = <A>(self: Ring, key: string, pick: (position: number) => A | undefined): A | undefined => {
  const { owners, points } = self
  if (points.length === 0) return undefined
  const start = locate(points, key)
  for (let i = start; i < points.length; i++) {
    const found = pick(owners[i]!)
    if (found !== undefined) return found
  }
  for (let i = 0; i < start; i++) {
    const found = pick(owners[i]!)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * The node that holds the key, none in an empty ring. Takes logarithmic time.
 *
 * @category functions
 * @since 0.1.0
 */
export const lookup: {
  (key: string): (self: Ring) => Option.Option<string>
  (self: Ring, key: string): Option.Option<string>
} = dual(2, (self: Ring, key: string): Option.Option<string> => Option.fromNullable(owner(self, key)))

/**
 * Every node, in the order in which they hold the key as those before them are removed; {@link owner} is the first.
 *
 * @category functions
 * @since 0.1.0
 */
export const owners: {
  (key: string): (self: Ring) => ReadonlyArray<string>
  (self: Ring, key: string): ReadonlyArray<string>
} = dual(2, (self: Ring, key: string): ReadonlyArray<string> => {
  const found = new Set<string>()
  const start = self.points.length === 0 ? 0 : locate(self.points, key)
  for (let i = 0; i < self.points.length && found.size < self.addresses.length; i++) {
    found.add(self.addresses[self.owners[(start + i) % self.points.length]!]!)
  }
  return Array.from(found)
})

/**
 * How many of the 2^32 hashes are, in their order, not after this one.
 *
 * @internal
 */
export const rank = (point: number): number => {
  const digits = point % 16
  const leftJustified = (point - digits) / 16
  if (leftJustified === 0) return 1
  let count = 1
  for (let length = 1; length <= 8; length++) {
    // of the hashes with `length` digits, those up to this one's first `length` digits
    const first = 16 ** (length - 1)
    count += Math.floor(leftJustified / 16 ** (8 - length)) - first + (length <= digits ? 1 : 0)
  }
  return count
}

/**
 * The share of the hash space, from 0 to 1, that each node owns, in the order of {@link nodes}. The shares add up to 1;
 * with few replicas they differ widely.
 *
 * @category functions
 * @since 0.1.0
 */
export const shares = (self: Ring): ReadonlyMap<string, number> => {
  const space = 2 ** 32
  const hashes = new Map(self.addresses.map((node) => [node, 0]))
  let before = self.points.length === 0 ? 0 : rank(self.points[self.points.length - 1]!) - space
  self.points.forEach((point, i) => {
    const node = self.addresses[self.owners[i]!]!
    const reached = rank(point)
    hashes.set(node, hashes.get(node)! + reached - before)
    before = reached
  })
  return new Map(Array.from(hashes, ([node, count]) => [node, count / space]))
}
