/** The screen of `top` as lines, no more and no longer than the terminal has. Pure. */
import * as DateTime from "effect/DateTime"
import type { Known, NodeSnapshot, Snapshot } from "../../Snapshot.js"
import {
  bytes,
  type Cell,
  type Column,
  count,
  cut,
  escapeControls,
  gap,
  milliseconds,
  type Paint,
  painter,
  percent,
  rate,
  type Style,
  span,
  sparkline,
  table
} from "../../terminal/output.js"
import type { Model, Sort } from "./model.js"

/** The size of the terminal, in characters. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

const number = (known: Known): number => known ?? Number.NaN

const clock = (at: number): string =>
  DateTime.formatLocal(DateTime.unsafeMake(at), { timeStyle: "medium", locale: "en-GB" })

const ranks: { readonly [status in NodeSnapshot["status"]]: number } = { dead: 0, unknown: 1, slow: 2, live: 3 }

const descending = (key: (node: NodeSnapshot) => Known) => (a: NodeSnapshot, b: NodeSnapshot) =>
  (key(b) ?? -1) - (key(a) ?? -1)

const orders: { readonly [sort in Sort]: (a: NodeSnapshot, b: NodeSnapshot) => number } = {
  state: (a, b) => ranks[a.status] - ranks[b.status],
  node: (a, b) => (a.node < b.node ? -1 : 1),
  time: descending(({ lastMillis }) => lastMillis),
  entries: descending(({ entries }) => entries),
  requests: descending(({ requestsPerSecond }) => requestsPerSecond)
}

/** The nodes that the model lets through, in its order. */
export const shownNodes = ({ nodes }: Snapshot, { filter, sort }: Model): ReadonlyArray<NodeSnapshot> =>
  nodes.filter(({ node }) => node.includes(filter)).sort(orders[sort])

const styles: { readonly [status in NodeSnapshot["status"]]: Style } = {
  dead: "red",
  unknown: "dim",
  slow: "yellow",
  live: "green"
}

const stateText = (node: NodeSnapshot, now: number): string => {
  if (node.status === "unknown") return "asked"
  if (node.status === "dead") return `dead ${span(now - node.since)} ${node.reason ?? ""}`.trimEnd()
  return [node.status, node.dialect, node.leads ? "leader" : ""].join(" ").trimEnd()
}

interface NodeColumn extends Column {
  readonly cell: (node: NodeSnapshot, now: number) => Cell
  /** Columns of a higher number are left out first, all of one number together. */
  readonly priority: number
}

const right = (title: string, priority: number, cell: NodeColumn["cell"]): NodeColumn => ({
  title,
  align: "right",
  priority,
  cell
})

const nodeColumns: ReadonlyArray<NodeColumn> = [
  { title: "NODE", priority: 0, cell: ({ node }) => node },
  { title: "STATE", priority: 0, cell: (node, now) => ({ text: stateText(node, now), style: styles[node.status] }) },
  right("TIME", 1, ({ lastMillis }) => milliseconds(number(lastMillis))),
  right("P99", 5, ({ p99Millis }) => milliseconds(number(p99Millis))),
  right("ENTRIES", 2, ({ entries }) => count(number(entries))),
  right("REQ/S", 3, ({ requestsPerSecond }) => rate(number(requestsPerSecond))),
  right("HIT", 4, ({ hitRate }) => percent(number(hitRate))),
  right("HEAP", 6, ({ heapBytes }) => bytes(number(heapBytes))),
  right("AGE", 3, ({ rowAgeMillis }) => (rowAgeMillis === null ? "-" : span(rowAgeMillis)))
]

const widthOf = (lines: ReadonlyArray<string>): number => Math.max(...lines.map((line) => line.length))

const leastTrend = 8

