/** A near cache: a bounded tier in this process, in front of `get`. */

import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Decorator from "../cache/Decorator.js"
import * as Intent from "../cache/Intent.js"
import * as ManyKeys from "../cache/ManyKeys.js"
import * as PerClient from "../cache/PerClient.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import * as StorableJson from "../cache/StorableJson.js"
import * as StoredEntry from "../cache/StoredEntry.js"
import { GhostDB } from "../GhostDB.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import { Ttl } from "../model/Ttl.js"
import * as ClientMetrics from "../telemetry/ClientMetrics.js"
import type { Invalidation, Invalidations } from "./Invalidations.js"
import * as NearEntries from "./NearEntries.js"
import * as NearMany from "./NearMany.js"
import { NearRequests } from "./NearRequests.js"

/**
 * How much a {@link NearCache} holds, and for how long.
 *
 * @category options
 * @since 0.1.0
 */
export interface NearCacheOptions {
  /** The most entries that are held; one more drops the least recently used. 1 or more. */
  readonly capacity: number
  /**
   * The most bytes that are held, by an estimate: 2 for each character, 8 for a number, 64 for each entry besides. A value
   * that is larger by itself is not held. Default: no bound but `capacity`.
   */
  readonly maxBytes?: number | undefined
  /**
   * How long a value is held and may be stale: other processes' writes are not seen before. A Duration is not rounded.
   * An entry is not held for longer than it lives, where that is known: it says so itself (`expiry: "exact"`), this
   * process has put it, or it is read through a store with a `ttl`.
   */
  readonly ttl: Ttl
  /** How long it is held that a key has no value. Default: not at all. */
  readonly absenceTtl?: Ttl | undefined
  /** Tells other processes of this one's writes, and this one of theirs. Default: they are seen when the `ttl` is over. */
  readonly invalidations?: Invalidations | undefined
}

/**
 * What a near cache has done.
 *
 * @category models
 * @since 0.1.0
 */
export interface NearCacheStats {
  /** Gets answered from this process. */
  readonly hits: number
  /** Gets that went to a node, or waited for one that did. */
  readonly misses: number
  /** Entries that are held now, expired ones included. */
  readonly size: number
}

/**
 * The near cache itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface NearCacheService {
  /** Since the layer was built. */
  readonly stats: Effect.Effect<NearCacheStats>
  /** The size of what is held now, by the estimate of `maxBytes`. */
  readonly bytes: Effect.Effect<number>
  /** Drops all values of this process; the nodes keep theirs. */
  readonly clear: Effect.Effect<void>
}

/**
 * A near cache. Its layer takes a `GhostDB` and gives one whose `get` answers from this process where it can:
 *
 * - A value is held after a `get` found it; gets of a key at the same time are one request. Values are frozen, since they
 *   are shared.
 * - This process's `put`, `add`, `delete` and `flush` drop what they change, and a `get` that was under way then does
 *   not bring it back. After a write that failed or was interrupted, which a node may carry out later, the key is not held
 *   for twice the client's `deadline`. What other processes write is seen when the `ttl` is over, or by `invalidations`.
 * - Locks, and the lookups of those who wait for one, go past it.
 * - Hits and misses are counted in `stats` and in `ghostdb.client.near_cache.hits` and `.misses`.
 *
 * @example
 * import { Layer } from "effect"
 * import { GhostDBLive, NearCache } from "effect-ghostdb"
 *
 * const layer = NearCache.layer({ capacity: 10_000, ttl: 2 }).pipe(Layer.provide(GhostDBLive("gdb.conf")))
 *
 * @category layers
 * @since 0.1.0
 */
export class NearCache extends Context.Tag("effect-ghostdb/NearCache")<NearCache, NearCacheService>() {
  /** Options that cannot be used are a defect. */
  static layer(options: NearCacheOptions): Layer.Layer<GhostDB | NearCache, never, GhostDB> {
    return Layer.scopedContext(
      Effect.gen(function* () {
        const { db, nearCache } = yield* make(yield* GhostDB, yield* Effect.clock, options)
        return Context.make(GhostDB, db).pipe(Context.add(NearCache, nearCache))
      })
    )
  }
}

/** The times of the options in milliseconds. Throws where one cannot be used. */
const resolve = ({ absenceTtl, capacity, maxBytes = Number.POSITIVE_INFINITY, ttl }: NearCacheOptions) => {
  if (!Number.isSafeInteger(capacity) || capacity < 1) {
    throw new Cause.IllegalArgumentException(`capacity must be a whole number, 1 or more, not ${capacity}`)
  }
  if (!(maxBytes > 0)) throw new Cause.IllegalArgumentException(`maxBytes must be more than 0, not ${maxBytes}`)
  return {
    capacity,
    maxBytes,
    lifetime: Ttl.toMillis(ttl),
    absenceLifetime: absenceTtl === undefined ? 0 : Ttl.toMillis(absenceTtl)
  }
}

