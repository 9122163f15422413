/**
 * What a client knows of its cluster, as an immutable record, and every way in which it can change. Pure: the effects
 * around it are in `Cluster`. A change of one node costs the same in a cluster of thousands.
 */

import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { Dialect } from "../model/Dialect.js"
import type { FailureReason, Fault, NodeFailure } from "../model/GhostDBError.js"
import type { DeadNode, LiveNode, Placement, Topology } from "../model/Topology.js"
import * as Ring from "../ring/Ring.js"
import { NodeTable } from "./NodeTable.js"

/** What is known of one node. */
export interface NodeState {
  readonly node: string
  /** Unknown until the node has answered its first ping. */
  readonly dialect: Dialect | undefined
  /** Suspect failures in a row, of different commands, without a success between. */
  readonly consecutiveFailures: number
  /** Why the node is dead; absent while it is live. */
  readonly death: NodeFailure | undefined
  /** Since when the node is live or dead, in epoch milliseconds. */
  readonly since: number
  /** Which of the {@link ClusterState.resets} was the last of this node; 0 where none was. */
  readonly lastReset: number
}

/** How many nodes there are of a kind. */
export interface Counts {
  readonly live: number
  readonly dead: number
  /** Live nodes known to be raft members. */
  readonly raft: number
  /** Live nodes known to be v1 or v2 nodes. */
  readonly ring: number
}

/** What a client knows of its cluster. */
export interface ClusterState {
  /** Every configured node, in the order of the nodes file. */
  readonly nodes: NodeTable<NodeState>
  /** All nodes, the dead ones included: a key goes to the first live owner. `ring`'s positions are those of `nodes`. */
  readonly ring: Ring.Ring
  /** The live node that leads its raft cluster, while that is known. */
  readonly leader: string | undefined
  /** Until when it may be read as the leader without being asked, in milliseconds of the monotonic clock. */
  readonly leaderUntil: number
  /** How often a raft member has lost a connection, died or come back. */
  readonly resets: number
  /** How many of these resets there were when a leader was last searched and found. */
  readonly resetsAtLeader: number
  readonly counts: Counts
  /** How many deaths there have been. */
  readonly deaths: number
  /** The topology, made when it is first looked at. The same object for as long as nothing changes that it shows. */
  readonly view: TopologyView
}

/**
 * `down`: the node cannot be reached. `suspect`: it was reached, and did not answer as it should. `redirect`: it is well,
 * but another node must be asked.
 * `local`: the client's own doing, or nobody's: nothing is held against the node, and the command fails.
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
  Deadline: "local",
  ReplyTooLarge: "local",
  QueueTimeout: "local",
  Overloaded: "local"
}

/** The class of a failure, the only place that knows it. */
export const classify = ({ reason }: Fault): FaultClass => classes[reason]

/** The topology of one or more states. */
export class TopologyView {
  private made: Topology | undefined

  constructor(
    private readonly nodes: NodeTable<NodeState>,
    private readonly leader: string | undefined,
    private readonly placement: Placement
  ) {}

  /** Takes time in proportion to the number of nodes the first time. */
  get topology(): Topology {
    this.made ??= this.make()
    return this.made
  }

  private make(): Topology {
    const live: Array<LiveNode> = []
    const dead: Array<DeadNode> = []
    for (const { death, dialect, node, since } of this.nodes.values()) {
      const date = DateTime.unsafeMake(since)
      if (death === undefined) live.push({ node, dialect: Option.fromNullable(dialect), since: date })
      else dead.push({ node, failure: death, since: date })
    }
    return { live, dead, placement: this.placement, leader: Option.fromNullable(this.leader) }
  }
}

/** How keys find their nodes. */
export const placement = ({ raft, ring }: Counts): Placement =>
  raft === 0 ? "ring" : ring === 0 ? "replicated" : "mixed"

const none: Counts = { live: 0, dead: 0, raft: 0, ring: 0 }

