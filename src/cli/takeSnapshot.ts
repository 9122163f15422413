/** Takes a {@link Snapshot} of what a monitor knows. Pure. */
import * as Option from "effect/Option"
import * as Monitor from "../cluster/Monitor.js"
import type { Known, NodeSnapshot, Snapshot } from "./Snapshot.js"
import { faultText } from "./terminal/faults.js"

const known = (value: number | undefined): Known =>
  value === undefined || Number.isNaN(value) ? null : Math.round(value * 1000) / 1000

/** A node is slow when its median round trip is so many times the cluster's, and not just a matter of microseconds. */
const slowFactor = 3
const leastSlow = 5

const isSlow = (median: number, cluster: number): boolean => median > Math.max(cluster * slowFactor, leastSlow)

const rowsKept = 60

const nodeSnapshot = (view: Monitor.NodeView, clusterMedian: number, now: number): NodeSnapshot => {
  const { median, p99 } = Monitor.roundTripSummary(view)
  const { snitch, watchdog } = view
  const rows = snitch.length > 0 ? snitch : watchdog
  const fault = Option.getOrUndefined(view.failure)
  return {
    node: view.node,
    status: view.status === "live" && isSlow(median, clusterMedian) ? "slow" : view.status,
    since: view.since,
    dialect: Option.getOrNull(view.dialect),
    leads: view.leads,
    reason: fault?.reason ?? null,
    detail: fault === undefined ? null : faultText(fault),
    pings: view.pings,
    lost: view.lost,
    lastMillis: known(view.roundTrips.at(-1)?.millis),
    medianMillis: known(median),
    p99Millis: known(p99),
    roundTrips: view.roundTrips.map(({ millis }) => known(millis)),
    entries: Option.getOrNull(view.entries),
    requestsPerSecond: known(Monitor.Rates.rates(watchdog, Monitor.Rates.requests).at(-1)),
    hitRate: known(Monitor.Rates.hitRate(watchdog)),
    heapBytes: known(snitch.at(-1)?.HeapAlloc),
    systemBytes: known(snitch.at(-1)?.Sys),
    rowAgeMillis: known(Math.max(Monitor.Rates.age(rows, now), 0)),
    rowPeriodMillis: known(Monitor.Rates.period(rows)),
    requests: Monitor.Rates.rates(watchdog, Monitor.Rates.requests).slice(-rowsKept).map(known),
    hits: Monitor.Rates.rates(watchdog, (row) => row.GetRequests - row.CacheMiss)
      .slice(-rowsKept)
      .map(known),
    misses: Monitor.Rates.rates(watchdog, (row) => row.CacheMiss)
      .slice(-rowsKept)
      .map(known),
    heap: snitch.slice(-rowsKept).map(({ HeapAlloc }) => HeapAlloc)
  }
}

/** The state at a time in epoch milliseconds. */
export const takeSnapshot = (state: Monitor.MonitorState, now: number): Snapshot => {
  const totals = Monitor.totals(state, now)
  const views = [...state.nodes.values()]
  const clusterMedian = Monitor.quantile(
    views.map((view) => Monitor.roundTripSummary(view).median),
    0.5
  )
  return {
    time: now,
    placement: Monitor.placement(state),
    live: totals.live,
    entries: known(totals.entries),
    requestsPerSecond: known(totals.requests),
    medianMillis: known(totals.millis),
    nodes: views.map((view) => nodeSnapshot(view, clusterMedian, now)),
    totals: state.totals.map(({ at, entries, live, millis, requests }) => ({
      at,
      live,
      millis: known(millis),
      entries: known(entries),
      requests: known(requests)
    })),
    events: state.events
  }
}

/** Whether each node has answered once, or has been found dead, and has given its rows. */
export const isComplete = (state: Monitor.MonitorState): boolean =>
  [...state.nodes.values()].every(({ rowsDue, status }) => status === "dead" || (status === "live" && rowsDue > 0))
