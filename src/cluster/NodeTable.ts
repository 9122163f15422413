/** What the table must know of a state. */
interface Entry {
  readonly node: string
  readonly death: unknown
}

const chunkBits = 7

const chunkSize = 1 << chunkBits

/**
 * The states of a cluster's nodes, by address and by their position in the nodes file. Immutable: a new state for one
 * node copies one chunk and shares the rest, so that a change costs the same in a cluster of thousands.
 */
export class NodeTable<State extends Entry> {
  private constructor(
    private readonly positions: ReadonlyMap<string, number>,
    private readonly chunks: ReadonlyArray<ReadonlyArray<State>>
  ) {}

  /** A table of these states in their order. No two may have the same address. */
  static make<State extends Entry>(states: ReadonlyArray<State>): NodeTable<State> {
    const chunks: Array<ReadonlyArray<State>> = []
    for (let start = 0; start < states.length; start += chunkSize) chunks.push(states.slice(start, start + chunkSize))
    return new NodeTable(new Map(states.map(({ node }, position) => [node, position])), chunks)
  }

  /** How many nodes there are. */
  get size(): number {
    return this.positions.size
  }

  has(node: string): boolean {
    return this.positions.has(node)
  }

  get(node: string): State | undefined {
    const position = this.positions.get(node)
    return position === undefined ? undefined : this.at(position)
  }

  /** The node at a position, from 0; undefined past the last one. */
  at(position: number): State | undefined {
    return this.chunks[position >>> chunkBits]?.[position & (chunkSize - 1)]
  }

  /** {@link at} where that node is live. A function of its own, to be handed on. */
  readonly liveAt = (position: number): State | undefined => {
    const state = this.at(position)
    return state?.death === undefined ? state : undefined
  }

  /** The table with another state of a node. The table itself where the node is not in it. */
  with(state: State): NodeTable<State> {
    const position = this.positions.get(state.node)
    if (position === undefined) return this
    const at = position >>> chunkBits
    const chunks = this.chunks.slice()
    const chunk = chunks[at]?.slice() ?? []
    chunk[position & (chunkSize - 1)] = state
    chunks[at] = chunk
    return new NodeTable(this.positions, chunks)
  }

  /** The addresses, in the order of the nodes file. */
  keys(): IterableIterator<string> {
    return this.positions.keys()
  }

  /** The states, in the order of the nodes file. */
  *values(): IterableIterator<State> {
    for (const chunk of this.chunks) yield* chunk
  }

  /** The states that `before` does not have, in the order of the nodes file; quick where both are of the same nodes. */
  *since(before: NodeTable<State>): IterableIterator<State> {
    const sameNodes = this.positions === before.positions
    for (let at = 0; at < this.chunks.length; at++) {
      const chunk = this.chunks[at] ?? []
      if (sameNodes && chunk === before.chunks[at]) continue
      for (const state of chunk) if (before.get(state.node) !== state) yield state
    }
  }
}
