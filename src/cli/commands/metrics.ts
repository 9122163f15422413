/** `ghostdb metrics`: the rows that the nodes keep. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Probe from "../../cluster/Probe.js"
import * as Rates from "../../cluster/Rates.js"
import { between, type Row, rates } from "../../cluster/Rates.js"
import { SnitchMetrics, WatchdogMetrics } from "../../model/Metrics.js"
import { allAnswered, type Connection, withProbe } from "../connection.js"
import { NoAnswer, UsageError } from "../exit.js"
import {
  bytes,
  type Cell,
  type Column,
  count,
  outputPaint,
  type Paint,
  percent,
  print,
  printDrawn,
  printTable,
  rate,
  span,
  sparkline,
  table,
  toJson
} from "../terminal/output.js"
import { exposition } from "./prometheus.js"

const sparkWidth = 32

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

const block = (node: string, { snitch, watchdog }: Rows, paint: Paint): string =>
  [
    paint("bold", node),
    ...table(
      columns,
      [
        ["Watchdog", "", "", { text: period(watchdog), style: "dim" }],
        ...watchdogRows(watchdog),
        ["Snitch", "", "", { text: period(snitch), style: "dim" }],
        ...snitchRows(snitch)
      ],
      paint
    )
  ].join("\n")

const lastColumns: ReadonlyArray<Column> = [
  { title: "NODE" },
  ...["ROW OF", "REQUESTS", "REQ/S", "HIT", "HEAP", "SYSTEM", "ENTRIES"].map((title) => ({
    title,
    align: "right" as const
  }))
]

const lastRow = (node: string, { entries, snitch, watchdog }: Rows, now: number): ReadonlyArray<Cell> => {
  const age = Rates.age(snitch.length > 0 ? snitch : watchdog, now)
  const application = watchdog.at(-1)
  return [
    node,
    Number.isNaN(age) ? "-" : `${span(age)} ago`,
    count(application === undefined ? undefined : Rates.requests(application)),
    rate(Rates.rates(watchdog, Rates.requests).at(-1)),
    percent(Rates.hitRate(watchdog)),
    bytes(snitch.at(-1)?.HeapAlloc),
    bytes(snitch.at(-1)?.Sys),
    count(entries)
  ]
}

interface Rows {
  readonly snitch: ReadonlyArray<SnitchMetrics>
  readonly watchdog: ReadonlyArray<WatchdogMetrics>
  readonly entries: number | undefined
}

const rowsOf = (probe: Probe.Probe, node: string) =>
  Effect.flatMap(probe.ping(node), ({ dialect }) =>
    Effect.all(
      {
        snitch: probe.snitchMetrics(node, dialect),
        watchdog: probe.watchdogMetrics(node, dialect),
        entries: Effect.map(
          Effect.orElseSucceed(probe.nodeSize(node, dialect), () => Option.none<number>()),
          Option.getOrUndefined
        )
      },
      { concurrency: "unbounded" }
    )
  )

/** What `ghostdb metrics` is asked for. */
export interface MetricsOptions {
  readonly connection: Connection
  readonly json: boolean
  /** The last row only, a line for each node. */
  readonly last: boolean
  /** Addresses, with commas or line feeds between them. */
  readonly node: Option.Option<string>
  readonly prometheus: boolean
}

const chosen = Effect.fnUntraced(function* (nodes: ReadonlyArray<string>, node: Option.Option<string>) {
  if (Option.isNone(node)) return nodes
  const wanted = node.value.split(/[,\n]/).map((one) => one.trim())
  const stranger = wanted.find((one) => !nodes.includes(one))
  return stranger === undefined
    ? wanted
    : yield* new UsageError({ message: `--node ${stranger}: it is not among the nodes` })
})

/** `ghostdb metrics` */
export const metrics = ({ connection, json, last, node, prometheus }: MetricsOptions) =>
  withProbe(connection, (probe, watched) =>
    Effect.gen(function* () {
      if (json && prometheus) return yield* new UsageError({ message: "--json and --prometheus exclude each other" })
      const nodes = yield* chosen(watched.nodes, node)
      const answers = yield* Effect.forEach(
        nodes,
        (node) =>
          Effect.map(Effect.option(rowsOf(probe, node)), (rows) => ({ node, rows: Option.getOrUndefined(rows) })),
        { concurrency: "unbounded" }
      )
      const known = answers.flatMap(({ node, rows }) => (rows === undefined ? [] : [{ node, rows }]))
      const now = yield* Clock.currentTimeMillis
      const paint = yield* outputPaint
      if (prometheus) yield* print(exposition(answers))
      else if (known.length === 0) return yield* new NoAnswer({ message: `none of ${nodes.length} nodes answers` })
      else if (json) {
        const ofKind = <R>(data: (rows: Rows) => ReadonlyArray<R>) =>
          known.map(({ node, rows }) => ({ node, data: last ? data(rows).slice(-1) : data(rows) }))
        yield* print(toJson({ snitch: ofKind(({ snitch }) => snitch), watchdog: ofKind(({ watchdog }) => watchdog) }))
      } else if (last)
        yield* printTable(
          lastColumns,
          known.map(({ node, rows }) => lastRow(node, rows, now))
        )
      else yield* printDrawn([known.map(({ node, rows }) => block(node, rows, paint)).join("\n\n")])
      yield* allAnswered(
        answers.filter(({ rows }) => rows === undefined).map(({ node }) => node),
        nodes.length
      )
    })
  )
