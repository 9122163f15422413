import type { NodeCommand } from "./ServerDialect.js"

/** How often a node was asked what, since it was made or last reset. */
export type CommandCounts = { readonly [Command in NodeCommand | "unknown"]: number }

export const freshCounts = (): { -readonly [Command in keyof CommandCounts]: number } => ({
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

export const freshOutcomes = () => ({ miss: 0, stored: 0, notStored: 0, removed: 0, notFound: 0, flushed: 0 })

export const timestamp = (nowMillis: number): string => `${new Date(nowMillis).toISOString().slice(0, 19)}Z`

/** What a JavaScript runtime can tell of Go's numbers; the others are 0. */
export const systemRow = () => {
  const memory = globalThis.process?.memoryUsage?.()
  const used = memory?.heapUsed ?? 0
  const total = memory?.heapTotal ?? 0
  return (nowMillis: number): string =>
    JSON.stringify({
      Timestamp: timestamp(nowMillis),
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

/** Go writes a list that nothing was ever added to as `null`. */
export const rowsText = (rows: ReadonlyArray<string>): string => (rows.length === 0 ? "null" : `[${rows.join(",")}]`)
