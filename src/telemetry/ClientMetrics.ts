/**
 * The metrics that the client keeps of itself, as Effect `Metric`s. Their names follow OpenTelemetry's conventions. Those
 * with labels are functions of their labels.
 */
import type * as Metric from "effect/Metric"
import * as Instrument from "./Instrument.js"
import * as Telemetry from "./Telemetry.js"

const counter = (name: string, description: string): Metric.Metric.Counter<number> =>
  Instrument.counter(`ghostdb.client.${name}`, description)

/**
 * `db.client.operation.duration`: seconds that commands took, retries included. With an error type, the tag of the
 * error, those that failed with it. A batch of many keys is one operation, `BATCH get`, whose keys are counted in
 * {@link operations}.
 *
 * @category metrics
 * @since 0.1.0
 */
export const operationDuration: (
  operation: Telemetry.Operation | `BATCH ${Telemetry.Operation}`,
  errorType?: string
) => Metric.Metric.Histogram<number> = Telemetry.operationDuration

/**
 * `ghostdb.client.operations`: commands, by outcome: `hit`, `miss`, `stored`, `not_stored`, …
 *
 * @category metrics
 * @since 0.1.0
 */
export const operations: (operation: Telemetry.Operation, outcome: string) => Metric.Metric.Counter<number> =
  Telemetry.operations

/**
 * `ghostdb.client.operations` with the outcome `error`: commands that failed, by the tag of their error.
 *
 * @category metrics
 * @since 0.1.0
 */
export const failedOperations: (operation: Telemetry.Operation, errorType: string) => Metric.Metric.Counter<number> =
  Telemetry.failedOperations

/**
 * `ghostdb.client.attempts`: requests sent to a node, retries included.
 *
 * @category metrics
 * @since 0.1.0
 */
export const attempts: (node: string) => Metric.Metric.Counter<number> = Telemetry.attempts

/**
 * `ghostdb.client.attempt.failures`: attempts on a node that failed, by reason.
 *
 * @category metrics
 * @since 0.1.0
 */
export const attemptFailures: (node: string, reason: string) => Metric.Metric.Counter<number> =
  Telemetry.attemptFailures

/**
 * `ghostdb.client.failovers`: commands that went on to another node.
 *
 * @category metrics
 * @since 0.1.0
 */
export const failovers: Metric.Metric.Counter<number> = Telemetry.failovers

/**
 * `ghostdb.client.nodes`: the nodes of all clients of this process that are in a state now.
 *
 * @category metrics
 * @since 0.1.0
 */
export const nodes: (state: "live" | "dead") => Metric.Metric.Counter<number> = Telemetry.nodes

/**
 * `ghostdb.client.network.io`: bytes of requests and replies.
 *
 * @category metrics
 * @since 0.1.0
 */
export const networkIo: (direction: "transmit" | "receive") => Metric.Metric.Counter<number> = Telemetry.networkIo

/**
 * `ghostdb.client.cache_aside.hits`: lookups that found a value. Callers that share a lookup count once, here and
 * below.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheAsideHits = counter("cache_aside.hits", "Cache-aside lookups that found a value")

/**
 * `ghostdb.client.cache_aside.stale_hits`: lookups answered with a stale value while it is refreshed.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheAsideStaleHits = counter("cache_aside.stale_hits", "Cache-aside lookups that found a stale value")

/**
 * `ghostdb.client.cache_aside.negative_hits`: lookups that found a cached failure.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheAsideNegativeHits = counter("cache_aside.negative_hits", "Cache-aside lookups that found a failure")

/**
 * `ghostdb.client.cache_aside.misses`: lookups that found nothing to use, so that the effect ran or was waited for.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheAsideMisses = counter("cache_aside.misses", "Cache-aside lookups that found nothing")

/**
 * `ghostdb.client.cache_aside.shared`: callers that waited for another's lookup, and for the run that it led to: so many
 * requests, or runs of the effect, a stampede has not made.
 *
 * @category metrics
 * @since 0.1.0
 */
export const cacheAsideShared = counter("cache_aside.shared", "Cache-aside callers that shared another's lookup")

/**
 * `ghostdb.client.outages`: times that the cache was passed by because no node served a command.
 *
 * @category metrics
 * @since 0.1.0
 */
export const outages = counter("outages", "Times that the cache was passed by in an outage")

/**
 * `ghostdb.client.near_cache.hits`: gets answered from this process.
 *
 * @category metrics
 * @since 0.1.0
 */
export const nearCacheHits = counter("near_cache.hits", "Gets answered by the near cache")

/**
 * `ghostdb.client.near_cache.misses`: gets that went to a node.
 *
 * @category metrics
 * @since 0.1.0
 */
export const nearCacheMisses = counter("near_cache.misses", "Gets that the near cache passed on to a node")
