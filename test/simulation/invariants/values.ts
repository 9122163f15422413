/** Promises about what is read and written. */
import { troubles } from "../Troubles.js"
import type { Entry, History } from "../World.js"
import {
  found,
  type Invariant,
  isAnyTroubled,
  isReplicated,
  keyOf,
  line,
  ownerThroughout,
  planOf,
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
    !isAnyTroubled(history, troubles(history.scenario), read.operation.client, from, until)
  )
}

/** The last acknowledged write that a read has to know of: a near cache may be as old as its `ttl` for those of others. */
const lastWriteBefore = (history: History, writes: ReadonlyArray<Entry>, read: Entry): Entry | undefined => {
  const { client } = read.operation
  const near = planOf(history, client).nearCache?.ttl ?? 0
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

/** What a node carries out for a command is an attempt that its span tells of: nothing is repeated without a word. */
export const nothingIsSentWithoutAnAttempt: Invariant = (history) =>
  [...history.attempts].flatMap(([client, attempts]) => {
    if (history.scenario.clients.every(({ name, traced }) => name !== client || !traced)) return []
    const sent = new Map<string, number>()
    for (const { command, key, process } of history.executions) {
      if (command !== "add" || process !== client || key?.startsWith("fresh-") !== true) continue
      sent.set(key, (sent.get(key) ?? 0) + 1)
    }
    return [...sent].flatMap(([key, times]) => {
      const told = attempts.get(key) ?? 0
      return times > told ? [`${client}: the add of ${key} was carried out ${times} times in ${told} attempts`] : []
    })
  })

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
