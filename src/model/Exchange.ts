import type { Json } from "./Json.js"

/**
 * A whole HTTP reply, as far as the protocol looks at it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reply {
  /** The HTTP status code. */
  readonly status: number
  readonly body: string
}

/**
 * A JSON document: a long one as UTF-8. Strings of many commands under way would be copied by one garbage collection after
 * another; bytes lie outside its heap.
 *
 * @category models
 * @since 0.1.0
 */
export type JsonText = string | Uint8Array

/**
 * The body of a request, or a function that makes it when the request can be written, so that a request that waits holds
 * no encoded copy of its value. Undefined withholds the request: it is not sent, and its reply is {@link withheld}. What
 * the function throws is a defect of the command.
 *
 * @category models
 * @since 0.1.0
 */
export type Body = JsonText | (() => JsonText | undefined)

/**
 * Makes the body.
 *
 * @category functions
 * @since 0.1.0
 */
export const textOf = (body: Body): JsonText | undefined => (typeof body === "function" ? body() : body)

/**
 * The reply to a request that its {@link Body} withheld. Compared by identity.
 *
 * @category constants
 * @since 0.1.0
 */
export const withheld: Reply = { status: 0, body: "" }

/** From this length on, bytes cost less than the string does. */
const long = 32 * 1024

const encoder = new TextEncoder()

const decoder = new TextDecoder()

/** JSON as it is kept until it is sent. */
export const jsonText = (json: string): JsonText => (json.length < long ? json : encoder.encode(json))

/** {@link jsonText} as a string again. */
export const stringOf = (json: JsonText): string => (typeof json === "string" ? json : decoder.decode(json))

export const wrapped = (before: string, json: JsonText, after: string): JsonText => {
  if (typeof json === "string") return `${before}${json}${after}`
  const [first, last] = [encoder.encode(before), encoder.encode(after)]
  const bytes = new Uint8Array(first.length + json.length + last.length)
  bytes.set(first)
  bytes.set(json, first.length)
  bytes.set(last, first.length + json.length)
  return bytes
}

/** Reads one JSON document; two in one body, as a server writes them after a request it could not parse, are none. */
export const parse = (body: string): Json | undefined => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

export const isRecord = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null && !Array.isArray(u)
