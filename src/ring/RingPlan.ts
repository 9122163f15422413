/**
 * What a change of the nodes does to the placement of keys, before it is made: which shares of the key space move from
 * where to where, who takes over when a node dies, and how even the shares are. Pure. The shares are those of the hash
 * space; many keys come close to them.
 */
import * as Ring from "./Ring.js"

/**
 * A share of the key space, from 0 to 1, whose keys change their node.
 *
 * @category models
 * @since 0.1.0
 */
export interface Move {
  readonly from: string
  readonly to: string
  readonly share: number
}

/**
 * A node's share of the key space before a change and after it; 0 where it is not in the ring.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShareChange {
  readonly node: string
  readonly before: number
  readonly after: number
}

/**
 * What a change of the ring does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  /** The nodes of both rings, in the order of the first, new ones last. */
  readonly shares: ReadonlyArray<ShareChange>
  /** The largest first. */
  readonly moves: ReadonlyArray<Move>
  /** The share of the key space that moves, from 0 to 1. */
  readonly moved: number
}

/** The owner of a hash: the node of the first point that is not before it. */
const ownerAt = (ring: Ring.Ring, hash: number): string | undefined => {
  let low = 0
  let high = ring.points.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ring.points[middle]! < hash) low = middle + 1
    else high = middle
  }
  return ring.addresses[ring.owners[low === ring.points.length ? 0 : low]!]
}

/**
 * What moves when `before` becomes `after`. Neither may be empty.
 *
 * @category functions
 * @since 0.1.0
 */
export const compare = (before: Ring.Ring, after: Ring.Ring): Change => {
  const space = 2 ** 32
  const points = Float64Array.from(new Set([...before.points, ...after.points])).sort()
  const moves = new Map<string, { readonly from: string; readonly to: string; hashes: number }>()
  let reached = points.length === 0 ? 0 : Ring.rank(points[points.length - 1]!) - space
  // Between two points that follow each other, all hashes have the owner of the second.
  for (const point of points) {
    const end = Ring.rank(point)
    const [from, to] = [ownerAt(before, point), ownerAt(after, point)]
    if (from !== to && from !== undefined && to !== undefined) {
      const key = `${from}\n${to}`
      const move = moves.get(key) ?? { from, to, hashes: 0 }
      move.hashes += end - reached
      moves.set(key, move)
    }
    reached = end
  }
  const [old, next] = [Ring.shares(before), Ring.shares(after)]
  return {
    shares: [...new Set([...Ring.nodes(before), ...Ring.nodes(after)])].map((node) => ({
      node,
      before: old.get(node) ?? 0,
      after: next.get(node) ?? 0
    })),
    moves: [...moves.values()]
      .filter(({ hashes }) => hashes > 0)
      .sort((a, b) => b.hashes - a.hashes)
      .map(({ from, hashes, to }) => ({ from, to, share: hashes / space })),
    moved: [...moves.values()].reduce((sum, { hashes }) => sum + hashes, 0) / space
  }
}

/**
 * The largest share divided by the mean share: 1 where all nodes have the same, `NaN` for an empty ring.
 *
 * @category functions
 * @since 0.1.0
 */
export const imbalance = (ring: Ring.Ring): number => {
  const shares = [...Ring.shares(ring).values()]
  return shares.length === 0 ? Number.NaN : Math.max(...shares) * shares.length
}

/**
 * What the death of a node puts on the others.
 *
 * @category models
 * @since 0.1.0
 */
export interface Death {
  readonly node: string
  /** Where its keys go, the largest share first. Empty for the only node. */
  readonly heirs: ReadonlyArray<{ readonly node: string; readonly share: number }>
  /** The node with the largest share then, and that share. Undefined for the only node. */
  readonly busiest: { readonly node: string; readonly share: number } | undefined
}

/**
 * What happens when a node of the ring dies.
 *
 * @category functions
 * @since 0.1.0
 */
export const death = (ring: Ring.Ring, node: string): Death => {
  const without = Ring.remove(ring, node)
  const { moves } = compare(ring, without)
  const [busiest] = [...Ring.shares(without)].sort(([, a], [, b]) => b - a)
  return {
    node,
    heirs: moves.map(({ share, to }) => ({ node: to, share })),
    busiest: busiest === undefined ? undefined : { node: busiest[0], share: busiest[1] }
  }
}

/**
 * How even the shares are with a number of points for each node.
 *
 * @category models
 * @since 0.1.0
 */
export interface Evenness {
  readonly replicas: number
  /** Shares of the key space, from 0 to 1. */
  readonly smallest: number
  readonly largest: number
  /** {@link imbalance} */
  readonly imbalance: number
}

/**
 * How even the shares of these nodes are with each number of replicas. All clients of a cluster must use the same number.
 *
 * @category functions
 * @since 0.1.0
 */
export const evenness = (nodes: ReadonlyArray<string>, replicas: ReadonlyArray<number>): ReadonlyArray<Evenness> =>
  replicas.map((replicas) => {
    const ring = Ring.make(nodes, { replicas })
    const shares = [...Ring.shares(ring).values()]
    return { replicas, smallest: Math.min(...shares), largest: Math.max(...shares), imbalance: imbalance(ring) }
  })
