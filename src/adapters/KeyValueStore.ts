/** The `KeyValueStore` of `@effect/platform` on a GhostDB cluster. */

import * as PlatformError from "@effect/platform/Error"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Namespace from "../cache/Namespace.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import { GhostDB } from "../GhostDB.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import { Ttl } from "../model/Ttl.js"

/**
 * What a `KeyValueStore` on GhostDB is made of.
 *
 * @category options
 * @since 0.1.0
 */
export interface KeyValueStoreOptions {
  /** The name of the store. Stores of one name are one, whatever processes they are in. */
  readonly prefix: string
  /**
   * How long a value is kept, to the millisecond by the `Clock`. Default -1: forever, as far as a cache keeps
   * anything.
   */
  readonly ttl?: Ttl | undefined
}

/**
 * A store under a prefix of the cluster. It is a cache: nodes drop values when they are full or restart.
 *
 * - Strings and bytes come back as they were set; `get` of bytes is their base64, `getUint8Array` of a string its
 *   UTF-8.
 * - `clear` ends all values of this prefix, for all processes, and nothing else: see the format below.
 * - `size` and `isEmpty` fail with `BadArgument`: GhostDB cannot count the keys of a prefix.
 * - `modify` is a `get` and a `set`, and not atomic.
 * - An outage is a `SystemError`; with a client that fails open, it is a miss, and what was to be set is not.
 * - A key that cannot be used, and a string that is not well-formed Unicode, is a `BadArgument`; a value that the cluster
 *   does not store, since it is over `maxRequestBytes`, is a `SystemError` with the reason `WriteZero`.
 *
 * A value is stored as `{ "generation", "value", "expiresAt" }`, its `value` a string, or `{ "base64": <string> }` for
 * bytes, under keys that no other store has. It counts while its generation is that of the store's stamp, which `clear`
 * renews; so every command asks the node of that stamp as well, and a `set` during a `clear` is lost with it.
 *
 * @example
 * import { KeyValueStore } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { GhostDBLive } from "effect-ghostdb"
 * import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
 *
 * const program = Effect.gen(function* () {
 *   const store = yield* KeyValueStore.KeyValueStore
 *   yield* store.set("greeting", "hello")
 *   return yield* store.get("greeting")
 * })
 *
 * const layer = GhostDBKeyValueStore.layer({ prefix: "greetings" }).pipe(Layer.provide(GhostDBLive("gdb.conf")))
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({
  prefix,
  ttl = -1
}: KeyValueStoreOptions): Effect.Effect<KeyValueStore.KeyValueStore, never, GhostDB> =>
  Effect.map(GhostDB, (db) => {
    const namespace = Namespace.make(db, ReservedKeys.space("KeyValueStore", prefix))
    const lifetime = Ttl.toMillis(ttl)

    const get = <A>(method: string, key: string, read: (value: typeof Stored.Type) => Option.Option<A>) =>
      Effect.flatMap(
        Effect.mapError(namespace.get(key), toPlatformError(method, key)),
        Option.match({
          onNone: () => Effect.succeedNone,
          onSome: (value) =>
            Option.match(Option.flatMap(decode(value), read), {
              onNone: () => systemError("InvalidData", method, key, "the stored value is neither a string nor base64"),
              onSome: Effect.succeedSome
            })
        })
      )
    const unsupported = (method: string) =>
      new PlatformError.BadArgument({
        module: "KeyValueStore",
        method,
        description: "GhostDB cannot count the keys of a prefix"
      })

    return KeyValueStore.make({
      get: (key) => get("get", key, (value) => Option.some(typeof value === "string" ? value : value.base64)),
      getUint8Array: (key) =>
        get("getUint8Array", key, (value) =>
          typeof value === "string"
            ? Option.some(encoder.encode(value))
            : Option.getRight(Encoding.decodeBase64(value.base64))
        ),
      set: (key, value) =>
        Effect.suspend(() =>
          namespace.set(key, typeof value === "string" ? value : { base64: Encoding.encodeBase64(value) }, lifetime)
        ).pipe(
          Effect.mapError(toPlatformError("set", key)),
          // A string with a lone surrogate, which would come back as another.
          Effect.catchSomeDefect((defect) =>
            Cause.isIllegalArgumentException(defect) ? Option.some(badArgument("set", defect)) : Option.none()
          ),
          Effect.flatMap((result) =>
            result !== "NOT_STORED"
              ? Effect.void
              : systemError(
                  "WriteZero",
                  "set",
                  key,
                  "the cluster did not store the value, which may be larger than maxRequestBytes"
                )
          )
        ),
      remove: (key) => Effect.mapError(namespace.remove(key), toPlatformError("remove", key)),
      clear: Effect.mapError(namespace.clear, toPlatformError("clear", prefix)),
      size: unsupported("size"),
      isEmpty: unsupported("isEmpty")
    })
  })

/**
 * {@link make} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: KeyValueStoreOptions): Layer.Layer<KeyValueStore.KeyValueStore, never, GhostDB> =>
  Layer.effect(KeyValueStore.KeyValueStore, make(options))

const Stored = Schema.Union(Schema.String, Schema.Struct({ base64: Schema.String }))
const decode = Schema.decodeUnknownOption(Stored)
const encoder = new TextEncoder()

const systemError = (
  reason: PlatformError.SystemErrorReason,
  method: string,
  key: string,
  description: string,
  cause?: NoMoreServers
) =>
  new PlatformError.SystemError({ reason, module: "KeyValueStore", method, pathOrDescriptor: key, description, cause })

const badArgument = (method: string, cause: Error) =>
  new PlatformError.BadArgument({ module: "KeyValueStore", method, description: cause.message, cause })

const timeouts = new Set(["ConnectTimeout", "AttemptTimeout", "Deadline"])

const toPlatformError =
  (method: string, key: string) =>
  (error: NoMoreServers | KeyError): PlatformError.PlatformError => {
    if (error._tag === "KeyError") return badArgument(method, error)
    const isTimeout = error.failures.length > 0 && error.failures.every(({ reason }) => timeouts.has(reason))
    return systemError(isTimeout ? "TimedOut" : "Unknown", method, key, error.message, error)
  }
