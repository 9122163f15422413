/** Promises of the cache over the commands. */
import { troubles } from "../Troubles.js"
import type { Entry, History, Run } from "../World.js"
import { found, type Invariant, isAnyTroubled, keyOf, line, memory } from "./common.js"

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
          `${run.key} by ${run.client} from ${run.began.toFixed(1)} to ${run.ended?.toFixed(1)} and by ${other.client} from ${other.began.toFixed(1)}`
      )
  )

const groupBy = (runs: ReadonlyArray<Run>, name: (run: Run) => string): ReadonlyArray<ReadonlyArray<Run>> => {
  const groups = new Map<string, Array<Run>>()
  for (const run of runs) groups.set(name(run), [...(groups.get(name(run)) ?? []), run])
  return [...groups.values()]
}

/** Writes of a client detach its runs of the key: what was computed before is not what is wanted after. */
const isDetached = ({ entries }: History, run: Run): boolean =>
  entries.some(
    (entry) =>
      entry.operation.client === run.client &&
      (["flush", "expireTags", "clear"].includes(entry.operation.command._tag) ||
        (entry.operation.command._tag === "delete" && keyOf(entry) === run.key)) &&
      (entry.ended ?? Number.POSITIVE_INFINITY) >= run.began - memory &&
      entry.began <= (run.ended ?? Number.POSITIVE_INFINITY)
  )

/** While the cache answers, a process runs the effect of a key once at a time. */
export const aProcessComputesAKeyOnceAtATime: Invariant = (history) => {
  const all = troubles(history.scenario)
  const quiet = history.runs.filter(
    (run) =>
      !isAnyTroubled(history, all, run.client, run.began - memory, run.ended ?? history.scenario.closedAt) &&
      !isDetached(history, run)
  )
  return groupBy(quiet, ({ client, key }) => `${client} ${key}`).flatMap(overlap)
}

/** Whether nothing at all befell the nodes, the clients and their clocks, and no flush dropped a lock. */
const isUneventful = ({ executions, scenario }: History): boolean =>
  scenario.faults.length === 0 && executions.every(({ command }) => command !== "flush")

/** Where nothing is wrong, the lock of a key lets one process of all compute it at a time. */
export const aLockLetsOneProcessComputeAtATime: Invariant = (history) =>
  isUneventful(history)
    ? groupBy(
        history.runs.filter(({ lock }) => lock),
        ({ key }) => key
      ).flatMap(overlap)
    : []

/** Whether the caller that ran the effect was under way when its client cleared a store or ended tags. */
const isReplaced = (history: History, { began, client, ended: over, value }: Run): boolean => {
  const caller = history.entries.find(
    ({ operation: { client: name, command } }) =>
      name === client && command._tag === "getOrElse" && command.value === value
  )
  return history.entries.some(
    ({ began: cleared, ended, operation: { client: name, command } }) =>
      name === client &&
      (command._tag === "clear" || command._tag === "expireTags") &&
      (ended ?? cleared) >= (caller?.began ?? began) &&
      cleared <= (over ?? began)
  )
}

/** How long a lookup may take after the effect to store the value and to give the lock back. */
const toStore = 50

/**
 * Where nothing is wrong, a value that was computed and stored is not computed again, until it is deleted. Who asks after a
 * `clear` or `expireTags` of the same client runs its own, and what was waiting from before is not stored.
 */
export const aStoredValueIsNotComputedAgain: Invariant = (history) => {
  if (!isUneventful(history)) return []
  const removals = history.executions.filter(({ command }) => command === "delete" || command === "flush")
  return history.runs.flatMap((run) => {
    // What goes stale, has a tag, or is cleared is computed again.
    if (["store-3", "store-4", "store-5"].includes(run.key) || !run.succeeded || run.ended === undefined) return []
    const since = run.ended + toStore
    if (isReplaced(history, run)) return []
    const again = history.runs.filter(
      (other) =>
        other.key === run.key &&
        other.began > since &&
        !removals.some(
          ({ command, key, time }) =>
            (command === "flush" || key === run.key) && time >= run.began && time <= other.began
        )
    )
    return again.map(
      (other) =>
        `${run.key}, computed by ${run.client} until ${run.ended?.toFixed(1)}, again by ${other.client} at ${other.began.toFixed(1)}`
    )
  })
}

