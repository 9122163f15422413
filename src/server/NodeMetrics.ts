/** What a node counts: its requests and their outcomes, and a row of metrics for each interval. */

import type { NodeCommand } from "./ServerDialect.js"

/**
 * How many requests of each command a node has had since it was made or last reset.
 *
 * @category models
 * @since 0.1.0
 */
export type CommandCounts = { readonly [Command in NodeCommand | "unknown"]: number }

/** The outcomes that application metrics report. */
export type Outcome = "miss" | "stored" | "notStored" | "removed" | "notFound" | "flushed"

/** How a {@link NodeMetrics} records its rows. */
export interface NodeMetricsOptions {
  /** Milliseconds between two rows. */
  readonly interval: number
  /** How many of the latest rows of each kind are kept. */
  readonly history: number
  /** Leaves at 0 what the real servers fail to record. */
  readonly emulateQuirks: boolean
  /** The time of the start, in milliseconds since the epoch. */
  readonly now: number
}

/** The counters and rows of one node, which change in place. */
export interface NodeMetrics {
  /** A copy of the counters. */
  readonly commandCounts: () => CommandCounts
  readonly count: (command: NodeCommand | undefined) => void
  readonly record: (outcome: Outcome) => void
  /** Adds the rows whose time has come. No request came since the last call, so the counters are those of each row's time. */
  readonly recordDue: (now: number) => void
  /** The JSON text of the rows of system metrics, `null` without any. */
  readonly systemRows: () => string
  /** The JSON text of the rows of application metrics, `null` without any. */
  readonly applicationRows: () => string
  /** Zero counters and no rows, as after a restart. */
  readonly reset: (now: number) => void
}

type Mutable<A> = { -readonly [Name in keyof A]: A[Name] }

const zeroCounts = (): Mutable<CommandCounts> => ({
  get: 0,
  put: 0,
  add: 0,
  delete: 0,
  flush: 0,
  ping: 0,
  nodeSize: 0,
  systemMetrics: 0,
  applicationMetrics: 0,
  getLeader: 0,
  unknown: 0
})

const zeroOutcomes = (): { [Name in Outcome]: number } => ({
  miss: 0,
  stored: 0,
  notStored: 0,
  removed: 0,
  notFound: 0,
  flushed: 0
})

const timestamp = (nowMillis: number): string => `${new Date(nowMillis).toISOString().slice(0, 19)}Z`

/** Go's numbers, as far as a JavaScript runtime knows them; the others are 0. */
const systemRow = () => {
  const memory = globalThis.process?.memoryUsage?.()
  const used = memory?.heapUsed ?? 0
  const total = memory?.heapTotal ?? 0
  return (time: number): string =>
    JSON.stringify({
      Timestamp: timestamp(time),
      Alloc: used,
      TotalAlloc: used,
      Sys: memory?.rss ?? 0,
      Lookups: 0,
      Mallocs: 0,
      Frees: 0,
      LiveObjects: 0,
      HeapAlloc: used,
      HeapSys: total,
      HeapIdle: Math.max(0, total - used),
      HeapInuse: used,
      HeapReleased: 0,
      StackInuse: 0,
      StackSys: 0,
      GCSys: 0,
      NextGC: 0,
      LastGC: 0,
      PauseTotalNs: 0,
      NumGC: 0,
      NumGoroutine: 0
    })
}

const applicationRow =
  (counts: CommandCounts, outcomes: { readonly [Name in Outcome]: number }, emulateQuirks: boolean) =>
  (time: number): string =>
    JSON.stringify({
      Timestamp: timestamp(time),
      TotalRequests: emulateQuirks ? 0 : counts.get + counts.put + counts.add + counts.delete + counts.flush,
      GetRequests: counts.get,
      PutRequests: counts.put,
      AddRequests: emulateQuirks ? 0 : counts.add,
      DeleteRequests: counts.delete,
      FlushRequests: counts.flush,
      CacheMiss: outcomes.miss,
      Stored: emulateQuirks ? 0 : outcomes.stored,
      NotStored: outcomes.notStored,
      Removed: emulateQuirks ? 0 : outcomes.removed,
      NotFound: outcomes.notFound,
      Flushed: emulateQuirks ? 0 : outcomes.flushed,
      ErrFlush: 0
    })

/** Go writes a list that nothing was ever added to as `null`. */
const rowsText = (rows: ReadonlyArray<string>): string => (rows.length === 0 ? "null" : `[${rows.join(",")}]`)

/** Zero counters and no rows; the first row is due one interval from now. */
export const make = ({ emulateQuirks, history, interval, now }: NodeMetricsOptions): NodeMetrics => {
  let counts = zeroCounts()
  let outcomes = zeroOutcomes()
  let systemRows: ReadonlyArray<string> = []
  let applicationRows: ReadonlyArray<string> = []
  let nextRow = now + interval

  return {
    commandCounts: () => ({ ...counts }),
    count: (command) => {
      counts[command ?? "unknown"]++
    },
    record: (outcome) => {
      outcomes[outcome]++
    },
    recordDue: (now) => {
      if (now < nextRow) return
      const due = Math.floor((now - nextRow) / interval) + 1
      const kept = Math.min(due, history)
      const times = Array.from({ length: kept }, (_, i) => nextRow + (due - kept + i) * interval)
      systemRows = [...systemRows, ...times.map(systemRow())].slice(-history)
      applicationRows = [...applicationRows, ...times.map(applicationRow(counts, outcomes, emulateQuirks))].slice(
        -history
      )
      nextRow += due * interval
    },
    systemRows: () => rowsText(systemRows),
    applicationRows: () => rowsText(applicationRows),
    reset: (now) => {
      counts = zeroCounts()
      outcomes = zeroOutcomes()
      systemRows = []
      applicationRows = []
      nextRow = now + interval
    }
  }
}
