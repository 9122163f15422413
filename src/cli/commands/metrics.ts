/** `ghostdb metrics`: the rows that the nodes keep, and what `top` reads from them too. */

import * as Effect from "effect/Effect"
import { between, type Row, rates } from "../../cluster/Rates.js"
import { GhostDB } from "../../GhostDB.js"
import { type Metrics, SnitchMetrics, WatchdogMetrics } from "../../model/Metrics.js"
import { allAnswered, type Connection, configuredNodes, withClient } from "../connection.js"
import {
  bytes,
  type Cell,
  type Column,
  count,
  outputPaint,
  print,
  printDrawn,
  rate,
  span,
  sparkline,
  table,
  toJson
} from "../terminal/output.js"

const sparkWidth = 32

/** The metrics of the live nodes. */
export const fetchMetrics = Effect.all(
  { snitch: GhostDB.getSnitchMetrics, watchdog: GhostDB.getWatchdogMetrics },
  { concurrency: "unbounded" }
)

type Field<R> = Exclude<keyof R, "Timestamp">

const namesOf = <R>(fields: { readonly [name: string]: unknown }): ReadonlyArray<Field<R> & string> =>
  // The class's own fields, as its schema lists them.
  Object.keys(fields).filter((name) => name !== "Timestamp") as unknown as ReadonlyArray<Field<R> & string>

const snitchFields = namesOf<SnitchMetrics>(SnitchMetrics.fields)
const watchdogFields = namesOf<WatchdogMetrics>(WatchdogMetrics.fields)

/** Those of the system metrics that only grow. */
const growing: ReadonlySet<string> = new Set(["TotalAlloc", "Lookups", "Mallocs", "Frees", "PauseTotalNs", "NumGC"])

const counts: ReadonlySet<string> = new Set(["Lookups", "Mallocs", "Frees", "LiveObjects", "NumGC", "NumGoroutine"])

const snitchText = (field: string, value: number): string => {
  if (field === "LastGC") return value === 0 ? "never" : new Date(value / 1e6).toISOString()
  if (field === "PauseTotalNs") return `${(value / 1e6).toFixed(1)} ms`
  return counts.has(field) ? count(value) : bytes(value)
}

const columns: ReadonlyArray<Column> = [
  { title: "" },
  { title: "LAST", align: "right" },
  { title: "PER SECOND", align: "right" },
  { title: "TREND" }
]

const period = (rows: ReadonlyArray<Row>): string => {
  const [first, last] = [rows[0], rows.at(-1)]
  if (first === undefined || last === undefined) return "no rows yet"
  if (rows.length === 1) return `1 row, of ${last.Timestamp}`
  const length = between(first, last)
  return `${rows.length} rows, to ${last.Timestamp}${Number.isNaN(length) ? "" : `, over ${span(length)}`}`
}

/** A line for each field that is not 0 in all rows. */
const watchdogRows = (rows: ReadonlyArray<WatchdogMetrics>): ReadonlyArray<ReadonlyArray<Cell>> =>
  watchdogFields
    .filter((field) => rows.some((row) => row[field] !== 0))
    .map((field) => {
      const speeds = rates(rows, (row) => row[field])
      return [
        `  ${field}`,
        count(rows.at(-1)?.[field]),
        rate(speeds.at(-1)),
        { text: sparkline(speeds, sparkWidth), style: "cyan" }
      ]
    })

const snitchRows = (rows: ReadonlyArray<SnitchMetrics>): ReadonlyArray<ReadonlyArray<Cell>> =>
  snitchFields
    .filter((field) => rows.some((row) => row[field] !== 0))
    .map((field) => {
      const speeds = growing.has(field) ? rates(rows, (row) => row[field]) : []
      const trend = growing.has(field)
        ? sparkline(speeds, sparkWidth)
        : sparkline(
            rows.map((row) => row[field]),
            sparkWidth,
            { from: "least" }
          )
      const speed = speeds.at(-1)
      return [
        `  ${field}`,
        snitchText(field, rows.at(-1)?.[field] ?? 0),
        speed === undefined || Number.isNaN(speed) ? "" : snitchText(field, Math.round(speed)),
        { text: trend, style: "cyan" }
      ]
    })

const rowsOf = <R>({ metrics }: Metrics<R>, node: string): ReadonlyArray<R> =>
  metrics.find((entry) => entry.node === node)?.data ?? []

/** `ghostdb metrics` */
export const metrics = ({ connection, json }: { readonly connection: Connection; readonly json: boolean }) =>
  Effect.gen(function* () {
    const asked = yield* configuredNodes
    const all = yield* fetchMetrics
    const nodes = new Set([...all.watchdog.metrics, ...all.snitch.metrics].map(({ node }) => node))
    const complete = allAnswered(
      asked.filter((node) => !nodes.has(node)),
      asked.length
    )
    if (json) {
      return yield* Effect.zipRight(
        print(toJson({ snitch: all.snitch.metrics, watchdog: all.watchdog.metrics })),
        complete
      )
    }
    const paint = yield* outputPaint
    const blocks = [...nodes].map((node) => {
      const application = rowsOf(all.watchdog, node)
      const system = rowsOf(all.snitch, node)
      return [
        paint("bold", node),
        ...table(
          columns,
          [
            ["Watchdog", "", "", { text: period(application), style: "dim" }],
            ...watchdogRows(application),
            ["Snitch", "", "", { text: period(system), style: "dim" }],
            ...snitchRows(system)
          ],
          paint
        )
      ].join("\n")
    })
    yield* Effect.zipRight(printDrawn([blocks.join("\n\n")]), complete)
  }).pipe((self) => withClient(connection, self))
