/** What a monitor knows at one moment, in the form in which `top --json` and the page of `ui` get it. */
import type { MonitorEvent } from "../cluster/Monitor.js"
import type { Dialect } from "../model/Dialect.js"
import type { Placement } from "../model/Topology.js"

/** A number, or null where it is not known. */
export type Known = number | null

/** One node. Times are milliseconds, sizes bytes. */
export interface NodeSnapshot {
  readonly node: string
  readonly status: "unknown" | "live" | "slow" | "dead"
  /** Epoch milliseconds. */
  readonly since: number
  readonly dialect: Dialect | null
  readonly leads: boolean
  /** Why it is dead. */
  readonly reason: string | null
  readonly detail: string | null
  readonly pings: number
  readonly lost: number
  readonly lastMillis: Known
  readonly medianMillis: Known
  readonly p99Millis: Known
  /** The last round trips, the oldest first. */
  readonly roundTrips: ReadonlyArray<Known>
  readonly entries: Known
  /** By the node's own rows, whose age is `rowAgeMillis`. */
  readonly requestsPerSecond: Known
  readonly hitRate: Known
  readonly heapBytes: Known
  readonly systemBytes: Known
  readonly rowAgeMillis: Known
  readonly rowPeriodMillis: Known
  /** From row to row, the oldest first. */
  readonly requests: ReadonlyArray<Known>
  readonly hits: ReadonlyArray<Known>
  readonly misses: ReadonlyArray<Known>
  readonly heap: ReadonlyArray<Known>
}

/** The whole cluster. */
export interface Snapshot {
  /** Epoch milliseconds. */
  readonly time: number
  readonly placement: Placement
  readonly live: number
  readonly entries: Known
  readonly requestsPerSecond: Known
  readonly medianMillis: Known
  readonly nodes: ReadonlyArray<NodeSnapshot>
  readonly totals: ReadonlyArray<{
    readonly at: number
    readonly live: number
    readonly millis: Known
    readonly entries: Known
    readonly requests: Known
  }>
  /** The oldest first. */
  readonly events: ReadonlyArray<MonitorEvent>
}
