import * as Effect from "effect/Effect"
import type { Registry } from "../telemetry/Registry.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import * as ClusterState from "./ClusterState.js"

/** Counts the nodes that a transition made live or dead. */
export const countNodes = (
  registry: Registry,
  before: ClusterState.ClusterState | undefined,
  after: ClusterState.ClusterState | undefined
): void => {
  const count = (state: ClusterState.ClusterState | undefined, list: "live" | "dead") => state?.counts[list] ?? 0
  Telemetry.nodesChanged(
    registry,
    count(after, "live") - count(before, "live"),
    count(after, "dead") - count(before, "dead")
  )
}

/** Logs what a transition changed: nodes added and removed, deaths and revivals, the leader, the placement. */
export const logChanges = (
  before: ClusterState.ClusterState,
  after: ClusterState.ClusterState
): Effect.Effect<void> => {
  if (before.view === after.view) return Effect.void
  const logs: Array<Effect.Effect<void>> = []
  for (const { death, dialect, node } of after.nodes.since(before.nodes)) {
    const previous = before.nodes.get(node)
    if (previous === undefined) logs.push(Effect.logInfo("GhostDB node added").pipe(Effect.annotateLogs({ node })))
    else if (previous.death === undefined && death !== undefined) {
      const { detail, reason } = death
      logs.push(Effect.logWarning("GhostDB node died").pipe(Effect.annotateLogs({ node, reason, detail })))
    } else if (previous.death !== undefined && death === undefined) {
      logs.push(Effect.logInfo("GhostDB node revived").pipe(Effect.annotateLogs({ node, dialect })))
    }
  }
  if (after.leader !== undefined && after.leader !== before.leader) {
    logs.push(Effect.logInfo("GhostDB leader changed").pipe(Effect.annotateLogs({ node: after.leader })))
  }
  const placement = ClusterState.placement(after.counts)
  if (placement !== ClusterState.placement(before.counts)) {
    logs.push(
      placement === "mixed"
        ? Effect.logWarning("GhostDB nodes are mixed: the ring decides which keys are the raft cluster's")
        : Effect.logDebug("GhostDB placement changed").pipe(Effect.annotateLogs({ placement }))
    )
  }
  for (const { node } of before.nodes.since(after.nodes)) {
    if (!after.nodes.has(node)) logs.push(Effect.logInfo("GhostDB node removed").pipe(Effect.annotateLogs({ node })))
  }
  return Effect.all(logs, { discard: true })
}
