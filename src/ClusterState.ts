/**
 * What a client knows of its cluster, as an immutable record, and every way in which it can change. Pure: the effects
 * around it are in `Cluster`.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { FailureReason, Fault, NodeFailure } from "./GhostDBError.js"
import type { Dialect } from "./Protocol.js"
import * as Ring from "./Ring.js"

/** What is known of one node. */
export interface NodeState {
  readonly node: string
  /** Unknown until the node has answered its first ping. */
  readonly dialect: Dialect | undefined
  /** Doubtful failures in a row, of different commands, without a success between. */
  readonly doubts: number
  /** Why the node is dead; absent while it is live. */
  readonly death: NodeFailure | undefined
  /** Since when the node is live or dead, in epoch milliseconds. */
  readonly since: number
}

/** A node that takes keys. */
export interface LiveNode {
  /** The address as the nodes file writes it. */
  readonly node: string
  /** None until the node is first used. */
  readonly dialect: Option.Option<Dialect>
  readonly since: DateTime.Utc
}

/** A node whose keys go to the next live one. */
export interface DeadNode {
  /** The address as the nodes file writes it. */
  readonly node: string
  /** The failure that the node died of. */
  readonly failure: NodeFailure
  readonly since: DateTime.Utc
}

/** The cluster as the client sees it. Both lists are in the order of the nodes file. */
export interface Topology {
  readonly live: ReadonlyArray<LiveNode>
  readonly dead: ReadonlyArray<DeadNode>
}

export interface ClusterState {
  /** Every configured node, in the order of the nodes file. */
  readonly nodes: ReadonlyMap<string, NodeState>
  readonly replicas: number
  /** The live nodes. */
  readonly ring: Ring.Ring
  /** The same object for as long as nothing changes that it shows. */
  readonly topology: Topology
}

/** `down`: the node cannot be reached. `doubtful`: it was reached, and did not answer as it should. */
export type FaultClass = "down" | "doubtful"

const classes: { readonly [R in FailureReason]: FaultClass } = {
  Refused: "down",
  Unreachable: "down",
  UnknownHost: "down",
  ConnectTimeout: "down",
  Reset: "doubtful",
  AttemptTimeout: "doubtful",
  BadReply: "doubtful",
  NotLeader: "doubtful",
  Deadline: "doubtful"
}

/** The class of a failure, the only place that knows it. */
export const classify = ({ reason }: Fault): FaultClass => classes[reason]

const topologyOf = (nodes: ReadonlyMap<string, NodeState>): Topology => {
  const live: Array<LiveNode> = []
  const dead: Array<DeadNode> = []
  for (const { death, dialect, node, since } of nodes.values()) {
    const date = DateTime.unsafeMake(since)
    if (death === undefined) live.push({ node, dialect: Option.fromNullable(dialect), since: date })
    else dead.push({ node, failure: death, since: date })
  }
  return { live, dead }
}

const newNode = (node: string, dialect: Dialect | undefined, now: number): NodeState => ({
  node,
  dialect,
  doubts: 0,
  death: undefined,
  since: now
})

/** All nodes live. `dialect` is what they are known to speak, if it is known. */
export const make = (
  nodes: ReadonlyArray<string>,
  options: { readonly replicas: number; readonly dialect: Dialect | undefined; readonly now: number }
): ClusterState => {
  const states = new Map(nodes.map((node) => [node, newNode(node, options.dialect, options.now)]))
  return {
    nodes: states,
    replicas: options.replicas,
    ring: Ring.make([...states.keys()], { replicas: options.replicas }),
    topology: topologyOf(states)
  }
}

/** Puts new states of nodes that are in the cluster; the ring holds the live ones, in the order of the nodes file. */
const update = (self: ClusterState, next: NodeState): ClusterState => {
  const previous = self.nodes.get(next.node)
  if (previous === undefined) return self
  const nodes = new Map(self.nodes).set(next.node, next)
  const moved = (previous.death === undefined) !== (next.death === undefined)
  const shown = moved || (next.death === undefined && previous.dialect !== next.dialect)
  return {
    ...self,
    nodes,
    ring: !moved ? self.ring : next.death === undefined ? liveRing(nodes, self) : Ring.remove(self.ring, next.node),
    topology: shown ? topologyOf(nodes) : self.topology
  }
}

/** Built anew, since of two points with the same hash the one of the node named first in the file counts. */
const liveRing = (nodes: ReadonlyMap<string, NodeState>, { replicas }: ClusterState): Ring.Ring =>
  Ring.make(
    [...nodes.values()].filter(({ death }) => death === undefined).map(({ node }) => node),
    { replicas }
  )

/** The node's dialect has become known, or is another one than before. */
export const identified = (self: ClusterState, node: string, dialect: Dialect): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.dialect === dialect ? self : update(self, { ...state, dialect })
}

/** A command has succeeded on the node. Nothing else clears its doubts. */
export const succeeded = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.doubts === 0 ? self : update(self, { ...state, doubts: 0 })
}

/** The node is down: dead, if it was not. A dead node stays dead of what it died of. */
export const died = (self: ClusterState, node: string, fault: Fault, now: number): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.death !== undefined
    ? self
    : update(self, { ...state, doubts: 0, death: { node, ...fault }, since: now })
}

/** A command has failed doubtfully on a node that answers its ping; the last of `threshold` in a row kills the node. */
export const doubted = (
  self: ClusterState,
  node: string,
  fault: Fault,
  threshold: number,
  now: number
): ClusterState => {
  const state = self.nodes.get(node)
  if (state === undefined || state.death !== undefined) return self
  const doubts = state.doubts + 1
  return doubts >= threshold ? died(self, node, fault, now) : update(self, { ...state, doubts })
}

/** A dead node is back. Half-open: its next doubtful failure before a success kills it again. */
export const revived = (
  self: ClusterState,
  node: string,
  dialect: Dialect,
  threshold: number,
  now: number
): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.death === undefined
    ? self
    : update(self, { node, dialect, doubts: threshold - 1, death: undefined, since: now })
}

/** The nodes file names other nodes now. Those that stay keep all that is known of them. */
export const reloaded = (
  self: ClusterState,
  nodes: ReadonlyArray<string>,
  options: { readonly dialect: Dialect | undefined; readonly now: number }
): ClusterState => {
  const states = new Map(
    nodes.map((node) => [node, self.nodes.get(node) ?? newNode(node, options.dialect, options.now)])
  )
  if (sameNodes([...states.values()], [...self.nodes.values()])) return self
  const topology = topologyOf(states)
  return sameNodes(topology.live, self.topology.live) && sameNodes(topology.dead, self.topology.dead)
    ? { ...self, nodes: states }
    : { ...self, nodes: states, ring: liveRing(states, self), topology }
}

const sameNodes = (self: ReadonlyArray<{ readonly node: string }>, that: ReadonlyArray<{ readonly node: string }>) =>
  self.length === that.length && self.every(({ node }, at) => node === that[at]?.node)
