/** Promises about errors, and about who is to blame. */
import * as Option from "effect/Option"
import { type FailureReason, KeyError, NoMoreServers } from "effect-ghostdb"
import { revivalTakes } from "../Scenario.js"
import { isTroubled, type Trouble, troubles } from "../Troubles.js"
import { type Entry, type History, RunFailed } from "../World.js"
import { hasFiles, type Invariant, isKilled, isSlowed, line, memory, planOf, processOf, stalledIn } from "./common.js"

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

/** How long a process has stood still in all: what befell a node meanwhile is seen later. */
const stalledBefore = (history: History, client: string, time: number): number =>
  processOf(history, client).stalls.reduce((sum, { from, until }) => sum + Math.max(0, Math.min(until, time) - from), 0)

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
          const since = failure.reason === "Refused" ? time - plan.deadline - stalledBefore(history, client, time) : 0
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

/** Faults that leave pings alone: a node that has these only is dead of commands that failed one after the other. */
const sparePings: ReadonlyArray<string> = ["reset", "closing", "put"]

/** A command that succeeds clears the failures before it: less than `failureThreshold` since then kill no node. */
export const aSuccessClearsTheFailuresBeforeIt: Invariant = (history) =>
  [...history.views].flatMap(([client, views]) => {
    const { failureThreshold } = planOf(history, client)
    return views.flatMap(({ time, topology }, i) =>
      topology.dead
        .filter(({ node }) => views[i - 1]?.topology.live.some((live) => live.node === node) === true)
        .filter(({ node }) => hasSparedPings(history, client, node))
        .flatMap(({ failure, node }) => {
          const since = lastSuccess(history, client, node, time)
          if (since === undefined) return []
          const failed = failuresOn(history, client, node, since, time)
          return failed >= failureThreshold
            ? []
            : [
                `${client} at ${time.toFixed(1)}: ${node} dead by ${failure.reason} after ${failed} failures since ${since.toFixed(1)}`
              ]
        })
    )
  })

const hasSparedPings = ({ scenario }: History, client: string, node: string): boolean =>
  scenario.faults.every((fault) => {
    if (fault._tag === "nodes file" || fault._tag === "stalled") return false
    if (!("node" in fault) || fault.node !== node || ("client" in fault && fault.client !== client)) return true
    return sparePings.includes(fault._tag) || (fault._tag === "garbage" && fault.only !== undefined)
  })

/** When a command of the client last ended well that the node had carried out. */
const lastSuccess = (history: History, client: string, node: string, before: number): number | undefined =>
  history.entries.reduce<number | undefined>((latest, { began, ended, operation, outcome }) => {
    if (operation.client !== client || outcome?._tag !== "ok" || ended === undefined || ended >= before) return latest
    const { command } = operation
    if (!("key" in command) || command._tag === "getOrElse" || ended < (latest ?? 0)) return latest
    const isDone = history.executions.some(
      (done) =>
        done.process === client &&
        done.node === node &&
        done.key === command.key &&
        done.time >= began &&
        done.time <= ended
    )
    return isDone ? ended : latest
  }, undefined)

/** A failure is counted after a ping of its node, so that it may lie before a success by this much, in milliseconds. */
const pingTakes = 10

/**
 * How many commands at most have failed on the node, operations or those of a lookup, a `clear` or an `expireTags`: those that
 * were answered with garbage or were unanswered when a connection ended. A ping that fails kills a node alone.
 */
const failuresOn = (history: History, client: string, node: string, since: number, until: number): number => {
  const isThen = (event: { readonly time: number; readonly process: string; readonly node: string }) =>
    event.process === client && event.node === node && event.time >= since - pingTakes && event.time <= until
  return history.closings
    .filter(isThen)
    .reduce(
      (sum, { connecting, unanswered }) =>
        connecting || unanswered.includes("ping") ? Number.POSITIVE_INFINITY : sum + unanswered.length,
      history.garbled.filter(isThen).length
    )
}

