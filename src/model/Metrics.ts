import * as Schema from "effect/Schema"

/** A count or a size in a metrics row; 0 where the server leaves it out. */
const Count = Schema.optionalWith(Schema.Number, { default: () => 0, nullable: true })

/**
 * System metrics of a node at the end of an interval: the Go runtime's `MemStats`, sizes in bytes. A field that the server
 * leaves out is 0, a missing `Timestamp` the empty string.
 *
 * @category models
 * @since 0.1.0
 */
export class SnitchMetrics extends Schema.Class<SnitchMetrics>("effect-ghostdb/SnitchMetrics")({
  /** When the row was recorded, as the server writes it: RFC 3339 from v2 servers. */
  Timestamp: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  /** Bytes of live heap objects. */
  Alloc: Count,
  /** Bytes allocated for heap objects since the start. */
  TotalAlloc: Count,
  /** Bytes obtained from the operating system. */
  Sys: Count,
  /** Pointer lookups by the runtime. */
  Lookups: Count,
  /** Heap objects allocated since the start. */
  Mallocs: Count,
  /** Heap objects freed since the start. */
  Frees: Count,
  /** `Mallocs` less `Frees`. */
  LiveObjects: Count,
  /** Bytes of live heap objects. */
  HeapAlloc: Count,
  /** Bytes of heap obtained from the operating system. */
  HeapSys: Count,
  /** Bytes in unused spans. */
  HeapIdle: Count,
  /** Bytes in used spans. */
  HeapInuse: Count,
  /** Bytes returned to the operating system. */
  HeapReleased: Count,
  /** Bytes in stack spans. */
  StackInuse: Count,
  /** Bytes of stack obtained from the operating system. */
  StackSys: Count,
  /** Bytes in the garbage collector's own tables. */
  GCSys: Count,
  /** The heap size in bytes at which the next collection starts. */
  NextGC: Count,
  /** When the last collection ended, in nanoseconds since 1970; 0 for never. */
  LastGC: Count,
  /** Nanoseconds in collection pauses since the start. */
  PauseTotalNs: Count,
  /** Collections since the start. */
  NumGC: Count,
  /** Goroutines now. */
  NumGoroutine: Count
}) {}

/**
 * Application metrics of a node at the end of an interval: what it was asked, and what came of it, since its start.
 *
 * @category models
 * @since 0.1.0
 */
export class WatchdogMetrics extends Schema.Class<WatchdogMetrics>("effect-ghostdb/WatchdogMetrics")({
  /** When the row was recorded, as the server writes it: RFC 3339 from v2 servers. */
  Timestamp: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  /** Requests of any kind. The v2 server leaves it at 0. */
  TotalRequests: Count,
  GetRequests: Count,
  PutRequests: Count,
  AddRequests: Count,
  DeleteRequests: Count,
  FlushRequests: Count,
  /** Gets that found nothing. */
  CacheMiss: Count,
  /** Puts and adds that stored. */
  Stored: Count,
  /** Adds refused because the key was there. */
  NotStored: Count,
  /** Deletes that removed. */
  Removed: Count,
  /** Deletes that found nothing. */
  NotFound: Count,
  /** Flushes that emptied the node. */
  Flushed: Count,
  /** Flushes that failed. */
  ErrFlush: Count
}) {}

/**
 * Metrics of the nodes that answered, in the order of the nodes file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metrics<Row> {
  readonly metrics: ReadonlyArray<{
    readonly node: string
    /** A row for each interval, the oldest first. */
    readonly data: ReadonlyArray<Row>
  }>
}
