/** What a monitor knows of a cluster, and what it makes of each answer. Pure. */
import * as Option from "effect/Option"
import type { Dialect } from "../model/Dialect.js"
import type { Fault } from "../model/GhostDBError.js"
import type { SnitchMetrics, WatchdogMetrics } from "../model/Metrics.js"
import type { Placement } from "../model/Topology.js"
import * as Rates from "./Rates.js"

/**
 * One ping.
 *
 * @category models
 * @since 0.1.0
 */
export interface RoundTrip {
  /** Epoch milliseconds. */
  readonly at: number
  /** `NaN` where no answer came. */
  readonly millis: number
}

/**
 * A node as the monitor last saw it.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeView {
  /** The address as the nodes file writes it. */
  readonly node: string
  /** `unknown` until the first ping has ended. */
  readonly status: "unknown" | "live" | "dead"
  /** When the status last changed, in epoch milliseconds. */
  readonly since: number
  /** The dialect that it last answered in. */
  readonly dialect: Option.Option<Dialect>
  /** Why it does not answer, while it is dead. */
  readonly failure: Option.Option<Fault>
  /** Whether it leads its raft cluster. */
  readonly leads: boolean
  /** The last pings, the oldest first. */
  readonly roundTrips: ReadonlyArray<RoundTrip>
  /** Pings since the monitor began, and those without an answer. */
  readonly pings: number
  readonly lost: number
  /** How many entries it holds; none where it does not say. */
  readonly entries: Option.Option<number>
  /** The rows of metrics that it last gave, the oldest first. */
  readonly snitch: ReadonlyArray<SnitchMetrics>
  readonly watchdog: ReadonlyArray<WatchdogMetrics>
  /** From when on the rows are worth asking for again, in epoch milliseconds. */
  readonly rowsDue: number
}

/**
 * Something that happened to a node.
 *
 * @category models
 * @since 0.1.0
 */
export interface MonitorEvent {
  /** Epoch milliseconds. */
  readonly at: number
  readonly node: string
  readonly kind: "live" | "dead" | "dialect" | "leader" | "joined" | "left"
  /** A few plain words, such as the reason of a death. */
  readonly detail: string
}

/**
 * The whole cluster at one moment of the past.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  /** Epoch milliseconds. */
  readonly at: number
  readonly live: number
  /** The median of the last round trips of the live nodes, in milliseconds; `NaN` where there is none. */
  readonly millis: number
  /** `NaN` where no node says. */
  readonly entries: number
  /** Requests a second, by the servers' rows; `NaN` where no node says. */
  readonly requests: number
}

/**
 * What a monitor knows.
 *
 * @category models
 * @since 0.1.0
 */
export interface MonitorState {
  /** Every node by its address, in the order of the nodes file. */
  readonly nodes: ReadonlyMap<string, NodeView>
  /** The oldest first, at most `maxEvents`. */
  readonly events: ReadonlyArray<MonitorEvent>
  /** The oldest first, one for each interval, at most `history`. */
  readonly totals: ReadonlyArray<Totals>
}

/** How many pings of a node, and totals of the cluster, are kept. */
export const history = 240

/** How many events are kept. */
export const maxEvents = 500

const keep = <A>(items: ReadonlyArray<A>, item: A, most: number): ReadonlyArray<A> => [...items.slice(1 - most), item]

const newNode = (node: string, now: number): NodeView => ({
  node,
  status: "unknown",
  since: now,
  dialect: Option.none(),
  failure: Option.none(),
  leads: false,
  roundTrips: [],
  pings: 0,
  lost: 0,
  entries: Option.none(),
  snitch: [],
  watchdog: [],
  rowsDue: 0
})

/** All nodes unknown. */
export const make = (nodes: ReadonlyArray<string>, now: number): MonitorState => ({
  nodes: new Map(nodes.map((node) => [node, newNode(node, now)])),
  events: [],
  totals: []
})

const addEvent = (self: MonitorState, event: MonitorEvent): MonitorState => ({
  ...self,
  events: keep(self.events, event, maxEvents)
})

const update = (self: MonitorState, node: string, change: (view: NodeView) => NodeView): MonitorState => {
  const view = self.nodes.get(node)
  return view === undefined ? self : { ...self, nodes: new Map(self.nodes).set(node, change(view)) }
}

/** A new list of nodes: those that stay keep what is known of them. */
export const reloaded = (self: MonitorState, nodes: ReadonlyArray<string>, now: number): MonitorState => {
  const views = new Map(nodes.map((node) => [node, self.nodes.get(node) ?? newNode(node, now)]))
  const joined = nodes.filter((node) => !self.nodes.has(node)).map((node) => ({ node, kind: "joined" as const }))
  const left = [...self.nodes.keys()]
    .filter((node) => !views.has(node))
    .map((node) => ({ node, kind: "left" as const }))
  return [...joined, ...left].reduce<MonitorState>(
    (state, { kind, node }) => addEvent(state, { at: now, node, kind, detail: "" }),
    { ...self, nodes: views }
  )
}

/** A ping was answered. */
export const answered = (
  self: MonitorState,
  node: string,
  { dialect, millis }: { readonly dialect: Dialect; readonly millis: number },
  now: number
): MonitorState => {
  const before = self.nodes.get(node)
  if (before === undefined) return self
  const next = update(self, node, (view) => ({
    ...view,
    status: "live",
    since: view.status === "live" ? view.since : now,
    dialect: Option.some(dialect),
    failure: Option.none(),
    roundTrips: keep(view.roundTrips, { at: now, millis }, history),
    pings: view.pings + 1,
    // A node that was away may have been restarted.
    rowsDue: view.status === "live" ? view.rowsDue : 0
  }))
  if (before.status === "dead") return addEvent(next, { at: now, node, kind: "live", detail: dialect })
  return Option.exists(before.dialect, (known) => known !== dialect)
    ? addEvent(next, { at: now, node, kind: "dialect", detail: dialect })
    : next
}

