/** What the rows of metrics say, that servers write at the end of each interval: speeds, shares, and how old they are. Pure. */
import type { WatchdogMetrics } from "../model/Metrics.js"

/**
 * A row of metrics, as far as time is concerned.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  /** RFC 3339; empty where the server writes no time. */
  readonly Timestamp: string
}

/**
 * Milliseconds from one row to the next; `NaN` where a server writes no time that can be read.
 *
 * @category functions
 * @since 0.1.0
 */
export const between = (before: Row, after: Row): number => Date.parse(after.Timestamp) - Date.parse(before.Timestamp)

// Servers write whole seconds: of the rows of one second, the first one counts.
const distinct = <R extends Row>(all: ReadonlyArray<R>): ReadonlyArray<R> =>
  all.filter((row, i) => row.Timestamp !== all[i - 1]?.Timestamp)

/**
 * How fast a counter grew from each row to the next, a second. A counter that has fallen began anew with a restarted
 * server. `NaN` where a time is not known.
 *
 * @category functions
 * @since 0.1.0
 */
export const rates = <R extends Row>(all: ReadonlyArray<R>, counter: (row: R) => number): ReadonlyArray<number> => {
  const rows = distinct(all)
  return rows.slice(1).map((row, i) => {
    const before = rows[i] ?? row
    const seconds = between(before, row) / 1000
    const grown = counter(row) < counter(before) ? counter(row) : counter(row) - counter(before)
    return seconds > 0 ? grown / seconds : Number.NaN
  })
}

/**
 * All requests. The v2 server counts them by command only.
 *
 * @category functions
 * @since 0.1.0
 */
export const requests = (row: WatchdogMetrics): number =>
  Math.max(
    row.TotalRequests,
    row.GetRequests + row.PutRequests + row.AddRequests + row.DeleteRequests + row.FlushRequests
  )

/**
 * The share of gets that found something, from 0 to 1, between the last two rows; `NaN` where there was no get.
 *
 * @category functions
 * @since 0.1.0
 */
export const hitRate = (rows: ReadonlyArray<WatchdogMetrics>): number => {
  const gets = rates(rows, (row) => row.GetRequests).at(-1) ?? Number.NaN
  const misses = rates(rows, (row) => row.CacheMiss).at(-1) ?? Number.NaN
  return gets > 0 ? Math.max(0, 1 - misses / gets) : Number.NaN
}

/**
 * Milliseconds between the last two rows of different times; `NaN` where there are no two.
 *
 * @category functions
 * @since 0.1.0
 */
export const period = (rows: ReadonlyArray<Row>): number => {
  const [before, last] = distinct(rows).slice(-2)
  return before === undefined || last === undefined ? Number.NaN : between(before, last)
}

/**
 * How old the last row is at a time in epoch milliseconds, by the server's clock; `NaN` where that is not known.
 *
 * @category functions
 * @since 0.1.0
 */
export const age = (rows: ReadonlyArray<Row>, now: number): number => now - Date.parse(rows.at(-1)?.Timestamp ?? "")
