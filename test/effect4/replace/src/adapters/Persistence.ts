/**
 * The `Persistence` of `effect/persistence` on a GhostDB cluster, for `PersistedCache` and persisted resolvers.
 * Replaced, since that of Effect 4 keeps objects alone, and says undefined where it said None.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Persistence from "effect/persistence/Persistence"
import * as Namespace from "../cache/Namespace.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import { GhostDB } from "../GhostDB.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { StoreResult } from "../model/GhostDBService.js"

/** What a persistence on GhostDB is made of. */
export interface PersistenceOptions {
  /** Tells apart stores of one `storeId`. Default: nothing. */
  readonly prefix?: string | undefined
}

/**
 * A persistence whose stores stand in the cluster, shared by all processes that use their `storeId`, in the format of the
 * edition for Effect 3. TTLs are exact, by the `Clock`; `clear` ends all values of one store, for all processes.
 * - What the cluster does not store or cannot serve is a `PersistenceError`. With a client that fails open, an outage is
 *   a miss instead, and what was to be set is not. A `getMany` or `setMany` fails as a whole; what a failed `setMany` has
 *   stored until then stays.
 */
export const make = ({
  prefix = ""
}: PersistenceOptions = {}): Effect.Effect<Persistence.BackingPersistence["Service"], never, GhostDB> =>
  Effect.map(GhostDB, (db) =>
    Persistence.BackingPersistence.of({
      make: (storeId) =>
        Effect.sync((): Persistence.BackingPersistenceStore => {
          const namespace = Namespace.make(db, ReservedKeys.space("Persistence", prefix, storeId))
          return {
            get: (key) => Effect.mapBoth(namespace.get(key), { onFailure: failed("get"), onSuccess: objectOf }),
            getMany: (keys) =>
              Effect.mapBoth(namespace.getMany(keys), {
                onFailure: failed("getMany"),
                // As many as there are keys.
                onSuccess: (found) => found.map(objectOf) as Arr.NonEmptyArray<object | undefined>
              }),
            set: (key, value, ttl) => stored("set", namespace.set(key, value, millis(ttl))),
            setMany: (entries) =>
              stored(
                "setMany",
                namespace.setMany(Arr.map(entries, ([key, value, ttl]) => [key, value, millis(ttl)] as const))
              ),
            remove: (key) => Effect.mapError(namespace.remove(key), failed("remove")),
            clear: Effect.mapError(namespace.clear, failed("clear"))
          }
        })
    })
  )

/** {@link make} as a layer. */
export const layer = (options?: PersistenceOptions): Layer.Layer<Persistence.BackingPersistence, never, GhostDB> =>
  Layer.effect(Persistence.BackingPersistence, make(options))

/** What `PersistedCache` and `RequestResolver.persisted` need, on {@link layer}. */
export const layerResult = (options?: PersistenceOptions): Layer.Layer<Persistence.Persistence, never, GhostDB> =>
  Layer.provide(Persistence.layer, layer(options))

const millis = (ttl: Duration.Duration | undefined) =>
  ttl === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(ttl)

const objectOf = (found: Option.Option<unknown>): object | undefined =>
  Option.isSome(found) && typeof found.value === "object" && found.value !== null ? found.value : undefined

const failed = (method: string) => (cause: unknown) =>
  new Persistence.PersistenceError({ message: `GhostDB: ${method} failed`, cause })

const stored = (method: string, result: Effect.Effect<StoreResult | "OUTAGE", NoMoreServers | KeyError>) =>
  result.pipe(
    // A value that is not JSON: here it is no defect, since the type does not refuse it.
    Effect.catchDefect((defect) => (Cause.isIllegalArgumentError(defect) ? Effect.fail(defect) : Effect.die(defect))),
    Effect.filterOrFail(
      (result) => result !== "NOT_STORED",
      () =>
        new Cause.IllegalArgumentError("the cluster did not store the value, which may be larger than maxRequestBytes")
    ),
    Effect.mapError(failed(method)),
    Effect.asVoid
  )
