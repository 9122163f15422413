/** A near cache: a bounded tier in this process, in front of `get`. */

import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Decorator from "../cache/Decorator.js"
import * as PerClient from "../cache/PerClient.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import { GhostDB } from "../GhostDB.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"

/** How much a {@link NearCache} holds, and for how long. */
export interface NearCacheOptions {
  /** The most values that are held; one more drops the least recently used. 1 or more. */
  readonly capacity: number
  /**
   * How long a value is held and may be stale: other processes' writes are not seen before. A Duration is not rounded.
   */
  readonly ttl: Ttl
}

/** What a near cache has done. */
export interface NearCacheStats {
  /** Gets answered from this process. */
  readonly hits: number
  /** Gets that went to a node. */
  readonly misses: number
  /** Values that are held now, expired ones included. */
  readonly size: number
}

/** The near cache itself. */
export interface NearCacheService {
  /** Since the layer was built. */
  readonly stats: Effect.Effect<NearCacheStats>
  /** Drops all values of this process; the nodes keep theirs. */
  readonly clear: Effect.Effect<void>
}

/**
 * A near cache. Its layer takes a `GhostDB` and gives one whose `get` answers from this process where it can:
 *
 * - A value is held after a `get` found it; that a key has no value is not. Values are frozen, since they are shared.
 * - This process's `put`, `add`, `delete` and `flush` drop what they change, and a `get` that was under way then does
 *   not bring it back. What other processes write is seen when the `ttl` is over.
 * - Hits and misses are counted in `stats` and in `ghostdb.client.near_cache.hits` and `.misses`.
 *
 * @example
 * import { Layer } from "effect"
 * import { GhostDBLive, NearCache } from "effect-ghostdb"
 *
 * const layer = NearCache.layer({ capacity: 10_000, ttl: 2 }).pipe(Layer.provide(GhostDBLive("gdb.conf")))
 */
export class NearCache extends Context.Tag("effect-ghostdb/NearCache")<NearCache, NearCacheService>() {
  /** Options that cannot be used are a defect. */
  static layer(options: NearCacheOptions): Layer.Layer<GhostDB | NearCache, never, GhostDB> {
    return Layer.effectContext(
      Effect.gen(function* () {
        const { db, nearCache } = make(yield* GhostDB, yield* Effect.clock, options)
        return Context.make(GhostDB, db).pipe(Context.add(NearCache, nearCache))
      })
    )
  }
}

interface Held {
  readonly value: Option.Some<Json>
  readonly expiresAt: number
}

/** Gets of one key that are under way. Its values may be held as long as nothing has been written since. */
interface Pending {
  gets: number
  isCurrent: boolean
}

const make = (db: GhostDBService, clock: Clock.Clock, { capacity, ttl }: NearCacheOptions) => {
  if (!Number.isSafeInteger(capacity) || capacity < 1) {
    throw new Cause.IllegalArgumentException(`capacity must be a whole number, 1 or more, not ${capacity}`)
  }
  const lifetime = Ttl.toMillis(ttl)
  // A Map keeps the order of insertion: the first value is the least recently used.
  const held = new Map<string, Held>()
  const pending = new Map<string, Pending>()
  let hits = 0
  let misses = 0

  const lookup = (key: string): Held | undefined => {
    const found = held.get(key)
    if (found === undefined) return undefined
    held.delete(key)
    if (found.expiresAt <= clock.unsafeCurrentTimeMillis()) return undefined
    held.set(key, found)
    return found
  }
  const hold = (key: string, value: Option.Some<Json>) => {
    freeze(value.value)
    held.delete(key)
    held.set(key, { value, expiresAt: clock.unsafeCurrentTimeMillis() + lifetime })
    if (held.size <= capacity) return
    for (const oldest of held.keys()) return held.delete(oldest)
  }
  const drop = (key: string) => {
    held.delete(key)
    const gets = pending.get(key)
    if (gets === undefined) return
    gets.isCurrent = false
    pending.delete(key)
  }
  const dropAll = () => {
    held.clear()
    for (const gets of pending.values()) gets.isCurrent = false
    pending.clear()
  }

  const fetch = (key: string) =>
    Effect.suspend(() => {
      const gets = pending.get(key) ?? { gets: 0, isCurrent: true }
      pending.set(key, gets)
      gets.gets++
      return db.get(key).pipe(
        Effect.tap((value) => {
          if (gets.isCurrent && Option.isSome(value)) hold(key, value)
        }),
        Effect.ensuring(
          Effect.sync(() => {
            gets.gets--
            if (gets.gets === 0 && gets.isCurrent) pending.delete(key)
          })
        )
      )
    })
  // After the write, for what was held before, and for gets that may have been answered before.
  const writing = <A, E>(write: Effect.Effect<A, E>, change: () => void): Effect.Effect<A, E> =>
    Effect.ensuring(write, Effect.sync(change))

  const near = Decorator.make(db, PerClient.of(db).derive(), {
    get: (key) => {
      // A key of untyped code is left to the client to refuse.
      if (typeof key !== "string" || ReservedKeys.isReserved(key)) return db.get(key)
      return Effect.suspend(() => {
        const found = lookup(key)
        if (found !== undefined) {
          hits++
          return Effect.as(Metric.increment(ClientMetrics.nearCacheHits), found.value)
        }
        misses++
        return Effect.zipRight(Metric.increment(ClientMetrics.nearCacheMisses), fetch(key))
      })
    },
    put: (key, value, ttl) => writing(db.put(key, value, ttl), () => drop(key)),
    add: (key, value, ttl) => writing(db.add(key, value, ttl), () => drop(key)),
    delete: (key) => writing(db.delete(key), () => drop(key)),
    flush: writing(db.flush, dropAll)
  })
  const nearCache: NearCacheService = {
    stats: Effect.sync(() => ({ hits, misses, size: held.size })),
    clear: Effect.sync(dropAll)
  }
  return { db: near, nearCache }
}

/** All the way down, without recursion: what is nested may be nested deeply. */
const freeze = (json: Json): void => {
  const rest: Array<Json> = [json]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (typeof next !== "object" || next === null || Object.isFrozen(next)) continue
    Object.freeze(next)
    for (const member of Object.values(next)) rest.push(member)
  }
}
