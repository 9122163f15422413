/** The last rows of the nodes in Prometheus' text format. Pure. */
import { requests } from "../../cluster/Rates.js"
import type { SnitchMetrics, WatchdogMetrics } from "../../model/Metrics.js"

/** What one node says; undefined where it did not answer. */
export interface NodeMetrics {
  readonly node: string
  readonly rows:
    | {
        readonly snitch: ReadonlyArray<SnitchMetrics>
        readonly watchdog: ReadonlyArray<WatchdogMetrics>
        readonly entries: number | undefined
      }
    | undefined
}

interface Metric {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  /** Undefined where the node does not say. */
  readonly value: (metrics: NodeMetrics) => number | undefined
}

const watchdog =
  (value: (row: WatchdogMetrics) => number): Metric["value"] =>
  ({ rows }) => {
    const row = rows?.watchdog.at(-1)
    return row === undefined ? undefined : value(row)
  }

const snitch =
  (value: (row: SnitchMetrics) => number): Metric["value"] =>
  ({ rows }) => {
    const row = rows?.snitch.at(-1)
    return row === undefined ? undefined : value(row)
  }

const counter = (name: string, help: string, value: Metric["value"]): Metric => ({ name, type: "counter", help, value })
const gauge = (name: string, help: string, value: Metric["value"]): Metric => ({ name, type: "gauge", help, value })

const metrics: ReadonlyArray<Metric> = [
  gauge("ghostdb_up", "Whether the node answers.", ({ rows }) => (rows === undefined ? 0 : 1)),
  gauge("ghostdb_entries", "Entries that the node holds.", ({ rows }) => rows?.entries),
  gauge("ghostdb_row_timestamp_seconds", "When the node recorded the row that these values are of.", ({ rows }) => {
    const millis = Date.parse((rows?.snitch.at(-1) ?? rows?.watchdog.at(-1))?.Timestamp ?? "")
    return Number.isNaN(millis) ? undefined : millis / 1000
  }),
  counter("ghostdb_requests_total", "Requests of any kind.", watchdog(requests)),
  counter(
    "ghostdb_get_requests_total",
    "Gets.",
    watchdog((row) => row.GetRequests)
  ),
  counter(
    "ghostdb_put_requests_total",
    "Puts.",
    watchdog((row) => row.PutRequests)
  ),
  counter(
    "ghostdb_add_requests_total",
    "Adds.",
    watchdog((row) => row.AddRequests)
  ),
  counter(
    "ghostdb_delete_requests_total",
    "Deletes.",
    watchdog((row) => row.DeleteRequests)
  ),
  counter(
    "ghostdb_flush_requests_total",
    "Flushes.",
    watchdog((row) => row.FlushRequests)
  ),
  counter(
    "ghostdb_cache_misses_total",
    "Gets that found nothing.",
    watchdog((row) => row.CacheMiss)
  ),
  counter(
    "ghostdb_stored_total",
    "Puts and adds that stored.",
    watchdog((row) => row.Stored)
  ),
  counter(
    "ghostdb_not_stored_total",
    "Adds refused because the key was there.",
    watchdog((row) => row.NotStored)
  ),
  counter(
    "ghostdb_removed_total",
    "Deletes that removed.",
    watchdog((row) => row.Removed)
  ),
  counter(
    "ghostdb_not_found_total",
    "Deletes that found nothing.",
    watchdog((row) => row.NotFound)
  ),
  counter(
    "ghostdb_flushed_total",
    "Flushes that emptied the node.",
    watchdog((row) => row.Flushed)
  ),
  counter(
    "ghostdb_flush_errors_total",
    "Flushes that failed.",
    watchdog((row) => row.ErrFlush)
  ),
  gauge(
    "ghostdb_sys_bytes",
    "Memory obtained from the operating system.",
    snitch((row) => row.Sys)
  ),
  gauge(
    "ghostdb_heap_alloc_bytes",
    "Live heap objects.",
    snitch((row) => row.HeapAlloc)
  ),
  gauge(
    "ghostdb_heap_sys_bytes",
    "Heap obtained from the operating system.",
    snitch((row) => row.HeapSys)
  ),
  gauge(
    "ghostdb_heap_idle_bytes",
    "Heap in unused spans.",
    snitch((row) => row.HeapIdle)
  ),
  gauge(
    "ghostdb_heap_inuse_bytes",
    "Heap in used spans.",
    snitch((row) => row.HeapInuse)
  ),
  gauge(
    "ghostdb_heap_released_bytes",
    "Heap returned to the operating system.",
    snitch((row) => row.HeapReleased)
  ),
  gauge(
    "ghostdb_stack_inuse_bytes",
    "Stack spans.",
    snitch((row) => row.StackInuse)
  ),
  gauge(
    "ghostdb_next_gc_bytes",
    "Heap size at which the next collection starts.",
    snitch((row) => row.NextGC)
  ),
  gauge(
    "ghostdb_last_gc_timestamp_seconds",
    "When the last collection ended.",
    snitch((row) => row.LastGC / 1e9)
  ),
  gauge(
    "ghostdb_goroutines",
    "Goroutines.",
    snitch((row) => row.NumGoroutine)
  ),
  gauge(
    "ghostdb_heap_objects",
    "Heap objects.",
    snitch((row) => row.LiveObjects)
  ),
  counter(
    "ghostdb_alloc_bytes_total",
    "Heap allocated since the start.",
    snitch((row) => row.TotalAlloc)
  ),
  counter(
    "ghostdb_mallocs_total",
    "Heap objects allocated since the start.",
    snitch((row) => row.Mallocs)
  ),
  counter(
    "ghostdb_frees_total",
    "Heap objects freed since the start.",
    snitch((row) => row.Frees)
  ),
  counter(
    "ghostdb_gc_total",
    "Collections since the start.",
    snitch((row) => row.NumGC)
  ),
  counter(
    "ghostdb_gc_pause_seconds_total",
    "Collection pauses since the start.",
    snitch((row) => row.PauseTotalNs / 1e9)
  )
]

const escapeLabel = (text: string): string => text.replace(/[\\"\n]/g, (one) => (one === "\n" ? "\\n" : `\\${one}`))

/** The text format, version 0.0.4, without the last line feed. Metrics that no node has are left out. */
export const exposition = (nodes: ReadonlyArray<NodeMetrics>): string =>
  metrics
    .flatMap(({ help, name, type, value }) => {
      const samples = nodes.flatMap((one) => {
        const number = value(one)
        return number === undefined ? [] : [`${name}{node="${escapeLabel(one.node)}"} ${number}`]
      })
      return samples.length === 0 ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples]
    })
    .join("\n")
