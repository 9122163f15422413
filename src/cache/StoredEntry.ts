/**
 * What stored entries look like.
 *
 * With `expiry: "server"` an entry is the value's encoded JSON and nothing else. With `expiry: "exact"` it is
 * `{ "value": <JSON>, "expiresAt": <number> | null }`, or `{ "failure": <JSON>, "expiresAt": … }` for a remembered
 * failure; `expiresAt` is in milliseconds since the epoch, `null` for never. Where they are needed, `"loadedAt"`, when the
 * effect began, `"tags"`, and `"took"`, its duration in milliseconds, stand beside them.
 */

import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
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

/** What an entry says in JSON. Decoding this by a schema of structs would cost more than decoding most values. */
interface Envelope {
  readonly value?: unknown
  readonly failure?: unknown
  readonly expiresAt: number | null
  readonly loadedAt?: number
  readonly tags?: ReadonlyArray<string>
  readonly took?: number
}

const isFiniteIfGiven = (value: unknown) => value === undefined || Number.isFinite(value)

const isTags = (value: unknown) =>
  value === undefined || (Array.isArray(value) && value.every((tag) => typeof tag === "string"))

const isEnvelope = (json: unknown): json is Envelope => {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return false
  const { expiresAt, loadedAt, tags, took }: { readonly [name in keyof Envelope]?: unknown } = json
  return (
    (expiresAt === null || Number.isFinite(expiresAt)) &&
    isFiniteIfGiven(loadedAt) &&
    isTags(tags) &&
    isFiniteIfGiven(took) &&
    (Object.hasOwn(json, "value") || Object.hasOwn(json, "failure"))
  )
}

const EntrySchema = Schema.declare(isEnvelope, { identifier: "an entry with its expiry" })

/** Values, and failures, with the time at which they expire. */
export const exact: Format = {
  name: "exact",
  read: (json) => {
    if (!isEnvelope(json)) return Either.left(ParseResult.parseError(new ParseResult.Type(EntrySchema.ast, json)))
    const isValue = Object.hasOwn(json, "value")
    return Either.right({
      _tag: isValue ? "Value" : "Failure",
      json: isValue ? json.value : json.failure,
      expiresAt: json.expiresAt ?? Number.POSITIVE_INFINITY,
      loadedAt: json.loadedAt ?? Number.NEGATIVE_INFINITY,
      tags: json.tags ?? noTags,
      took: json.took ?? 0
    })
  },
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
