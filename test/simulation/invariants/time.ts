/** Promises about time, and about what is left behind. */
import { revivalTakes } from "../Scenario.js"
import type { Swallowed } from "../SimulatedNode.js"
import { isTroubled, type Trouble, troubles } from "../Troubles.js"
import type { Entry, History, View } from "../World.js"
import {
  hasFiles,
  type Invariant,
  instant,
  isKilled,
  isLate,
  isSlowed,
  keyOf,
  line,
  memory,
  planOf,
  processOf,
  stalledIn,
  valueOf
} from "./common.js"

/** The commands of `Store.getOrElse` take as many commands as the lookup needs, and the effect. */
const isOneCommand = ({ operation: { command } }: Entry): boolean =>
  !["getOrElse", "expireTags", "clear"].includes(command._tag)

/** A write of a key whose value is being stored waits for that first, which has a deadline of its own. */
const waitsForAnother = ({ operation: { command } }: Entry): boolean =>
  "key" in command && command.key.startsWith("store-") && command._tag !== "get"

export const everyCommandEndsByItsDeadline: Invariant = (history) =>
  history.entries.filter(isOneCommand).flatMap((entry) => {
    const { client } = entry.operation
    if (entry.ended === undefined) return isKilled(history, client) ? [] : [line(entry)]
    const deadline = planOf(history, client).deadline * (waitsForAnother(entry) ? 2 : 1)
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
        return until > process.runsAt(since + takes) + instant && hasFiles(history, client, since, until)
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

/** A node is removed when the nodes file has lacked it for so long. */
const confirmRemovals = 2000

/** A nodes file that is being written is a short one for a while: a node that it lacks then stays. */
export const aNodeStaysUntilItsRemovalIsConfirmed: Invariant = (history) =>
  [...history.views].flatMap(([client, views]) =>
    views.flatMap(({ time, topology }) => {
      const seen = new Set([...topology.live, ...topology.dead].map(({ node }) => node))
      return history.scenario.nodes
        .filter(({ address }) => !seen.has(address))
        .filter(
          ({ address }) =>
            !history.scenario.faults.some(
              (fault) =>
                fault._tag === "nodes file" && fault.without.includes(address) && fault.at + confirmRemovals <= time
            )
        )
        .map(({ address }) => `${client} at ${time.toFixed(1)}: ${address} is gone`)
    })
  )

/** A node never has more requests of a connection at a time than `pipelining` allows. */
export const whatIsInFlightIsBounded: Invariant = (history) =>
  [...history.nodes].flatMap(([address, { mostPipelined }]) =>
    [...mostPipelined]
      .filter(([client, most]) => most > planOf(history, client).pipelining)
      .map(([client, most]) => `${address} had ${most} requests of ${client} at a time`)
  )

/** Whether anything but the freeze of a node came between it and a client. */
const isFrozenOnly = (history: History, client: string, node: string, from: number, until: number): boolean =>
  !stalledIn(history, client, from - memory, until) &&
  hasFiles(history, client, from, until) &&
  !isSlowed(history, node, from, until) &&
  history.scenario.faults.every((fault) => {
    if (fault._tag === "frozen") return true
    if (fault._tag === "nodes file") return false
    return !("node" in fault) || fault.node !== node || fault.until + memory < from || fault.at > until
  })

/** The commands that nobody gave up whose requests a frozen node has swallowed. */
const swallowedBy = (history: History, { key, process: client, time }: Swallowed): ReadonlyArray<Entry> =>
  history.entries.filter(
    (entry) =>
      key !== undefined &&
      entry.operation.client === client &&
      keyOf(entry) === key &&
      entry.operation.interruptAfter === undefined &&
      entry.began <= time &&
      (entry.ended ?? Number.POSITIVE_INFINITY) > time
  )

/** Two attempts, each of which may be noticed a sixteenth later, and a delay between them. */
const twoAttempts = (attemptTimeout: number): number => 2.125 * attemptTimeout + 70

/** A node that is frozen is dead within two attempt timeouts of the first request that it has swallowed. */
export const aFrozenNodeIsDeadInTwoAttempts: Invariant = (history) =>
  history.swallowed.flatMap((swallowed) => {
    const { node, process: client, time } = swallowed
    const { attemptTimeout } = planOf(history, client)
    const until = time + twoAttempts(attemptTimeout)
    const freezes = history.scenario.faults.filter((fault) => fault._tag === "frozen" && fault.node === node)
    if (!freezes.some(({ at, until: end }) => at <= time && end > until)) return []
    if (isKilled(history, client) || (history.ends.get(client) ?? 0) <= until) return []
    if (!isFrozenOnly(history, client, node, time, until) || swallowedBy(history, swallowed).length === 0) return []
    const isDead = viewsOf(history, client).some(
      (view, i, views) =>
        view.time <= until &&
        (views[i + 1]?.time ?? Number.POSITIVE_INFINITY) >= time &&
        view.topology.dead.some((dead) => dead.node === node)
    )
    return isDead
      ? []
      : [`${client}: ${node} has swallowed a request at ${time.toFixed(1)}, live at ${until.toFixed(1)}`]
  })

/** Who waits on a node when it is found dead goes on elsewhere at once; the others answer in this time. */
const failsOverIn = 100

/** When a frozen node is found dead, all commands that wait on it fail over at that moment. */
export const allFailOverFromADeadNodeAtOnce: Invariant = (history) => {
  const all = troubles(history.scenario)
  if (!isQuick(history) || history.scenario.nodes.some(({ dialect }) => dialect === "raft")) return []
  return history.swallowed.flatMap((swallowed) => {
    const { node, process: client, time } = swallowed
    const found = viewsOf(history, client).find(
      (view) => view.time > time && view.topology.dead.some((dead) => dead.node === node)
    )
    if (found === undefined || isKilled(history, client)) return []
    const until = found.time + failsOverIn
    const others = history.scenario.nodes.filter((other) => other.address !== node)
    if (found.topology.live.length === 0) return []
    if (stalledIn(history, client, time, until) || !hasFiles(history, client, time, until)) return []
    if (others.some(({ address }) => isTroubled(all, client, address, time - memory, until))) return []
    return swallowedBy(history, swallowed)
      .filter((entry) => isOneCommand(entry) && (entry.ended ?? Number.POSITIVE_INFINITY) > until)
      .map((entry) => `${node} found dead at ${found.time.toFixed(1)}: ${line(entry)}`)
  })
}

/** Two for each node, and those that follow the state of the cluster: what a client has while nothing happens. */
const idleFibers = 20

/** Where nothing has happened for a while, nothing has piled up. */
export const nothingPilesUpInAClient: Invariant = ({ idle, mostBuffered, scenario }) => {
  const most = idleFibers + 2 * scenario.nodes.length
  return [
    ...[...idle].flatMap(([client, { fibers, sleeping }]) =>
      fibers > most || sleeping > most ? [`${client} had ${fibers} fibers and ${sleeping} sleeps when it was idle`] : []
    ),
    ...(mostBuffered > mostWritten ? [`${mostBuffered} bytes were written to a connection and not sent`] : [])
  ]
}

/** A connection that nothing uses is closed, however many others there are: a client that is idle holds none. */
export const anIdleConnectionIsClosed: Invariant = (history) =>
  [...history.idle].flatMap(([client, { sockets }]) => {
    const { idleTimeout } = planOf(history, client)
    const { closedAt, worksAt } = history.scenario
    // The last commands begin 200 ms after everything works.
    const since = worksAt + 500 + 1.1 * idleTimeout
    return sockets > 0 && since < closedAt ? [`${client} had ${sockets} connections when it was idle`] : []
  })

/** What one write of a connection has at most, and what it writes while its buffer is not full. */
const mostWritten = 256 * 1024
