/**
 * How one command fails over: what to do next, and what a failure means for it. Pure; `Failover` carries the steps out.
 */
import * as ClusterState from "../cluster/ClusterState.js"
import type * as Routing from "../cluster/Routing.js"
import type { Verdict } from "../cluster/Suspicion.js"
import type { NodeFailure } from "../model/GhostDBError.js"

/** Where a command goes. */
export interface Target {
  readonly route: (state: ClusterState.ClusterState) => Routing.Route
  /** Where it goes while a raft cluster has no leader; absent where it waits for one. */
  readonly withoutLeader?: (state: ClusterState.ClusterState) => Routing.Route
  /** The one node that it is for; absent where another node does as well. */
  readonly only?: string
}

/** How far a command has got. */
export interface Progress {
  /** What has failed so far, each failure of a node once. */
  readonly failures: ReadonlyArray<NodeFailure>
  /** The node that is being tried. */
  readonly node: string | undefined
  /** Whether the dead nodes have been probed for this command. */
  readonly probed: boolean
  /** Whether a leader has been searched since a node last refused or the command last waited. */
  readonly searched: boolean
  /** The last node to refuse what only a leader does. */
  readonly refusedBy: string | undefined
  /** Whether the last failure ends the command. */
  readonly ended: boolean
}

/** What a command does next. `route` is that by which the node was found, and must still lead to it when it is tried. */
export type Step =
  | { readonly _tag: "Attempt"; readonly node: string; readonly route: Target["route"] }
  | { readonly _tag: "ProbeDead" }
  | { readonly _tag: "FindLeader" }
  | { readonly _tag: "AwaitLeader" }
  | { readonly _tag: "Fail"; readonly failures: ReadonlyArray<NodeFailure> }

/** A command that has not been tried. */
export const initial: Progress = {
  failures: [],
  node: undefined,
  probed: false,
  searched: false,
  refusedBy: undefined,
  ended: false
}

/** What to do now. `late` is whether the command's deadline has passed. */
export const nextStep = (target: Target, progress: Progress, state: ClusterState.ClusterState, late: boolean): Step => {
  if (progress.ended) return fail(progress.failures)
  if (late) return fail(timedOut(progress, state))
  const route = target.route(state)
  if (typeof route === "object" && route.node !== progress.refusedBy) return attempt(route.node, target.route)
  if (route === "no node") return progress.probed ? fail(exhausted(target, progress, state)) : { _tag: "ProbeDead" }
  if (route === "gone") return fail(exhausted(target, progress, state))
  if (!progress.searched) return { _tag: "FindLeader" }
  const other = target.withoutLeader?.(state)
  return target.withoutLeader !== undefined && typeof other === "object"
    ? attempt(other.node, target.withoutLeader)
    : { _tag: "AwaitLeader" }
}

const attempt = (node: string, route: Target["route"]): Step => ({ _tag: "Attempt", node, route })

const fail = (failures: ReadonlyArray<NodeFailure>): Step => ({ _tag: "Fail", failures })

/** The failures with one more, unless the node has failed in this way before: it may while a command waits. */
const noted = (failures: ReadonlyArray<NodeFailure>, failure: NodeFailure): ReadonlyArray<NodeFailure> =>
  failures.some(({ node, reason }) => node === failure.node && reason === failure.reason)
    ? failures
    : [...failures, failure]

/** No node is left: what the dead ones died of says more than how this command fared. */
const exhausted = (
  { only }: Target,
  { failures }: Progress,
  state: ClusterState.ClusterState
): ReadonlyArray<NodeFailure> => {
  if (only !== undefined) {
    const death = state.nodes.get(only)?.death
    return death === undefined ? failures : [death]
  }
  const dead = ClusterState.deaths(state)
  return dead.length > 0 ? dead : failures
}

/** The deadline has passed between attempts, while the command waited or searched. */
const timedOut = ({ failures }: Progress, state: ClusterState.ClusterState): ReadonlyArray<NodeFailure> =>
  failures.length > 0 ? failures : ClusterState.deaths(state)

/** A node is tried. */
export const attempting = (progress: Progress, node: string): Progress => ({ ...progress, node })

/** All attempts on the node have failed. */
export const afterFailure = (progress: Progress, failure: NodeFailure, verdict: Verdict): Progress => {
  switch (verdict) {
    case "retry":
      return progress
    case "dead":
      return { ...progress, failures: noted(progress.failures, failure), node: undefined, searched: false }
    case "redirect":
      return {
        ...progress,
        failures: noted(progress.failures, failure),
        node: undefined,
        searched: false,
        refusedBy: failure.node
      }
    case "suspect":
    case "local":
      return { ...progress, failures: noted(progress.failures, failure), ended: true }
  }
}

/** The deadline has passed while a node was tried. `failure` says how. */
export const afterDeadline = (progress: Progress, failure: NodeFailure): Progress => ({
  ...progress,
  failures: [...progress.failures, failure],
  ended: true
})

/** The dead nodes have been probed. */
export const afterProbe = (progress: Progress): Progress => ({ ...progress, probed: true })

/** A leader has been searched. `leader` is undefined where none was found. */
export const afterSearch = (progress: Progress, leader: string | undefined): Progress => ({
  ...progress,
  searched: true,
  refusedBy: leader === undefined || leader === progress.refusedBy ? progress.refusedBy : undefined
})

/** There is no leader, so that the command waits: the members that cannot serve it are among its failures. */
export const awaitingLeader = (progress: Progress, state: ClusterState.ClusterState): Progress => {
  let { failures } = progress
  for (const { death, dialect, node } of state.nodes.values()) {
    if (death !== undefined) failures = noted(failures, death)
    else if (dialect === "raft") {
      failures = noted(failures, { node, reason: "NotLeader", detail: "the raft cluster has no leader" })
    }
  }
  return { ...progress, failures, node: undefined }
}

/** The command has waited, or cannot wait any longer where `again` is false. */
export const afterWait = (progress: Progress, again: boolean): Progress => ({
  ...progress,
  searched: false,
  refusedBy: undefined,
  ended: !again
})
