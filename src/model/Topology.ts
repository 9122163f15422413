import type * as DateTime from "effect/DateTime"
import type * as Option from "effect/Option"
import type { Dialect } from "./Dialect.js"
import type { NodeFailure } from "./GhostDBError.js"

/**
 * A node that takes keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiveNode {
  /** The address as the nodes file writes it. */
  readonly node: string
  /** None until the node is first used. */
  readonly dialect: Option.Option<Dialect>
  readonly since: DateTime.Utc
}

/**
 * A node whose keys go to the next live one.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadNode {
  /** The address as the nodes file writes it. */
  readonly node: string
  /** The failure that the node died of. */
  readonly failure: NodeFailure
  readonly since: DateTime.Utc
}

/**
 * How keys find their nodes, by what the live nodes that have been spoken to are.
 *
 * - `ring`: v1 and v2 nodes. Each key is on its owner, and nowhere else.
 * - `replicated`: the members of a raft cluster. Each key is on every node; the leader takes the writes.
 * - `mixed`: both at once, as in the middle of an upgrade. The ring decides key by key: a key whose owner is a raft member
 *   is the raft cluster's, any other is its owner's alone. No key is ever looked for in both places.
 *
 * @category models
 * @since 0.1.0
 */
export type Placement = "ring" | "replicated" | "mixed"

/**
 * The cluster as the client sees it. Both lists are in the order of the nodes file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Topology {
  readonly live: ReadonlyArray<LiveNode>
  readonly dead: ReadonlyArray<DeadNode>
  readonly placement: Placement
  /** The leader of a raft cluster, once a command has needed it, and while it is known to lead. */
  readonly leader: Option.Option<string>
}