/** The table of nodes: whole columns are left out where the terminal is narrow, and the trend takes what room is left. */
const nodeTable = (
  nodes: ReadonlyArray<NodeSnapshot>,
  visible: { readonly from: number; readonly to: number; readonly selected: number },
  now: number,
  columns: number,
  paint: Paint
): ReadonlyArray<string> => {
  const cells = nodes.map((node) => nodeColumns.map(({ cell }) => cell(node, now)))
  // Of all nodes, so that no column moves while one scrolls.
  const widths = nodeColumns.map((column, i) =>
    widthOf(
      table(
        [column],
        cells.map((row) => [row[i] ?? ""]),
        painter(false)
      )
    )
  )
  const fits = (most: number): number =>
    nodeColumns.reduce(
      (sum, { priority }, i) => (priority <= most ? sum + (widths[i] ?? 0) + gap.length : sum),
      -gap.length
    )
  const most = [6, 5, 4, 3, 2, 1].find((most) => fits(most) <= columns) ?? 0
  const kept = nodeColumns.flatMap((column, i) => (column.priority <= most ? [{ column, i }] : []))
  const trendWidth = columns - fits(most) - gap.length
  const hasTrend = trendWidth >= leastTrend
  // One scale for all, or a fast node would look as slow as a slow one.
  const high = Math.max(
    ...nodes.flatMap(({ roundTrips }) => roundTrips.slice(-trendWidth).map((millis) => millis ?? 0)),
    1
  )
  const rows = nodes.slice(visible.from, visible.to).map((node, at): ReadonlyArray<Cell> => {
    const row = cells[visible.from + at] ?? []
    const trend = sparkline(node.roundTrips.map(number), trendWidth, { high })
    return [...kept.map(({ i }) => row[i] ?? ""), ...(hasTrend ? [{ text: trend, style: "cyan" as const }] : [])]
  })
  const padded = kept.map(({ column, i }) => ({
    ...column,
    title: column.title.padEnd(column.align ? 0 : (widths[i] ?? 0))
  }))
  const lines = table(
    [
      ...padded.map((column, i) => ({
        ...column,
        title: column.align === "right" ? column.title.padStart(widths[kept[i]?.i ?? 0] ?? 0) : column.title
      })),
      ...(hasTrend ? [{ title: "ROUND TRIP" }] : [])
    ],
    rows,
    paint
  )
  return lines.map((line, i) => (i === visible.selected - visible.from + 1 ? paint("inverse", line) : line))
}