/** Who was dead is not the leader, and when it is back, not before it has been asked. */
export const aReturnedLeaderIsAskedBeforeItIsTrusted: Invariant = (history) =>
  [...history.views].flatMap(([client, views]) => {
    const deadAt = new Map<string, number>()
    return views.flatMap(({ time, topology }) => {
      for (const { node } of topology.dead) deadAt.set(node, time)
      const leader = Option.getOrUndefined(topology.leader)
      const since = leader === undefined ? undefined : deadAt.get(leader)
      if (since === undefined) return []
      const isAsked = history.executions.some(
        (asked) =>
          asked.process === client &&
          asked.node === leader &&
          asked.command === "nodeSize" &&
          asked.time >= since &&
          asked.time <= time
      )
      return isAsked
        ? []
        : [`${client} at ${time.toFixed(1)}: ${leader} leads, dead at ${since.toFixed(1)} and not asked since`]
    })
  })

/** A lost connection is seen, and the leader it led to forgotten, in so many milliseconds. */
const isSeenIn = 1

/**
 * A member whose connection was lost may have been restarted, empty: it does not lead any more for the client, until it
 * has been asked.
 */
export const aLeaderWhoseConnectionWasLostIsAsked: Invariant = (history) =>
  history.losses.flatMap(({ node, process: client, time }) => {
    if (isKilled(history, client) || time >= (history.ends.get(client) ?? 0)) return []
    const view = history.views.get(client)?.findLast((view) => view.time <= time + isSeenIn)
    if (view === undefined || Option.getOrUndefined(view.topology.leader) !== node) return []
    const isAsked = history.executions.some(
      (asked) =>
        asked.process === client &&
        asked.node === node &&
        asked.command === "nodeSize" &&
        asked.time >= time &&
        asked.time <= time + isSeenIn
    )
    return isAsked ? [] : [`${client} at ${time.toFixed(1)}: ${node} leads, although its connection was lost`]
  })

/** Whether a node or the way to it gave a client a reason to wait. */
const hadToWait = (
  history: History,
  all: ReadonlyArray<Trouble>,
  client: string,
  node: string,
  entry: Entry
): boolean => {
  const [from, until] = [entry.began - memory, entry.ended ?? entry.began]
  return isTroubled(all, client, node, from, until) || isSlowed(history, node, from, until)
}

/** How many operations of a client were under way at a time during an operation. */
const besides = ({ entries }: History, { began, ended, operation }: Entry): number =>
  entries.filter(
    (other) =>
      other.operation.client === operation.client &&
      other.began <= (ended ?? began) &&
      (other.ended ?? Number.POSITIVE_INFINITY) >= began
  ).length

/** So many commands at a time are no burst to a client that has one in flight at a time. */
const burst = 50

/** An error says which side was slow: this process only where it stood still, and a node only where that was slow. */
export const anErrorSaysWhichSideWasSlow: Invariant = (history) => {
  const all = troubles(history.scenario)
  const hasRaft = history.scenario.nodes.some(({ dialect }) => dialect === "raft")
  return history.entries.flatMap((entry) => {
    const { outcome } = entry
    if (outcome?._tag !== "fail" || !(outcome.error instanceof NoMoreServers)) return []
    const { client } = entry.operation
    const [from, until] = [entry.began, entry.ended ?? entry.began]
    return outcome.error.failures
      .filter(({ node, reason }) => {
        switch (reason) {
          case "Overloaded":
            return !stalledIn(history, client, from - memory, until) && hasFiles(history, client, from - memory, until)
          case "QueueTimeout":
          case "AttemptTimeout":
          case "Deadline":
            return (
              !hasRaft &&
              !stalledIn(history, client, from - memory, until) &&
              besides(history, entry) < burst &&
              !hadToWait(history, all, client, node, entry) &&
              hasFiles(history, client, from, until)
            )
          default:
            return false
        }
      })
      .map(({ node, reason }) => `${reason} on ${node}: ${line(entry)}`)
  })
}