/** What a process computed for a key before it deleted the key is not what it reads afterwards. */
export const aDeletedValueDoesNotReturn: Invariant = (history) => {
  const all = troubles(history.scenario)
  const deletes = history.entries.filter(
    ({ operation: { command }, outcome }) => command._tag === "delete" && outcome?._tag === "ok"
  )
  const isExcused = (entry: Entry) =>
    isAnyTroubled(history, all, entry.operation.client, 0, entry.ended ?? history.scenario.closedAt) ||
    history.scenario.clients.some(({ connections, name }) => name === entry.operation.client && connections > 1)
  return history.entries.flatMap((entry) => {
    const value = entry.operation.command._tag === "getOrElse" ? found(entry) : undefined
    const run = typeof value === "string" ? history.runs.find((other) => other.value === value) : undefined
    if (run === undefined || run.client !== entry.operation.client || isExcused(entry)) return []
    return deletes
      .filter(
        (removal) =>
          removal.operation.client === run.client &&
          keyOf(removal) === run.key &&
          run.began < removal.began &&
          (removal.ended ?? Number.POSITIVE_INFINITY) < entry.began
      )
      .map((removal) => `${line(entry)}, computed from ${run.began.toFixed(1)} on, before ${line(removal)}`)
  })
}

/**
 * Values of a key that were computed before a command that ends them, and were read afterwards, where nothing was wrong and
 * no clock has stepped. Near caches may hold a value for their `ttl`, and are not looked at.
 */
const endedBy = (history: History, command: "expireTags" | "clear", key: string): ReadonlyArray<string> => {
  if (!isUneventful(history)) return []
  const nears = history.scenario.clients.filter(({ nearCache }) => nearCache !== undefined).map(({ name }) => name)
  const stamps = history.entries.filter(
    ({ operation, outcome }) => operation.command._tag === command && outcome?._tag === "ok"
  )
  return history.entries.flatMap((entry) => {
    const value = found(entry)
    const run = history.runs.find((other) => other.value === value && other.key === key)
    if (run === undefined || nears.includes(entry.operation.client)) return []
    // Who joins what his own process still computes does not know what another has ended meanwhile.
    const isJoined = run.client === entry.operation.client && (run.ended ?? Number.POSITIVE_INFINITY) >= entry.began
    return stamps
      .filter((stamp) => !isJoined || stamp.operation.client === entry.operation.client)
      .filter((stamp) => run.began + 2 < stamp.began && (stamp.ended ?? Number.POSITIVE_INFINITY) < entry.began)
      .map((stamp) => `${line(entry)}, computed at ${run.began.toFixed(1)}, before ${line(stamp)}`)
  })
}

/** Where nothing is wrong, a value that was computed before its tag expired is read by nobody afterwards. */
export const anExpiredTagEndsItsValues: Invariant = (history) => endedBy(history, "expireTags", "store-4")

/** Where nothing is wrong, what was computed before its store was cleared is read by nobody afterwards. */
export const aClearedValueDoesNotReturn: Invariant = (history) => endedBy(history, "clear", "store-5")

/** Where nothing is wrong, a lock that was taken is given back, although its callers have gone. */
export const aLockIsGivenBack: Invariant = (history) => {
  if (!isUneventful(history)) return []
  const locks = history.executions.filter(({ key }) => key?.includes("lock") === true)
  return locks
    .filter(
      ({ command, message, time }) => command === "add" && message === "STORED" && time < history.scenario.healedAt
    )
    .filter(
      (taken) => !locks.some(({ command, key, time }) => command === "delete" && key === taken.key && time > taken.time)
    )
    .map(({ key, process, time }) => `${process} took ${key} at ${time.toFixed(1)}, and it was never deleted`)
}
