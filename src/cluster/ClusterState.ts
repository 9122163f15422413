/**
 * What a client knows of its cluster, as an immutable record, and every way in which it can change. Pure: the effects
 * around it are in `Cluster`.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { FailureReason, Fault, NodeFailure } from "../model/GhostDBError.js"
import type { Dialect } from "../protocol/Protocol.js"
import * as Ring from "../ring/Ring.js"

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

/**
 * How keys find their nodes, by what the live nodes that have been spoken to are.
 *
 * - `ring`: v1 and v2 nodes. Each key is on its owner, and nowhere else.
 * - `replicated`: the members of a raft cluster. Each key is on every node; the leader takes the writes.
 * - `mixed`: both at once, as in the middle of an upgrade. The ring decides key by key: a key whose owner is a raft member
 *   is the raft cluster's, any other is its owner's alone. No key is ever looked for in both places.
 */
export type Placement = "ring" | "replicated" | "mixed"

/** The cluster as the client sees it. Both lists are in the order of the nodes file. */
export interface Topology {
  readonly live: ReadonlyArray<LiveNode>
  readonly dead: ReadonlyArray<DeadNode>
  readonly placement: Placement
  /** The leader of a raft cluster, once a command has needed it, and while it is known to lead. */
  readonly leader: Option.Option<string>
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
 * `down`: the node cannot be reached. `doubtful`: it was reached, and did not answer as it should. `misdirected`: it is well,
 * and another one is to be asked.
 */
export type FaultClass = "down" | "doubtful" | "misdirected"

const classes: { readonly [R in FailureReason]: FaultClass } = {
  Refused: "down",
  Unreachable: "down",
  UnknownHost: "down",
  ConnectTimeout: "down",
  Reset: "doubtful",
  AttemptTimeout: "doubtful",
  BadReply: "doubtful",
  NotLeader: "misdirected",
  Deadline: "doubtful"
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

/** The node has been found to lead its raft cluster. */
export const led = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || !canLead(state) || self.leader === node
    ? self
    : { ...self, leader: node, topology: topologyOf(self.nodes, node) }
}

/** The node has refused what a leader does. */
export const deposed = (self: ClusterState, node: string): ClusterState =>
  self.leader === node ? { ...self, leader: undefined, topology: topologyOf(self.nodes, undefined) } : self

/**
 * Where a command goes: to a node, or nowhere, since no leader is known, no node is live, or the one node it is for is dead
 * or not in the cluster.
 */
export type Route = NodeState | "no leader" | "no node" | "gone"

/** The key's live owner; where that is a raft member and the command wants the leader, the leader. */
export const route = (self: ClusterState, key: string, wantsLeader: boolean): Route => {
  const owner = Ring.owner(self.ring, key)
  const state = owner === undefined ? undefined : self.nodes.get(owner)
  if (state === undefined) return "no node"
  return wantsLeader && state.dialect === "raft" ? routeToLeader(self) : state
}

/** The node itself; where that is a raft member and the command wants the leader, the leader. */
export const routeTo = (self: ClusterState, node: string, wantsLeader: boolean): Route => {
  const state = self.nodes.get(node)
  if (state === undefined || state.death !== undefined) return "gone"
  return wantsLeader && state.dialect === "raft" ? routeToLeader(self) : state
}

/** The leader of the raft members. */
export const routeToLeader = (self: ClusterState): Route => {
  const leader = self.leader === undefined ? undefined : self.nodes.get(self.leader)
  return leader ?? (self.topology.placement === "ring" ? "no node" : "no leader")
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
  const leader = self.leader !== undefined && states.has(self.leader) ? self.leader : undefined
  const topology = topologyOf(states, leader)
  return sameNodes(topology.live, self.topology.live) && sameNodes(topology.dead, self.topology.dead)
    ? { ...self, nodes: states }
    : { ...self, nodes: states, ring: liveRing(states, self), leader, topology }
}

const sameNodes = (self: ReadonlyArray<{ readonly node: string }>, that: ReadonlyArray<{ readonly node: string }>) =>
  self.length === that.length && self.every(({ node }, at) => node === that[at]?.node)