const totalsLine = (snapshot: Snapshot, paint: Paint, columns: number): string => {
  const { entries, live, medianMillis, nodes, placement, requestsPerSecond, totals } = snapshot
  const dead = nodes.filter(({ status }) => status === "dead").length
  const text = [
    paint(dead > 0 ? "red" : "green", `${live} of ${nodes.length} live`),
    `${count(number(entries))} entries`,
    `${rate(number(requestsPerSecond))} req/s`,
    milliseconds(number(medianMillis)),
    placement === "ring" ? "" : placement
  ]
    .filter((part) => part !== "")
    .join(gap)
  const width = columns - text.replace(/\u001b\[\d*m/g, "").length - gap.length
  const requests = totals.map(({ requests }) => number(requests))
  const history = requests.some((value) => !Number.isNaN(value)) ? requests : totals.map(({ millis }) => number(millis))
  return width < leastTrend ? text : `${text}${gap}${paint("cyan", sparkline(history, width))}`
}

const eventLines = ({ events }: Snapshot, paint: Paint): ReadonlyArray<string> =>
  events.length === 0
    ? [paint("dim", "nothing has happened since this began")]
    : events.toReversed().map(({ at, detail, kind, node }) => {
        const style = kind === "dead" ? "red" : kind === "live" ? "green" : "bold"
        return `${paint("dim", clock(at))}${gap}${paint(style, kind)}${gap}${escapeControls(node)}${gap}${escapeControls(detail)}`
      })

const detailLines = (snapshot: Snapshot, node: NodeSnapshot | undefined, paint: Paint, width: number) => {
  if (node === undefined) return [paint("dim", "no node is selected")]
  const pairs: ReadonlyArray<readonly [string, string]> = [
    ["state", paint(styles[node.status], `${stateText(node, snapshot.time)}`)],
    ["since", `${clock(node.since)}, ${span(snapshot.time - node.since)} ago`],
    ...(node.detail === null ? [] : [["why", node.detail] as const]),
    ["pings", `${count(node.pings)}, ${count(node.lost)} lost`],
    [
      "round trip",
      `${milliseconds(number(node.lastMillis))}, median ${milliseconds(number(node.medianMillis))}, p99 ${milliseconds(number(node.p99Millis))}`
    ],
    ["", paint("cyan", sparkline(node.roundTrips.map(number), width - 14))],
    ["entries", count(number(node.entries))],
    [
      "row",
      node.rowAgeMillis === null
        ? "none yet"
        : `${span(node.rowAgeMillis)} old${node.rowPeriodMillis === null ? "" : `, one every ${span(node.rowPeriodMillis)}`}`
    ],
    ["requests", `${rate(number(node.requestsPerSecond))} a second, ${percent(number(node.hitRate))} of gets hit`],
    ["", paint("cyan", sparkline(node.requests.map(number), width - 14))],
    ["memory", `${bytes(number(node.heapBytes))} of heap, ${bytes(number(node.systemBytes))} from the system`],
    ["", paint("cyan", sparkline(node.heap.map(number), width - 14, { from: "least" }))]
  ]
  const own = { ...snapshot, events: snapshot.events.filter((event) => event.node === node.node) }
  return [
    paint("bold", escapeControls(node.node)),
    ...pairs.map(([name, text]) => `  ${name.padEnd(10)}${gap}${text}`),
    "",
    ...eventLines(own, paint)
  ]
}

const helpLines: ReadonlyArray<string> = [
  "↑ ↓ j k   select; page up and down, home and end",
  "enter     the selected node, and back",
  "s         sort: by state, node, time, entries, requests",
  "/         show only nodes with a text in their address; escape ends it",
  "p, space  pause",
  "e         what has happened",
  "q         quit",
  "",
  "TIME is the last round trip, measured here; ROUND TRIP is its history, one scale for all.",
  "REQ/S, HIT and HEAP are of the node's own rows: AGE says how old the last one is,",
  "and real servers write one every 5 minutes."
]

/** Where the window of so many rows starts, so that the selected one is in it. */
const windowStart = (selected: number, rows: number, all: number): number =>
  Math.min(Math.max(selected - Math.floor(rows / 2), 0), Math.max(all - rows, 0))

const nodeLines = (snapshot: Snapshot, model: Model, size: Size, room: number, paint: Paint, chooses: boolean) => {
  const nodes = shownNodes(snapshot, model)
  const selected = Math.min(model.selected, nodes.length - 1)
  const most = nodes.length + 1 <= room ? nodes.length : Math.max(room - 2, 0)
  const from = windowStart(selected, most, nodes.length)
  const visible = { from, to: from + most, selected: chooses ? selected : -2 }
  const lines = nodeTable(nodes, visible, snapshot.time, size.columns, paint)
  const hidden = nodes.length - most
  return hidden <= 0
    ? lines
    : [...lines, paint("dim", `${from} above, ${hidden - from} below of ${nodes.length}${from === 0 ? "" : " ↑"} ↓`)]
}

/** The screen. `interactive` is false for `--once`, where there is no key to press and every node has a line. */
export const view = (
  snapshot: Snapshot,
  model: Model,
  source: string,
  size: Size,
  paint: Paint,
  interactive = true
): ReadonlyArray<string> => {
  const flags = [
    model.paused ? paint("yellow", "paused") : "",
    model.sort === "state" ? "" : `by ${model.sort}`,
    model.filter === "" && !model.typing ? "" : `/${escapeControls(model.filter)}${model.typing ? "_" : ""}`
  ].filter((text) => text !== "")
  const head = [
    [paint("bold", "ghostdb top"), escapeControls(source), clock(snapshot.time), ...flags].join(gap),
    totalsLine(snapshot, paint, size.columns),
    ""
  ]
  const foot = interactive
    ? ["", paint("dim", "q quit  s sort  / filter  p pause  enter detail  e events  ? help")]
    : []
  const room = interactive ? Math.max(size.rows - head.length - foot.length, 0) : Number.MAX_SAFE_INTEGER
  const nodes = shownNodes(snapshot, model)
  const body = {
    nodes: () => nodeLines(snapshot, model, size, room, paint, interactive),
    detail: () => detailLines(snapshot, nodes[Math.min(model.selected, nodes.length - 1)], paint, size.columns),
    events: () => eventLines(snapshot, paint),
    help: () => helpLines
  }[model.page]()
  const lines = [...head, ...body.slice(0, room), ...foot]
  return (interactive ? lines.slice(0, size.rows) : lines).map((line) => cut(line, size.columns))
}