/** The counts with one node more, or with `by` -1 one less. */
const counted = (counts: Counts, { death, dialect }: NodeState, by: 1 | -1): Counts =>
  death !== undefined
    ? { ...counts, dead: counts.dead + by }
    : {
        ...counts,
        live: counts.live + by,
        raft: counts.raft + (dialect === "raft" ? by : 0),
        ring: counts.ring + (dialect === "v1" || dialect === "v2" ? by : 0)
      }

const newNode = (node: string, dialect: Dialect | undefined, now: number): NodeState => ({
  node,
  dialect,
  consecutiveFailures: 0,
  death: undefined,
  since: now,
  lastReset: 0
})

/** All nodes live. `dialect` is what they are known to speak, if it is known. */
export const make = (
  nodes: ReadonlyArray<string>,
  options: { readonly replicas: number; readonly dialect: Dialect | undefined; readonly now: number }
): ClusterState => {
  const ring = Ring.make(nodes, { replicas: options.replicas })
  const states = Ring.nodes(ring).map((node) => newNode(node, options.dialect, options.now))
  const table = NodeTable.make(states)
  const counts = states.reduce((counts, state) => counted(counts, state, 1), none)
  return {
    nodes: table,
    ring,
    leader: undefined,
    leaderUntil: Number.NEGATIVE_INFINITY,
    resets: 0,
    resetsAtLeader: 0,
    counts,
    deaths: 0,
    view: new TopologyView(table, undefined, placement(counts))
  }
}

/** Replaces the state of a node that is in the cluster, and the topology where it shows that. */
const update = (self: ClusterState, previous: NodeState, next: NodeState): ClusterState => {
  const nodes = self.nodes.with(next)
  const died = previous.death === undefined && next.death !== undefined
  const moved = (previous.death === undefined) !== (next.death === undefined)
  const shown = moved || (next.death === undefined && previous.dialect !== next.dialect)
  const leader = self.leader === next.node && !canLead(next) ? undefined : self.leader
  if (!shown) return { ...self, nodes, leader }
  const counts = counted(counted(self.counts, previous, -1), next, 1)
  return {
    ...self,
    nodes,
    leader,
    counts,
    deaths: self.deaths + (died ? 1 : 0),
    view: new TopologyView(nodes, leader, placement(counts))
  }
}

const canLead = ({ death, dialect }: NodeState): boolean => death === undefined && dialect === "raft"

/** The node's dialect has become known, or is another one than before. */
export const dialectKnown = (self: ClusterState, node: string, dialect: Dialect): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.dialect === dialect ? self : update(self, state, { ...state, dialect })
}

/** A command has succeeded on the node. Nothing else clears its consecutive failures. */
export const succeeded = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.consecutiveFailures === 0
    ? self
    : update(self, state, { ...state, consecutiveFailures: 0 })
}

/** The node is down: dead, if it was not. A dead node keeps the failure that it died of. */
export const died = (self: ClusterState, node: string, { detail, reason }: Fault, now: number): ClusterState => {
  const state = self.nodes.get(node)
  return state === undefined || state.death !== undefined
    ? self
    : updateReset(self, state, { ...state, consecutiveFailures: 0, death: { node, reason, detail }, since: now })
}

/** {@link update}, where the node may have been restarted and lost all that it held. */
const updateReset = (self: ClusterState, previous: NodeState, next: NodeState): ClusterState => {
  const lastReset = self.resets + 1
  return update({ ...self, resets: lastReset }, previous, { ...next, lastReset })
}

/**
 * A connection to the node was lost, refused or reset, or it did not answer. A raft member may have been restarted since,
 * empty: it is not the leader until it is asked.
 */
export const disconnected = (self: ClusterState, node: string): ClusterState => {
  const state = self.nodes.get(node)
  if (state === undefined || !canLead(state)) return self
  // Each loss is noted, also of a member that is no leader: a search that is under way may have asked it before this one.
  return leaderLost(updateReset(self, state, state), node)
}

/** Whether a raft member was reset since a leader was last found, so that it may lack what the others hold. */
export const isDoubted = ({ resetsAtLeader }: ClusterState, { lastReset }: NodeState): boolean =>
  lastReset > resetsAtLeader

