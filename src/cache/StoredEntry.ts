/**
 * What stored entries look like.
 *
 * With `expiry: "server"` an entry is the value's encoded JSON and nothing else. With `expiry: "exact"` it is
 * `{ "value": <JSON>, "expiresAt": <number> | null }`, or `{ "failure": <JSON>, "expiresAt": … }` for a remembered
 * failure; `expiresAt` is in milliseconds since the epoch, `null` for never. Where they are needed, `"loadedAt"`, when the
 * effect began, `"tags"`, and `"took"`, its duration in milliseconds, stand beside them.
 */

import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Json } from "../model/Json.js"

/** An entry as it is stored, its value or failure still encoded. */
export interface StoredEntry {
  readonly _tag: "Value" | "Failure"
  readonly json: unknown
  /** `Infinity` for never. */
  readonly expiresAt: number
  /** By the clock of stamps; `-Infinity` where the entry does not say. */
  readonly loadedAt: number
  readonly tags: ReadonlyArray<string>
  /** How long the effect took, in milliseconds; 0 where the entry does not say. */
  readonly took: number
}

/** How entries of one kind are written and read. */
export interface Format {
  readonly name: "server" | "exact"
  readonly read: (json: Json) => Either.Either<StoredEntry, ParseResult.ParseError>
  readonly write: (entry: StoredEntry & { readonly json: Json }) => Json
}

/** Values as plain JSON, which the server expires. */
export const server: Format = {
  name: "server",
  read: (json) => Either.right(value(json, Number.POSITIVE_INFINITY)),
  write: ({ json }) => json
}

/** An entry of a value that says nothing but when it expires. */
export const value = <J>(json: J, expiresAt: number): StoredEntry & { readonly json: J } => ({
  _tag: "Value",
  json,
  expiresAt,
  loadedAt: Number.NEGATIVE_INFINITY,
  tags: noTags,
  took: 0
})

const noTags: ReadonlyArray<string> = []

const Extras = {
  expiresAt: Schema.NullOr(Schema.Finite),
  loadedAt: Schema.optionalWith(Schema.Finite, { exact: true }),
  tags: Schema.optionalWith(Schema.Array(Schema.String), { exact: true }),
  took: Schema.optionalWith(Schema.Finite, { exact: true })
}

const Envelope = Schema.Union(
  Schema.Struct({ value: Schema.Unknown, ...Extras }),
  Schema.Struct({ failure: Schema.Unknown, ...Extras })
)

// Without `exact` an absent `value` would pass as undefined, and each failure for a value.
const decodeEnvelope = Schema.decodeUnknownEither(Envelope, { exact: true })

/** Values, and failures, with the time at which they expire. */
export const exact: Format = {
  name: "exact",
  read: (json) =>
    Either.map(decodeEnvelope(json), (envelope) => ({
      ...("value" in envelope
        ? { _tag: "Value" as const, json: envelope.value }
        : { _tag: "Failure" as const, json: envelope.failure }),
      expiresAt: envelope.expiresAt ?? Number.POSITIVE_INFINITY,
      loadedAt: envelope.loadedAt ?? Number.NEGATIVE_INFINITY,
      tags: envelope.tags ?? noTags,
      took: envelope.took ?? 0
    })),
  write: ({ _tag, expiresAt, json, loadedAt, tags, took }) => ({
    ...(_tag === "Value" ? { value: json } : { failure: json }),
    expiresAt: Number.isFinite(expiresAt) ? expiresAt : null,
    ...(Number.isFinite(loadedAt) ? { loadedAt } : {}),
    ...(tags.length > 0 ? { tags } : {}),
    ...(took > 0 ? { took } : {})
  })
}

/** Whether JSON has the shape of an exact entry, and when it then expires. A cheap look, for who does not know the store. */
export const expiryOf = (json: Json): number => {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return Number.POSITIVE_INFINITY
  // Not an array, so that a member can be looked up.
  const { expiresAt } = json as { readonly [name: string]: Json | undefined }
  return typeof expiresAt === "number" ? expiresAt : Number.POSITIVE_INFINITY
}
