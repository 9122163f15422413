/** Promises about what is read and written. */
import type { Execution } from "../SimulatedNode.js"
import { isTroubled, troubles } from "../Troubles.js"
import { attemptOf, type Entry, type History } from "../World.js"
import {
  found,
  type Invariant,
  isAnyTroubled,
  isReplicated,
  isSlowed,
  keyOf,
  line,
  ownerByFile,
  ownerThroughout,
  planOf,
  stalledIn,
  valueOf
} from "./common.js"

export const aReadValueWasWrittenToThatKey: Invariant = ({ entries }) => {
  const written = new Set(entries.map((entry) => `${keyOf(entry)} ${valueOf(entry)}`))
  return entries
    .filter((entry) => {
      const value = found(entry)
      return typeof value === "string" && !written.has(`${keyOf(entry)} ${value}`)
    })
    .map(line)
}

const isWrite = ({ operation: { command } }: Entry): boolean => ["put", "add", "delete"].includes(command._tag)

const isAcknowledged = ({ operation: { command }, outcome }: Entry): boolean =>
  outcome?._tag === "ok" && (command._tag !== "add" || outcome.answer === "STORED")

/** When a write last had an effect: its end, or later where one of its requests was carried out late. */
const lastEffect = (history: History, entry: Entry): number => {
  const value = JSON.stringify(valueOf(entry))
  const late = history.executions.filter((execution) => execution.value === value && execution.key === keyOf(entry))
  return Math.max(entry.ended ?? Number.POSITIVE_INFINITY, ...late.map(({ time }) => time))
}

/** Whether a read after the acknowledged write may have found that: its value, or that of a write that it did not follow. */
const isExplained = (history: History, writes: ReadonlyArray<Entry>, last: Entry, value: string | null): boolean => {
  const isDelete = last.operation.command._tag === "delete"
  if (value === null) {
    const deletes = history.executions.filter(({ command, key }) => command === "delete" && key === keyOf(last))
    return isDelete || deletes.some(({ time }) => time >= last.began)
  }
  return writes.some(
    (write) => valueOf(write) === value && ((write === last && !isDelete) || lastEffect(history, write) >= last.began)
  )
}

/** Whether one node owned the key for both clients all the time, and kept what it had. */
const isOneLife = (history: History, read: Entry, last: Entry, key: string): boolean => {
  const [from, until] = [last.began, read.ended ?? read.began]
  const node = ownerThroughout(history, read.operation.client, key, from, until)
  if (node === undefined || node !== ownerThroughout(history, last.operation.client, key, from, until)) return false
  const lost = history.nodes.get(node)?.lostMemoryAt ?? []
  return !lost.some((time) => time >= from - 1 && time <= until)
}

/** For that long a client may read from a leader that was deposed: a lease, until it asks again. */
const leaderIsKnownAfter = 8000

/** Whether one member led all the time, since long enough for the reader to know it, which could reach all of them. */
const isOneLeadership = (history: History, read: Entry, last: Entry): boolean => {
  const until = read.ended ?? read.began
  const from = Math.min(last.began, read.began - leaderIsKnownAfter)
  const first = history.leaders.findLastIndex(({ time }) => time <= from)
  const seen = history.leaders.slice(Math.max(first, 0)).filter(({ time }) => time <= until)
  return (
    seen.length === 1 &&
    seen[0]?.node !== undefined &&
    planOf(history, read.operation.client).readFrom !== "any" &&
    // A leader that does not answer a search in time is none, and followers are read.
    !history.scenario.nodes.some(({ address }) => isSlowed(history, address, from, until)) &&
    !isAnyTroubled(history, troubles(history.scenario), read.operation.client, from, until)
  )
}

/** How old what a near cache gives may be. */
const nearAge = (history: History, read: Entry): number => planOf(history, read.operation.client).nearCache?.ttl ?? 0

/** The last acknowledged write that a read has to know of: a near cache may be older for those of others. */
const lastWriteBefore = (history: History, writes: ReadonlyArray<Entry>, read: Entry): Entry | undefined => {
  const { client } = read.operation
  const near = nearAge(history, read)
  return writes
    .filter((write) => {
      const seenBy = read.began - (write.operation.client === client ? 0 : near)
      return isAcknowledged(write) && (write.ended ?? Number.POSITIVE_INFINITY) < seenBy
    })
    .reduce<Entry | undefined>((latest, write) => ((latest?.began ?? -1) < write.began ? write : latest), undefined)
}

/**
 * Within one owner's life, or one leadership, a read is not older than the last acknowledged write that ended before it
 * began. The read and the write may be those of two clients, as long as both see the same owner all the time.
 */
