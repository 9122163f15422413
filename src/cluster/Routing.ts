/** Where a command goes, by what is known of the cluster. Pure. */
import * as Ring from "../ring/Ring.js"
import * as ClusterState from "./ClusterState.js"

/**
 * Where a command goes: to a node, or nowhere, since no leader is known, no node is live, or the one node it is for is dead
 * or not in the cluster.
 */
export type Route = ClusterState.NodeState | "no leader" | "no node" | "gone"

/** The key's live owner; where that is a raft member and the command wants the leader, the leader. */
export const route = (self: ClusterState.ClusterState, key: string, wantsLeader: boolean): Route => {
  const owner = self.counts.live === 0 ? undefined : Ring.find(self.ring, key, self.nodes.liveAt)
  if (owner === undefined) return "no node"
  return wantsLeader && owner.dialect === "raft" ? routeToLeader(self) : owner
}

/** The node itself; where that is a raft member and the command wants the leader, the leader. */
export const routeTo = (self: ClusterState.ClusterState, node: string, wantsLeader: boolean): Route => {
  const state = self.nodes.get(node)
  if (state === undefined || state.death !== undefined) return "gone"
  return wantsLeader && state.dialect === "raft" ? routeToLeader(self) : state
}

/** The leader of the raft members. */
export const routeToLeader = (self: ClusterState.ClusterState): Route => {
  const leader = self.leader === undefined ? undefined : self.nodes.get(self.leader)
  return leader ?? (ClusterState.placement(self.counts) === "ring" ? "no node" : "no leader")
}
