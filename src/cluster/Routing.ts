import * as Ring from "../ring/Ring.js"
import type { ClusterState, NodeState } from "./ClusterState.js"

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
