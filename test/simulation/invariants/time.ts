/** Promises about time, and about what is left behind. */
import { revivalTakes } from "../Scenario.js"
import { isTroubled, type Trouble, troubles } from "../Troubles.js"
import type { Entry, History, View } from "../World.js"
import { type Invariant, instant, isKilled, isLate, line, planOf, processOf, valueOf } from "./common.js"

/** The commands of `Store.getOrElse` take as many commands as the lookup needs, and the effect. */
const isOneCommand = ({ operation: { command } }: Entry): boolean => !["getOrElse", "expireTags"].includes(command._tag)

/** A write of a key whose value is being stored waits for that first, which has a deadline of its own. */
const waitsForAStore = ({ operation: { command } }: Entry): boolean =>
  "key" in command && command.key.startsWith("store-")

export const everyCommandEndsByItsDeadline: Invariant = (history) =>
  history.entries.filter(isOneCommand).flatMap((entry) => {
    const { client } = entry.operation
    if (entry.ended === undefined) return isKilled(history, client) ? [] : [line(entry)]
    const deadline = planOf(history, client).deadline * (waitsForAStore(entry) ? 2 : 1)
    return isLate(history, client, entry.began, entry.ended, deadline) ? [`deadline ${deadline}: ${line(entry)}`] : []
  })

export const everyLookupEnds: Invariant = (history) =>
  history.entries
    .filter((entry) => !isOneCommand(entry) && entry.ended === undefined)
    .filter(({ operation }) => !isKilled(history, operation.client))
    .map(line)

export const whatIsGivenUpEndsAtOnce: Invariant = (history) =>
  history.entries.flatMap((entry) => {
    const { ended, interrupted, operation } = entry
    if (interrupted === undefined || operation.region !== "plain") return []
    // A lookup that ends gives its lock back in the background.
    return ended !== undefined && !isLate(history, operation.client, interrupted, ended, 0)
      ? []
      : isKilled(history, operation.client) && ended === undefined
        ? []
        : [`given up at ${interrupted.toFixed(1)}: ${line(entry)}`]
  })

/** No node is paced, so that nothing waits there for long. */
const isQuick = ({ scenario }: History): boolean =>
  !scenario.faults.some(({ _tag }) => _tag === "paced" || _tag === "slow") && scenario.operations.length < 400

/** A request whose caller has gone before it was written is not written. */
export const whatIsGivenUpIsNotSentLater: Invariant = (history) => {
  const all = troubles(history.scenario)
  return history.entries.flatMap((entry) => {
    const value = valueOf(entry)
    if (entry.interrupted === undefined || entry.operation.region !== "plain" || entry.ended === undefined) return []
    if (entry.operation.command._tag === "getOrElse") return []
    const { client } = entry.operation
    const late = history.executions.filter(
      ({ node, process, time, value: sent }) =>
        value !== undefined &&
        process === client &&
        sent === JSON.stringify(value) &&
        time > (entry.ended ?? 0) + 50 &&
        !isTroubled(all, client, node, entry.began, time)
    )
    return isQuick(history)
      ? late.map(({ node, time }) => `carried out by ${node} at ${time.toFixed(1)}: ${line(entry)}`)
      : []
  })
}

/** When nothing was wrong between a client and a node any more, seen from a time. */
const wellSince = (all: ReadonlyArray<Trouble>, client: string, node: string, at: number): number =>
  all.reduce(
    (latest, trouble) =>
      trouble.node === node && (trouble.client === undefined || trouble.client === client) && trouble.from <= at
        ? Math.max(latest, Math.min(trouble.until, at))
        : latest,
    0
  )

/** Whether a client ran out of file descriptors at some time. */
const hasFiles = ({ scenario }: History, client: string, from: number, until: number): boolean =>
  scenario.faults.some(
    (fault) => fault._tag === "no files" && fault.client === client && fault.at <= until && fault.until + 2500 >= from
  )

export const aNodeThatAnswersIsRevivedInTime: Invariant = (history) => {
  const all = troubles(history.scenario)
  return [...history.views].flatMap(([client, views]) => {
    if (isKilled(history, client)) return []
    const process = processOf(history, client)
    const takes = revivalTakes(planOf(history, client))
    const end = history.ends.get(client) ?? history.scenario.closedAt
    return views.flatMap(({ time, topology }, i) => {
      const until = Math.min(views[i + 1]?.time ?? end, end)
      return topology.dead.flatMap(({ failure, node }) => {
        const since = Math.max(wellSince(all, client, node, until), time)
        return until > process.runsAt(since + takes) + instant && !hasFiles(history, client, since, until)
          ? [`${client}: ${node} dead by ${failure.reason} until ${until.toFixed(1)}, well since ${since.toFixed(1)}`]
          : []
      })
    })
  })
}

export const nothingIsLeftOfAClosedClient: Invariant = (history) =>
  [...history.remains].flatMap(([client, { fibers, sleeping, sockets }]) =>
    !isKilled(history, client) && fibers + sleeping + sockets > 0
      ? [`${client}: ${fibers} fibers, ${sleeping} sleeps, ${sockets} sockets`]
      : []
  )

const viewsOf = (history: History, client: string): ReadonlyArray<View> => history.views.get(client) ?? []

export const noNodeIsForgotten: Invariant = (history) =>
  history.scenario.clients.flatMap(({ name }) => {
    const last = viewsOf(history, name).at(-1)
    if (last === undefined || isKilled(history, name) || (history.ends.get(name) ?? 0) < history.scenario.closedAt)
      return []
    const { dead, live } = last.topology
    return dead.length === 0 && live.length === history.scenario.nodes.length
      ? []
      : [`${name} ends with ${live.length} live and ${dead.length} dead nodes of ${history.scenario.nodes.length}`]
  })

/** A node never has more requests of a connection at a time than `pipelining` allows. */
export const whatIsInFlightIsBounded: Invariant = (history) =>
  [...history.nodes].flatMap(([address, { mostPipelined }]) =>
    [...mostPipelined]
      .filter(([client, most]) => most > planOf(history, client).pipelining)
      .map(([client, most]) => `${address} had ${most} requests of ${client} at a time`)
  )