/** A command's failure makes a node suspect although it answers its ping; the last of `threshold` in a row kills it. */
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
    : update(self, state, { ...state, consecutiveFailures })
}

/** A dead node is back. Half-open: its next suspect failure before a success kills it again. */
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
    : updateReset(self, state, {
        ...state,
        dialect,
        consecutiveFailures: threshold - 1,
        death: undefined,
        since: now
      })
}

const withLeader = (self: ClusterState, leader: string | undefined): ClusterState => ({
  ...self,
  leader,
  view: new TopologyView(self.nodes, leader, placement(self.counts))
})

/**
 * A search that began when the cluster was as `asked` has found that the node leads its raft cluster. It is read as the
 * leader until `until`. What was reset meanwhile is not the leader, for all that the search knows.
 */
export const leaderFound = (
  self: ClusterState,
  node: string,
  { asked = self, until = Number.POSITIVE_INFINITY }: { readonly asked?: ClusterState; readonly until?: number } = {}
): ClusterState => {
  const state = self.nodes.get(node)
  if (state === undefined || !canLead(state) || state.lastReset !== asked.nodes.get(node)?.lastReset) return self
  if (self.leader === node && self.leaderUntil === until && self.resetsAtLeader === asked.resets) return self
  const trusted = { ...self, leaderUntil: until, resetsAtLeader: asked.resets }
  return self.leader === node ? trusted : withLeader(trusted, node)
}

/** The leader has done what only a leader does. */
export const leaseRenewed = (self: ClusterState, node: string, until: number): ClusterState =>
  self.leader === node && until > self.leaderUntil ? { ...self, leaderUntil: until } : self

/** The node has refused what a leader does. */
export const leaderLost = (self: ClusterState, node: string): ClusterState =>
  self.leader === node ? withLeader(self, undefined) : self

/** The nodes file names other nodes now. Those that stay keep all that is known of them. */
export const reloaded = (
  self: ClusterState,
  nodes: ReadonlyArray<string>,
  options: { readonly dialect: Dialect | undefined; readonly now: number }
): ClusterState => {
  const ring = Ring.make(nodes, { replicas: self.ring.replicas })
  const states = Ring.nodes(ring).map((node) => self.nodes.get(node) ?? newNode(node, options.dialect, options.now))
  const before = [...self.nodes.values()]
  if (sameNodes(states, before)) return self
  const table = NodeTable.make(states)
  const leader = self.leader !== undefined && table.has(self.leader) ? self.leader : undefined
  const counts = states.reduce((counts, state) => counted(counts, state, 1), none)
  const shownAlike =
    sameNodes(states.filter(isAlive), before.filter(isAlive)) && sameNodes(states.filter(isDead), before.filter(isDead))
  return {
    ...self,
    nodes: table,
    ring,
    leader,
    counts,
    view: shownAlike ? self.view : new TopologyView(table, leader, placement(counts))
  }
}

const isAlive = ({ death }: NodeState): boolean => death === undefined

const isDead = ({ death }: NodeState): boolean => death !== undefined

const sameNodes = (self: ReadonlyArray<NodeState>, that: ReadonlyArray<NodeState>) =>
  self.length === that.length && self.every(({ node }, at) => node === that[at]?.node)

/** Whether the node is in the cluster and live. */
export const isLive = (self: ClusterState, node: string): boolean => {
  const state = self.nodes.get(node)
  return state !== undefined && isAlive(state)
}

/** The live nodes, in the order of the nodes file. Takes time in proportion to the number of nodes. */
export const liveNodes = (self: ClusterState): ReadonlyArray<NodeState> => [...self.nodes.values()].filter(isAlive)

/** What the dead nodes died of, in the order of the nodes file. Takes time in proportion to the number of nodes. */
export const deaths = (self: ClusterState): ReadonlyArray<NodeFailure> => {
  if (self.counts.dead === 0) return []
  const failures: Array<NodeFailure> = []
  for (const { death } of self.nodes.values()) if (death !== undefined) failures.push(death)
  return failures
}
