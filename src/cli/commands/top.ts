/** `ghostdb top`: a live view of the cluster on the whole terminal. */

import { writeSync } from "node:fs"
import * as Terminal from "@effect/platform/Terminal"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { hitRate, rates, requests } from "../../cluster/Rates.js"
import * as NodesFile from "../../discovery/NodesFile.js"
import { GhostDB } from "../../GhostDB.js"
import type { Metrics, SnitchMetrics, WatchdogMetrics } from "../../model/Metrics.js"
import type { Topology } from "../../model/Topology.js"
import { type Connection, configuredNodes, inOrderOf, topologyNow, totalEntries, withClient } from "../connection.js"
import { UsageError } from "../exit.js"
import {
  bytes,
  type Cell,
  type Column,
  count,
  cut,
  escapeControls,
  gap,
  outputPaint,
  type Paint,
  painter,
  percent,
  rate,
  span,
  sparkline,
  table
} from "../terminal/output.js"
import { fetchMetrics } from "./metrics.js"

/** What the view shows, at one moment. */
export interface Snapshot {
  readonly source: string
  readonly topology: Topology
  /** Every node in the order of the nodes file. */
  readonly order: ReadonlyArray<string>
  readonly watchdog: Metrics<WatchdogMetrics>
  readonly snitch: Metrics<SnitchMetrics>
  /** Entries of each node that can tell. */
  readonly sizes: ReadonlyMap<string, number>
  /** Epoch milliseconds. */
  readonly at: number
}

/** The size of the terminal, in characters. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

const columns: ReadonlyArray<Column> = [
  { title: "NODE" },
  { title: "HEALTH" },
  { title: "REQ/S", align: "right" },
  { title: "HIT", align: "right" },
  { title: "HEAP", align: "right" },
  { title: "SYSTEM", align: "right" },
  { title: "ENTRIES", align: "right" }
]

const trend: Column = { title: "REQ/S, TREND" }

const sum = (values: ReadonlyArray<number>): number => {
  const known = values.filter((value) => !Number.isNaN(value))
  return known.length === 0 ? Number.NaN : known.reduce((a, b) => a + b, 0)
}

const health = ({ dead, leader, live }: Topology, node: string, at: number): Cell => {
  const died = dead.find((entry) => entry.node === node)
  if (died !== undefined) {
    return { text: `dead ${span(at - DateTime.toEpochMillis(died.since))} ${died.failure.reason}`, style: "red" }
  }
  const known = live.find((entry) => entry.node === node)
  if (known === undefined) return ""
  const leads = Option.isSome(leader) && leader.value === node ? "leader" : ""
  return { text: ["live", Option.getOrElse(known.dialect, () => ""), leads].join(" ").trimEnd(), style: "green" }
}

/** The view as lines, no more and no longer than the terminal has. Pure. */
export const view = (
  { at, order, sizes, snitch, source, topology, watchdog }: Snapshot,
  size: Size,
  paint: Paint
): ReadonlyArray<string> => {
  const application = order.map((node) => watchdog.metrics.find((entry) => entry.node === node)?.data ?? [])
  const trends = application.map((rows) => rates(rows, requests))
  const speeds = trends.map((speeds) => speeds.at(-1) ?? Number.NaN)
  const rows = order.map((node, i): ReadonlyArray<Cell> => {
    const system = snitch.metrics.find((entry) => entry.node === node)?.data.at(-1)
    return [
      node,
      health(topology, node, at),
      rate(speeds[i]),
      percent(hitRate(application[i] ?? [])),
      bytes(system?.HeapAlloc),
      bytes(system?.Sys),
      count(sizes.get(node))
    ]
  })
  const total: ReadonlyArray<Cell> = [
    { text: "all", style: "dim" },
    { text: `${topology.live.length} of ${order.length} live`, style: topology.dead.length > 0 ? "yellow" : "dim" },
    rate(sum(speeds)),
    "",
    "",
    "",
    count(totalEntries(topology, [...sizes.values()]))
  ]
  const time = DateTime.formatLocal(DateTime.unsafeMake(at), { timeStyle: "medium", locale: "en-GB" })
  const head = [`${paint("bold", "ghostdb top")}  ${escapeControls(source)}  ${time}`, ""]
  const foot = ["", paint("dim", "q quits")]
  // The trend takes what the columns before it leave.
  const taken = Math.max(...table(columns, [...rows, total], painter(false)).map((line) => line.length))
  const trendWidth = Math.max(0, size.columns - taken - gap.length)
  const withTrend = rows.map((row, i) => [
    ...row,
    { text: sparkline(trends[i] ?? [], trendWidth), style: "cyan" as const }
  ])
  const lines = table([...columns, trend], [...withTrend, total], paint)
  const room = size.rows - head.length - foot.length
  // The column titles, the nodes that there is room for, how many there are besides, and the sum.
  const seen = Math.max(room - 3, 0)
  const body =
    lines.length <= room
      ? lines
      : [...lines.slice(0, seen + 1), paint("dim", `${rows.length - seen} more`), ...lines.slice(-1)]
  return [...head, ...body, ...foot].slice(0, size.rows).map((line) => cut(line, size.columns))
}