const make = Effect.fnUntraced(function* (db: GhostDBService, clock: Clock.Clock, options: NearCacheOptions) {
  const settings = resolve(options)
  const { absenceLifetime, lifetime } = settings
  const parent = PerClient.of(db)
  const entries = NearEntries.make(settings, () => clock.unsafeCurrentTimeMillis())
  const { registry } = parent.shared
  let hits = 0
  let misses = 0

  const drop = (key: string) => {
    requests.write(key)
    entries.drop(key)
  }
  const dropAll = () => {
    requests.writeAll()
    entries.clear()
  }
  const hold = (key: string, value: Option.Option<Json>, holdFor: number) => {
    if (Option.isSome(value)) {
      StorableJson.freeze(value.value)
      const rest = StoredEntry.expiryOf(value.value) - clock.unsafeCurrentTimeMillis()
      entries.hold(key, value, Math.min(lifetime, holdFor, rest))
    } else entries.hold(key, value, ReservedKeys.isStamp(key) ? lifetime : absenceLifetime)
  }

  const requests = new NearRequests({
    fork: (work) => parent.fork(work),
    hold,
    isolatesCallers: parent.shared.isolatesCallers
  })
  const find = (key: string) => {
    const found = entries.find(key)
    if (found !== undefined) {
      hits++
      ClientMetrics.nearCacheHits.unsafeUpdate(1, registry)
    }
    return found
  }
  const missed = (count: number) => {
    misses += count
    ClientMetrics.nearCacheMisses.unsafeUpdate(count, registry)
    return misses
  }
  const get = (key: string) =>
    Effect.flatMap(Intent.current, (intent) => {
      const found = intent.fresh === true ? undefined : find(key)
      if (found !== undefined) return Effect.succeed(found)
      const asked = NearMany.asking(intent, missed(1), (_, onFound) =>
        Effect.map(Effect.exit(db.get(key)), (exit) => onFound(0, exit))
      )
      return Effect.flatMap(requests.get([key], asked), ([exit = NearMany.noResult]) => exit)
    })

  const invalidations = yield* connect(options.invalidations, parent, drop, dropAll)
  const written: NearMany.Tier["written"] = (key, result, ttl) => {
    drop(key)
    if (result === undefined) entries.distrust(key, 2 * parent.shared.deadline)
    // What was not stored leaves the entry that is there, and its time.
    else if (result !== "NOT_STORED") entries.willLive(key, millisOf(ttl))
  }
  /** What was held before goes after the write, and so do gets that may have been answered before. */
  const writing = <A extends NearMany.Written, E>(key: string, write: Effect.Effect<A, E>, ttl?: Ttl) =>
    Effect.onExit(write, (exit) => {
      written(key, Exit.isSuccess(exit) ? exit.value : undefined, ttl)
      return invalidations.keys([key])
    })
  const near = Decorator.make(db, parent.derive({ isNear: true }), {
    get: (key) => (NearMany.isNear(key) ? get(key) : db.get(key)),
    put: (key, value, ttl) => writing(key, db.put(key, value, ttl), ttl),
    add: (key, value, ttl) => writing(key, db.add(key, value, ttl), ttl),
    delete: (key) => writing(key, db.delete(key)),
    flush: Effect.onExit(db.flush, () => {
      dropAll()
      return invalidations.all
    })
  })
  ManyKeys.attach(
    near,
    NearMany.make(ManyKeys.of(db), {
      requests,
      find,
      missed,
      written,
      tell: invalidations.keys
    })
  )
  const nearCache: NearCacheService = {
    stats: Effect.sync(() => ({ hits, misses, size: entries.size })),
    bytes: Effect.sync(() => entries.bytes),
    clear: Effect.sync(dropAll)
  }
  return { db: near, nearCache }
})

/** A TTL that is none is the client's to refuse. */
const millisOf = (ttl: Ttl | undefined): number => {
  try {
    return Ttl.toMillis(ttl ?? Ttl.forever)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** Drops what others tell of, and tells them of this process's writes. */
const connect = (
  invalidations: Invalidations | undefined,
  state: PerClient.PerClient,
  drop: (key: string) => void,
  dropAll: () => void
): Effect.Effect<
  { readonly keys: (keys: ReadonlyArray<string>) => Effect.Effect<void>; readonly all: Effect.Effect<void> },
  never,
  Scope.Scope
> => {
  if (invalidations === undefined) return Effect.succeed({ keys: () => Effect.void, all: Effect.void })
  const from = crypto.randomUUID()
  const receive = (invalidation: Invalidation) => {
    if (invalidation.from === from) return
    switch (invalidation._tag) {
      case "Keys":
        return invalidation.keys.forEach(drop)
      case "Tags":
        return invalidation.tags.map(ReservedKeys.tag).forEach(drop)
      case "All":
        return dropAll()
    }
  }
  const publish = (invalidation: Invalidation) =>
    Effect.asVoid(state.fork(Effect.ignoreLogged(Effect.sandbox(invalidations.publish({ ...invalidation, from })))))
  return Effect.as(
    Effect.forkScoped(
      Stream.runForEach(invalidations.stream, (invalidation) => Effect.sync(() => receive(invalidation)))
    ),
    {
      keys: (written: ReadonlyArray<string>) => {
        const told = written.filter((key) => !ReservedKeys.isVolatile(key))
        const tags = told.flatMap((key) => ReservedKeys.tagOf(key) ?? [])
        const keys = told.filter((key) => ReservedKeys.tagOf(key) === undefined)
        return Effect.zipRight(
          keys.length === 0 ? Effect.void : publish({ _tag: "Keys", keys }),
          tags.length === 0 ? Effect.void : publish({ _tag: "Tags", tags })
        )
      },
      all: publish({ _tag: "All" })
    }
  )
}
