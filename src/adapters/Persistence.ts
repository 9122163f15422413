/** The `Persistence` of `@effect/experimental` on a GhostDB cluster, for `PersistedCache` and persisted resolvers. */

import * as Persistence from "@effect/experimental/Persistence"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Namespace from "../cache/Namespace.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import { GhostDB } from "../GhostDB.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { StoreResult } from "../model/GhostDBService.js"

/**
 * What a persistence on GhostDB is made of.
 *
 * @category options
 * @since 0.1.0
 */
export interface PersistenceOptions {
  /** Tells apart stores of one `storeId`. Default: nothing. */
  readonly prefix?: string | undefined
}

/**
 * A persistence whose stores stand in the cluster, shared by all processes that use their `storeId`. It is a cache:
 * nodes drop values when they are full or restart.
 *
 * - TTLs are exact, by the `Clock`.
 * - `clear` ends all values of one store, for all processes, and nothing else.
 * - What the cluster does not store or cannot serve is a `PersistenceBackingError`. With a client that fails open, an
 *   outage is a miss instead, and what was to be set is not. A `getMany` or `setMany` fails as a
 *   whole; what a failed `setMany` has stored until then stays.
 *
 * A value is stored as `{ "generation", "value", "expiresAt" }`, under keys that no other store has. It counts while its
 * generation is that of the store's stamp, which `clear` renews; so every command asks the node of that stamp as well, and
 * a `set` during a `clear` is lost with it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({
  prefix = ""
}: PersistenceOptions = {}): Effect.Effect<Persistence.BackingPersistence, never, GhostDB> =>
  Effect.map(GhostDB, (db) =>
    Persistence.BackingPersistence.of({
      [Persistence.BackingPersistenceTypeId]: Persistence.BackingPersistenceTypeId,
      make: (storeId) =>
        Effect.sync(() => {
          const namespace = Namespace.make(db, ReservedKeys.space("Persistence", prefix, storeId))
          return {
            get: (key) => Effect.mapError(namespace.get(key), backingError("get")),
            getMany: (keys) => Effect.mapError(namespace.getMany(keys), backingError("getMany")),
            set: (key, value, ttl) => stored("set", namespace.set(key, value, millis(ttl))),
            setMany: (entries) =>
              stored("setMany", namespace.setMany(entries.map(([key, value, ttl]) => [key, value, millis(ttl)]))),
            remove: (key) => Effect.mapError(namespace.remove(key), backingError("remove")),
            clear: Effect.mapError(namespace.clear, backingError("clear"))
          }
        })
    })
  )

/**
 * {@link make} as a layer.
 *
 * @example
 * import { Persistence } from "@effect/experimental"
 * import { Layer } from "effect"
 * import { GhostDBLive } from "effect-ghostdb"
 * import * as GhostDBPersistence from "effect-ghostdb/Persistence"
 *
 * const layer: Layer.Layer<Persistence.BackingPersistence, unknown> = GhostDBPersistence.layer().pipe(
 *   Layer.provide(GhostDBLive("gdb.conf"))
 * )
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: PersistenceOptions): Layer.Layer<Persistence.BackingPersistence, never, GhostDB> =>
  Layer.effect(Persistence.BackingPersistence, make(options))

/**
 * What `PersistedCache` and `RequestResolver.persisted` need, on {@link layer}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerResult = (options?: PersistenceOptions): Layer.Layer<Persistence.ResultPersistence, never, GhostDB> =>
  Layer.provide(Persistence.layerResult, layer(options))

const millis = Option.match({ onNone: () => Number.POSITIVE_INFINITY, onSome: Duration.toMillis })

const backingError = (method: string) => (cause: unknown) => Persistence.PersistenceBackingError.make(method, cause)

const stored = (method: string, result: Effect.Effect<StoreResult | "OUTAGE", NoMoreServers | KeyError>) =>
  result.pipe(
    // A value that is not JSON: here it is no defect, since the type does not refuse it.
    Effect.catchSomeDefect((defect) =>
      Cause.isIllegalArgumentException(defect) ? Option.some(Effect.fail(defect)) : Option.none()
    ),
    Effect.filterOrFail(
      (result) => result !== "NOT_STORED",
      () =>
        new Cause.IllegalArgumentException(
          "the cluster did not store the value, which may be larger than maxRequestBytes"
        )
    ),
    Effect.mapError(backingError(method)),
    Effect.asVoid
  )
