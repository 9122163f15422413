/**
 * What the client promises, whatever happens: each promise is a function of a history that returns how it was broken.
 */
import * as Option from "effect/Option"
import { type FailureReason, KeyError, NoMoreServers, Ring, type Topology } from "effect-ghostdb"
import type { Process } from "./Process.js"
import { type ClientPlan, revivalTakes } from "./Scenario.js"
import { isTroubled, type Trouble, troubles } from "./Troubles.js"
import { type Entry, type History, type Run, RunFailed, show, showOutcome, type View } from "./World.js"

/** A promise: how a history has broken it, in a line each. */
export type Invariant = (history: History) => ReadonlyArray<string>

/** What a computer takes for what takes no time, in milliseconds. */
const instant = 2

const line = ({ began, ended, operation, outcome }: Entry): string =>
  `${operation.client} #${operation.id} ${show(operation.command)} ${operation.region} from ${began.toFixed(1)} to ${ended?.toFixed(1) ?? "the end"}: ${outcome === undefined ? "nothing" : showOutcome(outcome)}`

const planOf = ({ scenario }: History, client: string): ClientPlan => {
  const plan = scenario.clients.find(({ name }) => name === client)
  if (plan === undefined) throw new Error(`no client ${client}`)
  return plan
}

const processOf = ({ processes }: History, client: string): Process => {
  const process = processes.get(client)
  if (process === undefined) throw new Error(`no process ${client}`)
  return process
}

const isKilled = (history: History, client: string): boolean => processOf(history, client).killed

/** How long something took that could not go on while the process stood still. */
const isLate = (history: History, client: string, from: number, until: number, limit: number): boolean =>
  until > processOf(history, client).runsAt(from + limit) + instant

/** The commands of `Store.getOrElse` take as many commands as the lookup needs, and the effect. */
const isOneCommand = ({ operation: { command } }: Entry): boolean => command._tag !== "getOrElse"

const everyCommandEndsByItsDeadline: Invariant = (history) =>
  history.entries.filter(isOneCommand).flatMap((entry) => {
    const { client } = entry.operation
    if (entry.ended === undefined) return isKilled(history, client) ? [] : [line(entry)]
    const { deadline } = planOf(history, client)
    return isLate(history, client, entry.began, entry.ended, deadline) ? [`deadline ${deadline}: ${line(entry)}`] : []
  })

const everyLookupEnds: Invariant = (history) =>
  history.entries
    .filter((entry) => !isOneCommand(entry) && entry.ended === undefined)
    .filter(({ operation }) => !isKilled(history, operation.client))
    .map(line)

const whatIsGivenUpEndsAtOnce: Invariant = (history) =>
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

/** Reasons that are this client's own, and the leader's, for which a node need not have done anything. */
const blameless: ReadonlySet<FailureReason> = new Set<FailureReason>([
  "NotLeader",
  "Deadline",
  "QueueTimeout",
  "Overloaded",
  "ReplyTooLarge"
])

const errorsAreTyped: Invariant = ({ entries }) =>
  entries
    .filter(({ operation, outcome }) => {
      if (outcome?._tag === "defect") return true
      if (outcome?._tag !== "fail") return false
      const { command } = operation
      if (command._tag === "getOrElse") return !(outcome.error instanceof RunFailed)
      return !(outcome.error instanceof NoMoreServers || outcome.error instanceof KeyError)
    })
    .map(line)

/** A node that a command names was to blame at some time since it may have died. */
const errorsBlameOnlyWhoDidIt: Invariant = (history) => {
  const all = troubles(history.scenario)
  return history.entries.flatMap((entry) => {
    const { outcome } = entry
    if (outcome?._tag !== "fail" || !(outcome.error instanceof NoMoreServers)) return []
    const { client } = entry.operation
    const since = entry.began - revivalTakes(planOf(history, client)) - 20_000
    return outcome.error.failures
      .filter(({ node, reason }) => {
        if (blameless.has(reason)) return false
        return !isTroubled(all, client, node, since, entry.ended ?? entry.began)
      })
      .map(({ node, reason }) => `${node} has done nothing, and is said to have ${reason}: ${line(entry)}`)
  })
}

