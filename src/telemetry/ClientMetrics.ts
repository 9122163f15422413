/** The metrics that the client keeps of itself, as Effect `Metric`s. Their names follow OpenTelemetry's conventions. */
import type * as Metric from "effect/Metric"
import * as Telemetry from "./Telemetry.js"

const counter = (name: string, description: string): Metric.Metric.Counter<number> =>
  Telemetry.counter(`ghostdb.client.${name}`, description)

/**
 * `ghostdb.client.cache_aside.hits`: lookups that found a value. Callers that share a lookup count once, here and
 * below.
 */
export const cacheAsideHits = counter("cache_aside.hits", "Cache-aside lookups that found a value")

/** `ghostdb.client.cache_aside.stale_hits`: lookups answered with a stale value while it is refreshed. */
export const cacheAsideStaleHits = counter("cache_aside.stale_hits", "Cache-aside lookups that found a stale value")

/** `ghostdb.client.cache_aside.negative_hits`: lookups that found a cached failure. */
export const cacheAsideNegativeHits = counter("cache_aside.negative_hits", "Cache-aside lookups that found a failure")

/** `ghostdb.client.cache_aside.misses`: lookups that found nothing to use, so that the effect ran or was waited for. */
export const cacheAsideMisses = counter("cache_aside.misses", "Cache-aside lookups that found nothing")

/**
 * `ghostdb.client.cache_aside.shared`: callers that waited for another's lookup, and for the run that it led to: so many
 * requests, or runs of the effect, a stampede has not made.
 */
export const cacheAsideShared = counter("cache_aside.shared", "Cache-aside callers that shared another's lookup")

/** `ghostdb.client.outages`: times that the cache was passed by because no node served a command. */
export const outages = counter("outages", "Times that the cache was passed by in an outage")

/** `ghostdb.client.near_cache.hits`: gets answered from this process. */
export const nearCacheHits = counter("near_cache.hits", "Gets answered by the near cache")

/** `ghostdb.client.near_cache.misses`: gets that went to a node. */
export const nearCacheMisses = counter("near_cache.misses", "Gets that the near cache passed on to a node")