export const aReadIsNotOlderThanTheLastAcknowledgedWrite: Invariant = (history) => {
  const byKey = new Map<string, Array<Entry>>()
  for (const entry of history.entries) {
    const key = keyOf(entry)
    if (key === undefined || key.startsWith("store-")) continue
    byKey.set(key, [...(byKey.get(key) ?? []), entry])
  }
  const flushes = history.executions.filter(({ command }) => command === "flush").map(({ time }) => time)
  const isReplica = isReplicated(history)
  if (!isReplica && history.scenario.nodes.some(({ dialect }) => dialect === "raft")) return []
  return [...byKey].flatMap(([key, entries]) => {
    const writes = entries.filter(isWrite)
    return entries.flatMap((read) => {
      const value = found(read)
      const last = value === undefined ? undefined : lastWriteBefore(history, writes, read)
      if (value === undefined || last === undefined) return []
      if (flushes.some((time) => time >= last.began && time <= (read.ended ?? read.began))) return []
      if (!(isReplica ? isOneLeadership(history, read, last) : isOneLife(history, read, last, key))) return []
      return isExplained(history, writes, last, value) ? [] : [`${line(read)}, after ${line(last)}`]
    })
  })
}

/** What a search of the leader may take beyond its lease, where all members answer. */
const searchTakes = 1500

/** Whether some member led all the time, whichever, and the client could reach all nodes. */
const isLedThroughout = (history: History, client: string, from: number, until: number): boolean => {
  const first = history.leaders.findLastIndex(({ time }) => time <= from)
  return (
    first >= 0 &&
    !history.scenario.nodes.some(({ address }) => isSlowed(history, address, from, until)) &&
    history.leaders.slice(first).every(({ node, time }) => time > until || node !== undefined) &&
    !isAnyTroubled(history, troubles(history.scenario), client, from, until)
  )
}

/**
 * In a raft group a read is not older than the last write that was acknowledged a lease before it began, whatever befell
 * the members: always for `readFrom: "leader"`, and for `"leaderPreferred"` while there is a leader that can be found.
 */
export const aReadIsOldByALeaseAtMost: Invariant = (history) => {
  if (!isReplicated(history)) return []
  const flushes = history.executions.filter(({ command }) => command === "flush").map(({ time }) => time)
  const writesOf = new Map<string, ReadonlyArray<Entry>>()
  for (const entry of history.entries) {
    const key = keyOf(entry)
    if (key !== undefined && isWrite(entry)) writesOf.set(key, [...(writesOf.get(key) ?? []), entry])
  }
  return history.entries.flatMap((read) => {
    const [key, value] = [keyOf(read), found(read)]
    const { leaderLease, readFrom } = planOf(history, read.operation.client)
    if (key === undefined || value === undefined || key.startsWith("store-") || readFrom === "any") return []
    const age = leaderLease + nearAge(history, read) + (readFrom === "leader" ? 0 : searchTakes)
    const ended = read.ended ?? read.began
    if (readFrom === "leaderPreferred" && !isLedThroughout(history, read.operation.client, read.began - age, ended)) {
      return []
    }
    const writes = writesOf.get(key) ?? []
    const last = writes
      .filter((write) => isAcknowledged(write) && (write.ended ?? Number.POSITIVE_INFINITY) < read.began - age)
      .reduce<Entry | undefined>((latest, write) => ((latest?.began ?? -1) < write.began ? write : latest), undefined)
    if (last === undefined || flushes.some((time) => time >= last.began && time <= ended)) return []
    if (isLostByAll(history, last.began, ended)) return []
    return isExplained(history, writes, last, value) ? [] : [`${line(read)}, after ${line(last)}`]
  })
}

/** A group of one member has lost what that one held. */
const isLostByAll = ({ nodes }: History, from: number, until: number): boolean =>
  nodes.size === 1 &&
  [...nodes.values()].some(({ lostMemoryAt }) => lostMemoryAt.some((time) => time >= from && time <= until))

/** How long a client may take to delete what a stand-in was given once the owner is back. */
const cleanUpTakes = (history: History, client: string): number => 3 * planOf(history, client).attemptTimeout + 500

/**
 * What a client has put on a stand-in is not what it reads there after the owner was back. The stand-in must have been
 * well meanwhile, so that it could be deleted there.
 */
export const aStandInDoesNotServeWhatItWasGivenBefore: Invariant = (history) => {
  const { faults } = history.scenario
  if (isReplicated(history) || faults.some(({ _tag }) => _tag === "nodes file" || _tag === "upgraded")) return []
  const all = troubles(history.scenario)
  return history.executions.flatMap((read) => {
    const { answer, key, node, process: client, time } = read
    if (read.command !== "get" || key === undefined || answer === undefined || answer === "null") return []
    if (history.nodes.get(node)?.dialect === "raft" || ownerByFile(history, key) === node) return []
    const given = history.executions.findLast(
      (put) => put.node === node && put.key === key && put.value === answer && put.time <= time
    )
    if (given === undefined || given.process !== client || given.message !== "STORED") return []
    const owner = ownerByFile(history, key)
    const views = history.views.get(client) ?? []
    const back = views.findLast(
      (view) => view.time > given.time && view.time <= time && view.topology.live.some((live) => live.node === owner)
    )
    const took = cleanUpTakes(history, client)
    if (back === undefined || time - back.time < took || stalledIn(history, client, given.time, time)) return []
    return isTroubled(all, client, node, given.time, time)
      ? []
      : [
          `${client} read ${answer} of ${key} on ${node} at ${time.toFixed(1)}, given at ${given.time.toFixed(1)}, before ${owner} was back at ${back.time.toFixed(1)}`
        ]
  })
}

