/** Where a command goes, by what is known of the cluster. Pure. */
import * as Ring from "../ring/Ring.js"
import * as ClusterState from "./ClusterState.js"

/**
 * Where a command goes: to a node, or nowhere, since no leader is known, no node is live, or the one node it is for is dead
 * or not in the cluster.
 */
export type Route = ClusterState.NodeState | "no leader" | "no node" | "gone"

/** Which nodes serve a key: `"standIn"` lets the next live node stand in for a dead owner. */
export type Failover = "standIn" | "none"

/**
 * The key's live owner; where that is a raft member and the command wants the leader, the leader. A read gives the time in
 * milliseconds of the monotonic clock, and goes to no leader whose lease is over by then; a write needs no lease, since no
 * other member carries it out.
 */
export const route = (
  self: ClusterState.ClusterState,
  key: string,
  wantsLeader: boolean,
  now = Number.NEGATIVE_INFINITY,
  failover: Failover = "standIn"
): Route => {
  const owner = self.counts.live === 0 ? undefined : Ring.find(self.ring, key, self.nodes.liveAt)
  if (owner === undefined) return "no node"
  if (failover === "none" && isStandIn(self, key, owner)) return "gone"
  return wantsLeader && owner.dialect === "raft" ? routeToLeader(self, now) : owner
}

/** The node that owns the key while all nodes live. */
export const ownerOf = ({ nodes, ring }: ClusterState.ClusterState, key: string): string | undefined =>
  Ring.find(ring, key, (position) => nodes.at(position))?.node

/** Whether the node would serve the key in the place of a dead owner. A raft member does not: it holds every key. */
export const isStandIn = (
  self: ClusterState.ClusterState,
  key: string,
  { dialect, node }: ClusterState.NodeState
): boolean =>
  self.counts.dead > 0 &&
  ClusterState.placement(self.counts) !== "replicated" &&
  dialect !== "raft" &&
  ownerOf(self, key) !== node

/**
 * Where a read goes while there is no leader: to the key's live owner, or another raft member in its place where that one
 * was reset since the last leader was found, and may lack what the others hold.
 */
export const routeWithoutLeader = (self: ClusterState.ClusterState, key: string): Route => {
  const owner = route(self, key, false)
  if (typeof owner === "string" || owner.dialect !== "raft" || !ClusterState.isDoubted(self, owner)) return owner
  const trusted = Ring.find(self.ring, key, (position) => {
    const state = self.nodes.liveAt(position)
    return state?.dialect === "raft" && !ClusterState.isDoubted(self, state) ? state : undefined
  })
  return trusted ?? owner
}

/** The node itself; where that is a raft member and the command wants the leader, the leader. */
export const routeTo = (self: ClusterState.ClusterState, node: string, wantsLeader: boolean): Route => {
  const state = self.nodes.get(node)
  if (state === undefined || state.death !== undefined) return "gone"
  return wantsLeader && state.dialect === "raft" ? routeToLeader(self) : state
}

/** The leader of the raft members, while its lease is not over at `now`. */
export const routeToLeader = (self: ClusterState.ClusterState, now = Number.NEGATIVE_INFINITY): Route => {
  const leader = self.leader === undefined || now >= self.leaderUntil ? undefined : self.nodes.get(self.leader)
  return leader ?? (ClusterState.placement(self.counts) === "ring" ? "no node" : "no leader")
}
