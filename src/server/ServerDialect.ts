/**
 * The server's side of the three dialects: what a node reads from a request body, and how it writes its replies, byte
 * for byte as the Go servers do. `ServerDialectV1` and `ServerDialectGobj` implement it.
 */

import type { Dialect } from "../model/Dialect.js"

/**
 * A node's answer to one request. `contentType` is absent where the servers send none: v1's answer to `ping`.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeReply {
  readonly status: number
  readonly contentType: string | undefined
  readonly body: string
}

/**
 * The content of a request body. A field that is missing or of the wrong type has Go's zero value (`""`, `null`, 0), as on
 * the real servers.
 */
export interface NodeRequest {
  readonly key: string
  /** The value as the JSON text that replies carry. In v1 that is a JSON string which holds a document. */
  readonly value: string
  /** Whole seconds; -1 is never. */
  readonly ttl: number
  /** What is wrong with the request, in plain words. */
  readonly problem: string | undefined
}

/**
 * The commands of a node, by one name for all dialects.
 *
 * @category models
 * @since 0.1.0
 */
export type NodeCommand =
  | "get"
  | "put"
  | "add"
  | "delete"
  | "flush"
  | "ping"
  | "nodeSize"
  | "systemMetrics"
  | "applicationMetrics"
  | "getLeader"

/** One dialect, as a node speaks it. */
export interface ServerDialect {
  /** The commands that this dialect has, by their names on the wire. */
  readonly commands: ReadonlyMap<string, NodeCommand>
  /** Reads a body; `needsValue` tells whether the command takes a value and a TTL besides the key. */
  readonly decode: (body: string, needsValue: boolean) => NodeRequest
  /** The reply to a request that cannot be served, undefined for one that can. */
  readonly validate: (request: NodeRequest, needsValue: boolean) => NodeReply | undefined
  /** The error document with which a real server begins its reply to a body that it could not decode, or "". */
  readonly errorDocument: (command: NodeCommand | undefined, body: string) => string
  readonly unknownCommand: (name: string) => NodeReply
  readonly hit: (request: NodeRequest, value: string) => NodeReply
  readonly miss: (request: NodeRequest) => NodeReply
  readonly put: (request: NodeRequest) => NodeReply
  readonly stored: NodeReply
  readonly notStored: NodeReply
  readonly removed: NodeReply
  readonly notFound: NodeReply
  readonly flushed: NodeReply
  readonly pong: NodeReply
  readonly notLeader: NodeReply
  readonly nodeSize: (size: number) => NodeReply
  readonly leader: (address: string) => NodeReply
  /** `rows` is the JSON text of the rows' array, or `null`. */
  readonly metrics: (rows: string) => NodeReply
}

const jsonType = "application/json; charset=UTF-8"

/** The content type of the replies that are not JSON. */
export const textType = "text/plain; charset=utf-8"

/** A JSON reply with status 200. */
export const ok = (body: string): NodeReply => ({ status: 200, contentType: jsonType, body })

/** A request whose body holds nothing that can be used. */
export const unreadable = (problem: string): NodeRequest => ({ key: "", value: "null", ttl: 0, problem })

/** The document that a text holds, or undefined where it is not JSON. */
export const parse = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** Whether a parsed JSON value is an object. */
export const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A whole number as Go parses it. */
export const decimal = /^-?\d+$/

/** The whole seconds of a TTL field, or undefined where the dialect cannot read it: raft takes a string, the others a number. */
export const ttlOf = (value: unknown, dialect: Dialect): number | undefined => {
  const seconds =
    dialect !== "raft" ? value : typeof value === "string" && decimal.test(value) ? Number(value) : undefined
  return Number.isSafeInteger(seconds) ? Number(seconds) : undefined
}