/** A ping was not answered. */
export const unanswered = (self: MonitorState, node: string, fault: Fault, now: number): MonitorState => {
  const before = self.nodes.get(node)
  if (before === undefined) return self
  const next = update(self, node, (view) => ({
    ...view,
    status: "dead",
    since: view.status === "dead" ? view.since : now,
    failure: Option.some(fault),
    leads: false,
    entries: Option.none(),
    roundTrips: keep(view.roundTrips, { at: now, millis: Number.NaN }, history),
    pings: view.pings + 1,
    lost: view.lost + 1
  }))
  return before.status === "dead"
    ? next
    : addEvent(next, { at: now, node, kind: "dead", detail: `${fault.reason} ${fault.detail}`.trimEnd() })
}

/** A node has said how many entries it holds, or that it does not say. Of raft members, only the leader says. */
export const counted = (
  self: MonitorState,
  node: string,
  entries: Option.Option<number>,
  now: number
): MonitorState => {
  const before = self.nodes.get(node)
  if (before === undefined) return self
  const leads = Option.contains(before.dialect, "raft") && Option.isSome(entries)
  const next = update(self, node, (view) => ({ ...view, entries, leads }))
  return leads && !before.leads ? addEvent(next, { at: now, node, kind: "leader", detail: "" }) : next
}

/** Rows are asked for so often where no period can be seen in them yet. */
const firstRows = 5000

const leastWait = 1000

/** When the next row can be there: a server writes one at the end of each interval, often every five minutes. */
const nextRows = (rows: ReadonlyArray<Rates.Row>, isNew: boolean, now: number): number => {
  const period = Rates.period(rows)
  if (Number.isNaN(period)) return now + firstRows
  if (!isNew) return now + Math.min(Math.max(period / 10, leastWait), 30_000)
  const age = Math.min(Math.max(Rates.age(rows, now), 0), period)
  return now + Math.max(period - age, leastWait)
}

/** A node has given its rows. */
export const rowsRead = (
  self: MonitorState,
  node: string,
  rows: Pick<NodeView, "snitch" | "watchdog">,
  now: number
): MonitorState =>
  update(self, node, (view) => {
    const isNew = rows.snitch.at(-1)?.Timestamp !== view.snitch.at(-1)?.Timestamp
    return { ...view, ...rows, rowsDue: nextRows(rows.snitch, isNew, now) }
  })

/** Whether the rows of a node are worth asking for. */
export const wantsRows = (self: MonitorState, node: string, now: number): boolean =>
  (self.nodes.get(node)?.rowsDue ?? Number.POSITIVE_INFINITY) <= now

/**
 * How keys find their nodes, by the dialects of the live nodes.
 *
 * @category functions
 * @since 0.1.0
 */
export const placement = ({ nodes }: MonitorState): Placement => {
  const dialects = [...nodes.values()].flatMap(({ dialect, status }) =>
    status === "live" ? Option.toArray(dialect) : []
  )
  if (!dialects.includes("raft")) return "ring"
  return dialects.every((dialect) => dialect === "raft") ? "replicated" : "mixed"
}

const sum = (values: ReadonlyArray<number>): number =>
  values.length === 0 ? Number.NaN : values.reduce((a, b) => a + b, 0)

/**
 * The whole cluster now. In a raft cluster all members hold the same entries: they count once.
 *
 * @category functions
 * @since 0.1.0
 */
export const totals = (self: MonitorState, now: number): Totals => {
  const views = [...self.nodes.values()]
  const live = views.filter(({ status }) => status === "live")
  const entries = views.flatMap(({ entries }) => Option.toArray(entries))
  const requests = live
    .map(({ watchdog }) => Rates.rates(watchdog, Rates.requests).at(-1) ?? Number.NaN)
    .filter((rate) => !Number.isNaN(rate))
  return {
    at: now,
    live: live.length,
    millis: quantile(
      live.map(({ roundTrips }) => roundTrips.at(-1)?.millis ?? Number.NaN),
      0.5
    ),
    entries: placement(self) === "replicated" && entries.length > 0 ? Math.max(...entries) : sum(entries),
    requests: sum(requests)
  }
}

/** The end of an interval: what the totals are goes into their history. */
export const ticked = (self: MonitorState, now: number): MonitorState => ({
  ...self,
  totals: keep(self.totals, totals(self, now), history)
})

/**
 * A quantile from 0 to 1 by nearest rank, of the values that are known; `NaN` of none.
 *
 * @category functions
 * @since 0.1.0
 */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  return sorted[Math.max(Math.ceil(q * sorted.length) - 1, 0)] ?? Number.NaN
}

/**
 * The least, the median and the 99th percentile of a node's last round trips, in milliseconds; `NaN` where it has none.
 *
 * @category functions
 * @since 0.1.0
 */
export const roundTripSummary = ({
  roundTrips
}: NodeView): { readonly min: number; readonly median: number; readonly p99: number } => {
  const millis = roundTrips.map(({ millis }) => millis)
  return { min: quantile(millis, 0), median: quantile(millis, 0.5), p99: quantile(millis, 0.99) }
}
