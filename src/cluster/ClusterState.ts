/**
 * What a client knows of its cluster, as an immutable record, and every way in which it can change. Pure: the effects
 * around it are in `Cluster`.
 */

import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { Dialect } from "../model/Dialect.js"
import type { FailureReason, Fault, NodeFailure } from "../model/GhostDBError.js"
import type { DeadNode, LiveNode, Placement, Topology } from "../model/Topology.js"
import * as Ring from "../ring/Ring.js"

/** What is known of one node. */
export interface NodeState {
  readonly node: string
  /** Unknown until the node has answered its first ping. */
  readonly dialect: Dialect | undefined
  /** Doubtful failures in a row, of different commands, without a success between. */
  readonly consecutiveFailures: number
  /** Why the node is dead; absent while it is live. */
  readonly death: NodeFailure | undefined
  /** Since when the node is live or dead, in epoch milliseconds. */
  readonly since: number
}

export interface ClusterState {
  /** Every configured node, in the order of the nodes file. */
  readonly nodes: ReadonlyMap<string, NodeState>
  readonly replicas: number
  /** The live nodes. */
  readonly ring: Ring.Ring
  /** The live node that leads its raft cluster, while that is known. */
  readonly leader: string | undefined
  /** The same object for as long as nothing changes that it shows. */
  readonly topology: Topology
}

/**
 * `down`: the node cannot be reached. `suspect`: it was reached, and did not answer as it should. `redirect`: it is well,
 * and another one is to be asked.
 * `local`: this client's own doing, or nobody's; nothing is held against the node, and the command fails.
 */
export type FaultClass = "down" | "suspect" | "redirect" | "local"

const classes: { readonly [R in FailureReason]: FaultClass } = {
  Refused: "down",
  Unreachable: "down",
  UnknownHost: "down",
  ConnectTimeout: "down",
  Reset: "suspect",
  AttemptTimeout: "suspect",
  BadReply: "suspect",
  NotLeader: "redirect",
  Deadline: "suspect",
  ReplyTooLarge: "local",
  QueueTimeout: "local",
  Overloaded: "local"
}

/** The class of a failure, the only place that knows it. */
export const classify = ({ reason }: Fault): FaultClass => classes[reason]

const placementOf = (live: ReadonlyArray<LiveNode>): Placement => {
  const dialects = new Set(live.map(({ dialect }) => Option.getOrUndefined(dialect)))
  if (!dialects.has("raft")) return "ring"
  return dialects.has("v1") || dialects.has("v2") ? "mixed" : "replicated"
}

const topologyOf = (nodes: ReadonlyMap<string, NodeState>, leader: string | undefined): Topology => {
  const live: Array<LiveNode> = []
  const dead: Array<DeadNode> = []
  for (const { death, dialect, node, since } of nodes.values()) {
    const date = DateTime.unsafeMake(since)
    if (death === undefined) live.push({ node, dialect: Option.fromNullable(dialect), since: date })
    else dead.push({ node, failure: death, since: date })
  }
  return { live, dead, placement: placementOf(live), leader: Option.fromNullable(leader) }
}

const newNode = (node: string, dialect: Dialect | undefined, now: number): NodeState => ({
  node,
  dialect,
  consecutiveFailures: 0,
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
    leader: undefined,
    topology: topologyOf(states, undefined)
  }
}

/** Puts new states of nodes that are in the cluster; the ring holds the live ones, in the order of the nodes file. */
const update = (self: ClusterState, next: NodeState): ClusterState => {
  const previous = self.nodes.get(next.node)
  if (previous === undefined) return self
  const nodes = new Map(self.nodes).set(next.node, next)
  const moved = (previous.death === undefined) !== (next.death === undefined)
  const shown = moved || (next.death === undefined && previous.dialect !== next.dialect)
  const leader = self.leader === next.node && !canLead(next) ? undefined : self.leader
  return {
    ...self,
    nodes,
    leader,
    ring: !moved ? self.ring : next.death === undefined ? liveRing(nodes, self) : Ring.remove(self.ring, next.node),
    topology: shown ? topologyOf(nodes, leader) : self.topology
  }
}

const canLead = ({ death, dialect }: NodeState): boolean => death === undefined && dialect === "raft"

/** Built anew, since of two points with the same hash the one of the node named first in the file counts. */
const liveRing = (nodes: ReadonlyMap<string, NodeState>, { replicas }: ClusterState): Ring.Ring =>
  Ring.make(
    [...nodes.values()].filter(({ death }) => death === undefined).map(({ node }) => node),
    { replicas }
  )

/** The node's dialect has become known, or is another one than before. */
export const dialectKnown = (self: ClusterState, node: string, dialect: Dialect): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.dialect === dialect ? self : update(self, { ...state, dialect })
}

/** A command has succeeded on the node. Nothing else clears its consecutiveFailures. */
export const succeeded = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.consecutiveFailures === 0
    ? self
    : update(self, { ...state, consecutiveFailures: 0 })
}

/** The node is down: dead, if it was not. A dead node stays dead of what it died of. */
export const died = (self: ClusterState, node: string, fault: Fault, now: number): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.death !== undefined
    ? self
    : update(self, { ...state, consecutiveFailures: 0, death: { node, ...fault }, since: now })
}

/** A command has failed doubtfully on a node that answers its ping; the last of `threshold` in a row kills the node. */
export const suspected = (
  self: ClusterState,
  node: string,
  fault: Fault,
  threshold: number,
  now: number
): ClusterState => {
  const state = self.nodes.get(node)
  if (state === undefined || state.death !== undefined) return self
  const consecutiveFailures = state.consecutiveFailures + 1
  return consecutiveFailures >= threshold
    ? died(self, node, fault, now)
    : update(self, { ...state, consecutiveFailures })
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
    : update(self, { node, dialect, consecutiveFailures: threshold - 1, death: undefined, since: now })
}

/** The node has been found to lead its raft cluster. */
export const leaderFound = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || !canLead(state) || self.leader === node
    ? self
    : { ...self, leader: node, topology: topologyOf(self.nodes, node) }
}

/** The node has refused what a leader does. */
export const leaderLost = (self: ClusterState, node: string): ClusterState =>
  self.leader === node ? { ...self, leader: undefined, topology: topologyOf(self.nodes, undefined) } : self

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
  const leader = self.leader !== undefined && states.has(self.leader) ? self.leader : undefined
  const topology = topologyOf(states, leader)
  return sameNodes(topology.live, self.topology.live) && sameNodes(topology.dead, self.topology.dead)
    ? { ...self, nodes: states }
    : { ...self, nodes: states, ring: liveRing(states, self), leader, topology }
}

const sameNodes = (self: ReadonlyArray<{ readonly node: string }>, that: ReadonlyArray<{ readonly node: string }>) =>
  self.length === that.length && self.every(({ node }, at) => node === that[at]?.node)

/** Whether the node is in the ring. */
export const isLive = (state: ClusterState, node: string): boolean => {
  const known = state.nodes.get(node)
  return known !== undefined && known.death === undefined
}