const aNodeIsCalledDeadOnlyForAReasonThatTheWorldHad: Invariant = (history) => {
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

/** When nothing was wrong between a client and a node any more, seen from a time. */
const wellSince = (all: ReadonlyArray<Trouble>, client: string, node: string, at: number): number =>
  all.reduce(
    (latest, trouble) =>
      trouble.node === node && (trouble.client === undefined || trouble.client === client) && trouble.from <= at
        ? Math.max(latest, Math.min(trouble.until, at))
        : latest,
    0
  )

const aNodeThatAnswersIsRevivedInTime: Invariant = (history) => {
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

/** Whether a client ran out of file descriptors at some time. */
const hasFiles = ({ scenario }: History, client: string, from: number, until: number): boolean =>
  scenario.faults.some(
    (fault) => fault._tag === "no files" && fault.client === client && fault.at <= until && fault.until + 2500 >= from
  )

const keyOf = ({ operation: { command } }: Entry): string | undefined => {
  if (!("key" in command)) return undefined
  return command._tag === "getOrElse" && command.staleFor !== undefined ? `exact-${command.key}` : command.key
}

const valueOf = ({ operation: { command } }: Entry): string | undefined =>
  "value" in command ? command.value : undefined

/** What a read has found: undefined where it failed, null where there was nothing. */
const found = ({ operation, outcome }: Entry): string | null | undefined =>
  (operation.command._tag === "get" || operation.command._tag === "getOrElse") && outcome?._tag === "ok"
    ? typeof outcome.answer === "string"
      ? outcome.answer
      : null
    : undefined

const aReadValueWasWrittenToThatKey: Invariant = ({ entries }) => {
  const written = new Set(entries.map((entry) => `${keyOf(entry)} ${valueOf(entry)}`))
  return entries
    .filter((entry) => {
      const value = found(entry)
      return typeof value === "string" && !written.has(`${keyOf(entry)} ${value}`)
    })
    .map(line)
}

/** The nodes of a view's ring; the same for all clients that see the same nodes live. */
const owner = (view: Topology, replicas: number, key: string): string | undefined =>
  Option.getOrUndefined(
    Ring.lookup(
      Ring.make(
        view.live.map(({ node }) => node),
        { replicas }
      ),
      key
    )
  )

/** The owner of a key as a client saw it, if that was one and the same from `from` to `until`. */
const ownerThroughout = (
  history: History,
  client: string,
  key: string,
  from: number,
  until: number
): string | undefined => {
  const views = history.views.get(client) ?? []
  const first = views.findLastIndex(({ time }) => time <= from)
  const seen = views.slice(Math.max(first, 0)).filter(({ time }) => time <= until)
  const owners = new Set(seen.map(({ topology }) => owner(topology, history.scenario.replicas, key)))
  const [only] = owners
  return owners.size === 1 ? only : undefined
}

/** The life of an owner, or of a leadership: a value that was acknowledged in it is not lost. */
const keepsWhatItHas = (history: History, node: string, from: number, until: number): boolean => {
  const found = history.nodes.get(node)
  if (found === undefined || found.lostMemoryAt.some((time) => time >= from - 1 && time <= until)) return false
  return !history.scenario.nodes.some(({ dialect }) => dialect === "raft")
}

const isWrite = ({ operation: { command } }: Entry): boolean => ["put", "add", "delete"].includes(command._tag)

const isAcknowledged = ({ operation: { command }, outcome }: Entry): boolean =>
  outcome?._tag === "ok" && (command._tag === "add" ? outcome.answer === "STORED" : isWriteTag(command._tag))

const isWriteTag = (tag: string): boolean => tag === "put" || tag === "delete"

/** When a write last had an effect: its end, or later where one of its requests was carried out late. */
const lastEffect = (history: History, entry: Entry): number => {
  const value = valueOf(entry)
  const late = history.executions.filter(
    (execution) =>
      execution.value !== undefined && execution.value === JSON.stringify(value) && execution.key === keyOf(entry)
  )
  return Math.max(entry.ended ?? Number.POSITIVE_INFINITY, ...late.map(({ time }) => time))
}

/**
 * Within one owner's life a read is not older than the last acknowledged write that ended before it began. The read and
 * the write may be those of two clients, as long as both see the same owner all the time.
 */
const aReadIsNotOlderThanTheLastAcknowledgedWrite: Invariant = (history) => {
  const byKey = new Map<string, Array<Entry>>()
  for (const entry of history.entries) {
    const key = keyOf(entry)
    if (key === undefined || entry.operation.command._tag === "getOrElse") continue
    byKey.set(key, [...(byKey.get(key) ?? []), entry])
  }
  const flushes = history.executions.filter(({ command }) => command === "flush").map(({ time }) => time)
  return [...byKey].flatMap(([key, entries]) => {
    const writes = entries.filter(isWrite)
    return entries.flatMap((read) => {
      const value = found(read)
      if (value === undefined || planOf(history, read.operation.client).nearCache !== undefined) return []
      const last = writes
        .filter((write) => isAcknowledged(write) && (write.ended ?? Number.POSITIVE_INFINITY) < read.began)
        .reduce<Entry | undefined>((latest, write) => ((latest?.began ?? -1) < write.began ? write : latest), undefined)
      if (last === undefined) return []
      const [from, until] = [last.began, read.ended ?? read.began]
      const node = ownerThroughout(history, read.operation.client, key, from, until)
      if (node === undefined || node !== ownerThroughout(history, last.operation.client, key, from, until)) return []
      if (!keepsWhatItHas(history, node, from, until)) return []
      if (flushes.some((time) => time >= from && time <= until)) return []
      return isExplained(history, writes, last, value) ? [] : [`${line(read)}\n    after ${line(last)}`]
    })
  })
}

/** Whether a read after the acknowledged write may have found that: its value, or that of a write that it did not follow. */
const isExplained = (history: History, writes: ReadonlyArray<Entry>, last: Entry, value: string | null): boolean =>
  writes.some((write) => {
    const { _tag } = write.operation.command
    const leaves = _tag === "delete" ? null : valueOf(write)
    if (leaves !== value) return false
    return write === last || _tag === "delete"
      ? write === last || isLaterDelete(write, last)
      : lastEffect(history, write) >= last.began
  })

/** A delete whose requests nobody can tell apart from another's: only one that surely came before is none. */
const isLaterDelete = (write: Entry, last: Entry): boolean =>
  write.outcome?._tag !== "ok" || (write.ended ?? Number.POSITIVE_INFINITY) >= last.began

const addStoresAtMostOncePerAcknowledgment: Invariant = (history) => {
  const stored = new Map<string, number>()
  for (const { command, message, value } of history.executions) {
    if (command === "add" && message === "STORED" && value !== undefined)
      stored.set(value, (stored.get(value) ?? 0) + 1)
  }
  return history.entries.flatMap((entry) => {
    const { command } = entry.operation
    if (command._tag !== "add" || entry.outcome?._tag !== "ok") return []
    const times = stored.get(JSON.stringify(command.value)) ?? 0
    if (entry.outcome.answer === "STORED") return times === 0 ? [`stored nowhere: ${line(entry)}`] : []
    return []
  })
}

/** A key that nobody else touches: where none of its requests failed, an add stores. */
const anAddOfANewKeyIsSentOnce: Invariant = (history) => {
  const all = troubles(history.scenario)
  return history.entries.flatMap((entry) => {
    const { client, command } = entry.operation
    if (command._tag !== "add" || !command.key.startsWith("fresh-")) return []
    const sent = history.executions.filter(({ key }) => key === command.key)
    const [from, until] = [entry.began - 20_000, (entry.ended ?? entry.began) + 20_000]
    if (history.scenario.nodes.some(({ address }) => isTroubled(all, client, address, from, until))) return []
    if (sent.length > 1) return [`carried out ${sent.length} times: ${line(entry)}`]
    return entry.outcome?._tag === "ok" && entry.outcome.answer === "NOT_STORED" ? [line(entry)] : []
  })
}

/** A request whose caller has gone before it was written is not written. */
const whatIsGivenUpIsNotSentLater: Invariant = (history) => {
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

/** No node is paced, so that nothing waits there for long. */
const isQuick = ({ scenario }: History): boolean =>
  !scenario.faults.some(({ _tag }) => _tag === "paced" || _tag === "slow") && scenario.operations.length < 400

const afterHealingEverythingWorks: Invariant = ({ entries, scenario }) =>
  entries
    .filter(({ operation }) => operation.healed)
    .filter(({ operation: { command }, outcome }) => {
      if (outcome?._tag !== "ok") return true
      if (command._tag === "put") return outcome.answer !== "STORED"
      if (command._tag === "delete") return outcome.answer !== "REMOVED"
      return (
        typeof outcome.answer !== "string" ||
        scenario.operations.every((other) => valueOfOperation(other) !== outcome.answer)
      )
    })
    .map(line)

const valueOfOperation = ({ command }: Entry["operation"]): string | undefined =>
  "value" in command ? command.value : undefined

const nothingIsLeftOfAClosedClient: Invariant = (history) =>
  [...history.remains].flatMap(([client, { fibers, sleeping, sockets }]) =>
    !isKilled(history, client) && fibers + sleeping + sockets > 0
      ? [`${client}: ${fibers} fibers, ${sleeping} sleeps, ${sockets} sockets`]
      : []
  )

const overlap = (runs: ReadonlyArray<Run>): ReadonlyArray<string> =>
  runs.flatMap((run, i) =>
    runs
      .slice(i + 1)
      .filter(
        (other) =>
          other.began < (run.ended ?? Number.POSITIVE_INFINITY) && run.began < (other.ended ?? Number.POSITIVE_INFINITY)
      )
      .map(
        (other) =>
          `${run.key} of ${run.client} from ${run.began.toFixed(1)} and ${other.client} from ${other.began.toFixed(1)}`
      )
  )

/** While the cache answers, a process runs the effect of a key once at a time. */
const aProcessComputesAKeyOnceAtATime: Invariant = (history) => {
  const all = troubles(history.scenario)
  const isQuiet = (run: Run) =>
    history.scenario.nodes.every(
      ({ address }) => !isTroubled(all, run.client, address, run.began - 20_000, run.ended ?? run.began)
    )
  const byKey = new Map<string, Array<Run>>()
  for (const run of history.runs.filter(isQuiet)) {
    const key = `${run.client} ${run.key}`
    byKey.set(key, [...(byKey.get(key) ?? []), run])
  }
  return [...byKey.values()].flatMap(overlap)
}

const viewsOf = (history: History, client: string): ReadonlyArray<View> => history.views.get(client) ?? []

const noNodeIsForgotten: Invariant = (history) =>
  history.scenario.clients.flatMap(({ name }) => {
    const last = viewsOf(history, name).at(-1)
    if (last === undefined || isKilled(history, name) || (history.ends.get(name) ?? 0) < history.scenario.closedAt)
      return []
    const { dead, live } = last.topology
    return dead.length === 0 && live.length === history.scenario.nodes.length
      ? []
      : [`${name} ends with ${live.length} live and ${dead.length} dead nodes of ${history.scenario.nodes.length}`]
  })

/** The promises by their names. */
export const invariants: Readonly<Record<string, Invariant>> = {
  everyCommandEndsByItsDeadline,
  everyLookupEnds,
  whatIsGivenUpEndsAtOnce,
  errorsAreTyped,
  errorsBlameOnlyWhoDidIt,
  aNodeIsCalledDeadOnlyForAReasonThatTheWorldHad,
  aNodeThatAnswersIsRevivedInTime,
  aReadValueWasWrittenToThatKey,
  aReadIsNotOlderThanTheLastAcknowledgedWrite,
  addStoresAtMostOncePerAcknowledgment,
  anAddOfANewKeyIsSentOnce,
  whatIsGivenUpIsNotSentLater,
  afterHealingEverythingWorks,
  nothingIsLeftOfAClosedClient,
  aProcessComputesAKeyOnceAtATime,
  noNodeIsForgotten
}

/** A promise that a history breaks. */
export interface Violation {
  readonly invariant: string
  readonly details: ReadonlyArray<string>
}

/** Every promise that a history breaks. */
export const violations = (history: History): ReadonlyArray<Violation> =>
  Object.entries(invariants).flatMap(([invariant, check]) => {
    const details = check(history)
    return details.length === 0 ? [] : [{ invariant, details }]
  })