const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l"
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l"
const home = "\u001b[H"
const clearToEndOfLine = "\u001b[K"
const clearBelow = "\u001b[J"

/** The alternate screen, without a cursor, for as long as the scope is open or the process lives. */
const screen = Effect.flatMap(Terminal.Terminal, ({ display }) => {
  // What ends the process without running finalizers still passes here.
  const atExit = () => {
    try {
      writeSync(1, leave)
    } catch {
      // The terminal is gone.
    }
  }
  return Effect.acquireRelease(
    Effect.zipRight(
      Effect.sync(() => process.once("exit", atExit)),
      display(enter)
    ),
    () =>
      Effect.zipRight(
        Effect.ignore(display(leave)),
        Effect.sync(() => process.off("exit", atExit))
      )
  )
})

/** The terminal's size as it is, and each time that it changes. */
const sizes = Effect.map(Terminal.Terminal, ({ columns, rows }) => {
  // A terminal that does not know its size says 0.
  const size = Effect.map(Effect.all({ columns, rows }), ({ columns, rows }) => ({
    columns: columns || 80,
    rows: rows || 24
  }))
  return Stream.concat(
    Stream.fromEffect(size),
    Stream.mapEffect(
      Stream.asyncPush<void>((emit) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const onResize = () => emit.single(undefined)
            process.stdout.on("resize", onResize)
            return onResize
          }),
          (onResize) => Effect.sync(() => process.stdout.off("resize", onResize))
        )
      ),
      () => size
    )
  )
})

const none: { readonly metrics: ReadonlyArray<never> } = { metrics: [] }

/** Asks the nodes everything that the view shows. Those that do not answer die of it, which the view shows too. */
const takeSnapshot = (source: string, order: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { snitch, watchdog } = yield* Effect.orElseSucceed(fetchMetrics, () => ({ snitch: none, watchdog: none }))
    const { live } = yield* topologyNow
    const sizes = yield* Effect.forEach(
      live,
      ({ node }) =>
        Effect.map(
          Effect.orElseSucceed(GhostDB.nodeSize(node), () => Option.none<number>()),
          Option.map((size) => [node, size] as const)
        ),
      { concurrency: "unbounded" }
    )
    const topology = yield* topologyNow
    const nodes = inOrderOf(order)([...topology.live, ...topology.dead]).map(({ node }) => node)
    return {
      source,
      topology,
      order: nodes,
      watchdog,
      snitch,
      sizes: new Map(Arr.getSomes(sizes)),
      at: yield* Clock.currentTimeMillis
    }
  })

const quits = ({ key }: Terminal.UserInput): boolean =>
  key.name === "q" || key.name === "escape" || (key.ctrl && key.name === "c")

const draw = (connection: Connection, interval: Duration.Duration) =>
  Effect.gen(function* () {
    const terminal = yield* Terminal.Terminal
    const paint = yield* outputPaint
    const input = yield* terminal.readInput
    yield* screen
    const order = yield* configuredNodes
    const snapshots = Stream.repeatEffectWithSchedule(
      takeSnapshot(NodesFile.redact(connection.nodes), order),
      Schedule.spaced(interval)
    )
    const drawn = Stream.zipLatest(snapshots, yield* sizes).pipe(
      Stream.runForEach(([snapshot, size]) =>
        terminal.display(
          home +
            view(snapshot, size, paint)
              .map((line) => line + clearToEndOfLine)
              .join("\r\n") +
            clearBelow
        )
      )
    )
    const quit = Effect.ignore(Effect.repeat(input.take, { until: quits }))
    yield* Effect.raceFirst(drawn, quit)
  }).pipe(
    Effect.scoped,
    // A line of the log would stand in the middle of the view.
    process.stderr.isTTY === true ? Logger.withMinimumLogLevel(LogLevel.None) : identity
  )

/** `ghostdb top` */
export const top = ({
  connection,
  interval
}: {
  readonly connection: Connection
  readonly interval: Duration.Duration
}) =>
  Effect.gen(function* () {
    if (process.stdout.isTTY !== true || process.stdin.isTTY !== true) {
      return yield* new UsageError({ message: "top is for a terminal: ghostdb metrics prints, and has --json" })
    }
    yield* withClient(connection, draw(connection, interval), { revive: Schedule.spaced("1 second") })
  })
