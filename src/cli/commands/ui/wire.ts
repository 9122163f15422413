/** What the page and the server of `ghostdb ui` say to each other, besides snapshots. */
import type { Placement } from "../../../model/Topology.js"
import type { Change, Evenness } from "../../../ring/RingPlan.js"

export type { Evenness } from "../../../ring/RingPlan.js"

/** The first event of a stream. */
export interface Started {
  /** Where the nodes come from, without secrets. */
  readonly nodes: string
  /** Whether keys may be written. */
  readonly writes: boolean
}

/** The ring, and what a change does to it. Without a change `moves` is empty. */
export interface Plan extends Change {
  readonly placement: Placement
  /** The largest share over the mean, after the change. */
  readonly imbalance: number
  readonly evenness: ReadonlyArray<Evenness>
}

/** What is known of a key. */
export interface Lookup {
  /** Null in a raft cluster, where every node holds every key. */
  readonly owner: string | null
  /** The node that takes the owner's keys while it is dead; null where there is none. */
  readonly standIn: string | null
  /** The leader of a raft cluster; null where there is none. */
  readonly leader: string | null
  /** The node that was asked. */
  readonly asked: string
  readonly found: boolean
  /** JSON text, indented; empty where nothing was found. */
  readonly value: string
}
