/**
 * The `KeyValueStore` of `effect/persistence` on a GhostDB cluster.
 * Replaced, since that of Effect 4 says undefined where it said None, has one error of its own, and more members.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Namespace from "../cache/Namespace.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import { GhostDB } from "../GhostDB.js"
import { Ttl } from "../model/Ttl.js"

/** What a `KeyValueStore` on GhostDB is made of. */
export interface KeyValueStoreOptions {
  /** The name of the store. Stores of one name are one, whatever processes they are in. */
  readonly prefix: string
  /** How long a value is kept, to the millisecond by the `Clock`. Default -1: as long as a cache keeps anything. */
  readonly ttl?: Ttl | undefined
}

/**
 * A store under a prefix of the cluster, in the format of the edition for Effect 3. It is a cache: nodes drop values when they
 * are full or restart.
 * - `get` of bytes is their base64, `getUint8Array` of a string its UTF-8.
 * - `clear` ends all values of this prefix, for all processes.
 * - `size`, `isEmpty`, `keys`, and `clearPrefix` of a prefix that is not empty, fail: GhostDB does not list keys.
 * - `modify` is a `get` and a `set`, and not atomic.
 * - What fails is a `KeyValueStoreError` with its `method`, `key` and `cause`: a `NoMoreServers`, a `KeyError`, or none
 *   where the cluster does not store a value, since it is over `maxRequestBytes`. With a client that fails open, an
 *   outage is a miss, and what was to be set is not.
 */
export const make = ({
  prefix,
  ttl = -1
}: KeyValueStoreOptions): Effect.Effect<KeyValueStore.KeyValueStore, never, GhostDB> =>
  Effect.map(GhostDB, (db) => {
    const namespace = Namespace.make(db, ReservedKeys.space("KeyValueStore", prefix))
    const lifetime = Ttl.toMillis(ttl)

    const get = <A>(method: string, key: string, read: (value: typeof Stored.Type) => A | undefined) =>
      Effect.flatMap(Effect.mapError(namespace.get(key), failedWith(method, key)), (found) => {
        if (Option.isNone(found)) return Effect.undefined
        const value = Option.getOrUndefined(Option.map(decode(found.value), read))
        return value === undefined
          ? Effect.fail(failure(method, "the stored value is neither a string nor base64", key))
          : Effect.succeed(value)
      })
    const unlisted = (method: string) => Effect.fail(failure(method, "GhostDB does not list the keys of a prefix"))
    const clear = Effect.mapError(namespace.clear, failedWith("clear"))

    return KeyValueStore.make({
      get: (key) => get("get", key, (value) => (typeof value === "string" ? value : value.base64)),
      getUint8Array: (key) =>
        get("getUint8Array", key, (value) =>
          typeof value === "string"
            ? encoder.encode(value)
            : Result.getOrElse(Base64.decode(value.base64), () => undefined)
        ),
      set: (key, value) =>
        Effect.suspend(() =>
          namespace.set(key, typeof value === "string" ? value : { base64: Base64.encode(value) }, lifetime)
        ).pipe(
          Effect.mapError(failedWith("set", key)),
          // A string with a lone surrogate, which would come back as another.
          Effect.catchDefect((defect) =>
            Cause.isIllegalArgumentError(defect) ? Effect.fail(failedWith("set", key)(defect)) : Effect.die(defect)
          ),
          Effect.flatMap((result) =>
            result !== "NOT_STORED" ? Effect.void : Effect.fail(failure("set", notStored, key))
          )
        ),
      remove: (key) => Effect.mapError(namespace.remove(key), failedWith("remove", key)),
      clear,
      clearPrefix: (part) => (part === "" ? clear : unlisted("clearPrefix")),
      size: unlisted("size"),
      keys: unlisted("keys"),
      isEmpty: unlisted("isEmpty")
    })
  })

/** {@link make} as a layer. */
export const layer = (options: KeyValueStoreOptions): Layer.Layer<KeyValueStore.KeyValueStore, never, GhostDB> =>
  Layer.effect(KeyValueStore.KeyValueStore, make(options))

const Stored = Schema.Union([Schema.String, Schema.Struct({ base64: Schema.String })])
const decode = Schema.decodeUnknownOption(Stored)
const encoder = new TextEncoder()
const notStored = "the cluster did not store the value, which may be larger than maxRequestBytes"

const failure = (method: string, message: string, key?: string, cause?: Error) => {
  const where = key === undefined ? {} : { key }
  return new KeyValueStore.KeyValueStoreError({ method, message, ...where, ...(cause === undefined ? {} : { cause }) })
}

const failedWith = (method: string, key?: string) => (cause: Error) => failure(method, cause.message, key, cause)
