/** Promises about errors, and about who is to blame. */
import { type FailureReason, KeyError, NoMoreServers } from "effect-ghostdb"
import { revivalTakes } from "../Scenario.js"
import { isTroubled, troubles } from "../Troubles.js"
import { RunFailed } from "../World.js"
import { type Invariant, line, memory, planOf } from "./common.js"

export const errorsAreTyped: Invariant = ({ entries }) =>
  entries
    .filter(({ operation, outcome }) => {
      if (outcome?._tag === "defect") return true
      if (outcome?._tag !== "fail") return false
      const { command } = operation
      if (command._tag === "getOrElse") return !(outcome.error instanceof RunFailed)
      return !(outcome.error instanceof NoMoreServers || outcome.error instanceof KeyError)
    })
    .map(line)

/** Reasons that are this client's own, and the leader's, for which a node need not have done anything. */
const blameless: ReadonlySet<FailureReason> = new Set<FailureReason>([
  "NotLeader",
  "Deadline",
  "QueueTimeout",
  "Overloaded",
  "ReplyTooLarge"
])

/** A node that a command names was to blame at some time since it may have died. */
export const errorsBlameOnlyWhoDidIt: Invariant = (history) => {
  const all = troubles(history.scenario)
  return history.entries.flatMap((entry) => {
    const { outcome } = entry
    if (outcome?._tag !== "fail" || !(outcome.error instanceof NoMoreServers)) return []
    const { client } = entry.operation
    // A client that closes breaks its connections itself.
    if ((entry.ended ?? 0) >= (history.ends.get(client) ?? 0)) return []
    const since = entry.began - revivalTakes(planOf(history, client)) - memory
    return outcome.error.failures
      .filter(({ node, reason }) => {
        if (blameless.has(reason)) return false
        return !isTroubled(all, client, node, since, entry.ended ?? entry.began)
      })
      .map(({ node, reason }) => `${node} has done nothing, and is said to have ${reason}: ${line(entry)}`)
  })
}

export const aNodeIsCalledDeadOnlyForAReasonThatTheWorldHad: Invariant = (history) => {
  const all = troubles(history.scenario)
  return [...history.views].flatMap(([client, views]) => {
    const plan = planOf(history, client)
    const dead = new Set<string>()
    return views.flatMap(({ time, topology }) => {
      const found = topology.dead
        .filter(({ node }) => !dead.has(node))
        .filter(({ failure, node }) => {
          // What a doubtful failure was counted for may lie back by a whole command, and longer where nothing came after.
          const since = failure.reason === "Refused" ? time - plan.deadline : 0
          return !isTroubled(all, client, node, since, time, failure.reason === "Deadline" ? undefined : failure.reason)
        })
        .map(
          ({ failure, node }) =>
            `${client} at ${time.toFixed(1)}: ${node} dead by ${failure.reason} (${failure.detail})`
        )
      dead.clear()
      for (const { node } of topology.dead) dead.add(node)
      return found
    })
  })
}