/** An add that answers STORED has stored; more than once only where a delete, a flush or a restart came between. */
export const addStoresAtMostOncePerAcknowledgment: Invariant = (history) => {
  const stored = new Map<string, number>()
  for (const { command, message, value } of history.executions) {
    if (command === "add" && message === "STORED" && value !== undefined)
      stored.set(value, (stored.get(value) ?? 0) + 1)
  }
  return history.entries.flatMap((entry) => {
    const { command } = entry.operation
    if (command._tag !== "add" || entry.outcome?._tag !== "ok") return []
    const times = stored.get(JSON.stringify(command.value)) ?? 0
    return entry.outcome.answer === "STORED" && times === 0 ? [`stored nowhere: ${line(entry)}`] : []
  })
}

/** What a raft member says of a request of v1. */
const malformed = 'the request body has no "Gobj" object'

const keyedCommands: ReadonlySet<string> = new Set(["get", "put", "add", "delete"])

/**
 * What a node carries out for a command is an attempt that its span tells of: nothing is repeated without a word. Left out is
 * what a client does by a command on many keys as well, whose span is one for all of them, and deletes on a node that does
 * not own the key: those clear away what a stand-in was given. Of a raft member that sends garbage a client may think that it
 * is a stand-in; what it refuses as malformed is not carried out.
 */
export const nothingIsSentWithoutAnAttempt: Invariant = (history) => {
  const traced = history.scenario.clients.filter((plan) => plan.traced).map(({ name }) => name)
  const isMoved = history.scenario.faults.some(({ _tag }) => _tag === "nodes file")
  const isOwners = ({ command, message, node }: Execution, key: string) =>
    command !== "delete" ||
    (isReplicated(history) ? message !== malformed : !isMoved && ownerByFile(history, key) === node)
  return traced.flatMap((client) => {
    const ofMany = new Set(
      history.entries
        .filter(({ isPart, operation }) => isPart && operation.client === client)
        .map((entry) => attemptOf(entry.operation.command._tag, keyOf(entry) ?? ""))
    )
    const sent = new Map<string, number>()
    for (const done of history.executions) {
      const { command, key } = done
      if (done.process !== client || key === undefined || !keyedCommands.has(command) || !isOwners(done, key)) continue
      const attempt = attemptOf(command, key)
      if (!ofMany.has(attempt)) sent.set(attempt, (sent.get(attempt) ?? 0) + 1)
    }
    return [...sent].flatMap(([attempt, times]) => {
      const told = history.attempts.get(client)?.get(attempt) ?? 0
      return times > told ? [`${client}: ${attempt} was carried out ${times} times in ${told} attempts`] : []
    })
  })
}

/** A key that nobody else touches: where none of its requests failed, an add stores. */
export const anAddOfANewKeyIsSentOnce: Invariant = (history) => {
  const all = troubles(history.scenario)
  return history.entries.flatMap((entry) => {
    const { client, command } = entry.operation
    if (command._tag !== "add" || !command.key.startsWith("fresh-")) return []
    const sent = history.executions.filter(({ key, message }) => key === command.key && message?.endsWith("STORED"))
    const [from, until] = [entry.began - 20_000, (entry.ended ?? entry.began) + 20_000]
    if (isAnyTroubled(history, all, client, from, until)) return []
    if (sent.length > 1) return [`carried out ${sent.length} times: ${line(entry)}`]
    return entry.outcome?._tag === "ok" && entry.outcome.answer === "NOT_STORED" ? [line(entry)] : []
  })
}

const valueOfOperation = ({ command }: Entry["operation"]): string | undefined =>
  "value" in command ? command.value : undefined

export const afterHealingEverythingWorks: Invariant = ({ entries, scenario }) =>
  entries
    .filter(({ operation }) => operation.healed)
    .filter(({ operation: { client, command }, outcome }) => {
      if (outcome?._tag !== "ok") return true
      if (command._tag === "put") return outcome.answer !== "STORED"
      if (command._tag === "delete") return outcome.answer !== "REMOVED"
      // A follower may not hold it yet.
      const plan = scenario.clients.find(({ name }) => name === client)
      if (plan?.readFrom === "any" && outcome.answer === null) return false
      return (
        typeof outcome.answer !== "string" ||
        scenario.operations.every((other) => valueOfOperation(other) !== outcome.answer)
      )
    })
    .map(line)
