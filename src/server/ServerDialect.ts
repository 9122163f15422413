/**
 * The server's side of the three dialects: what a node reads from a request body, and how it writes its replies, byte
 * for byte as the Go servers do.
 */
import type { Dialect } from "../model/Dialect.js"

/** A node's answer to one request. `contentType` is absent where the servers send none: v1's answer to `ping`. */
export interface NodeReply {
  readonly status: number
  readonly contentType: string | undefined
  readonly body: string
}

/**
 * What a request body asks. A field that is missing or of the wrong type has Go's zero value (`""`, `null`, 0), as on
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

/** What a node can be asked, whatever its dialect calls it. */
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
export interface NodeDialect {
  /** The commands that this dialect has, by their names on the wire. */
  readonly commands: ReadonlyMap<string, NodeCommand>
  /** Reads a body; `entry` tells whether the command needs a value and a TTL besides the key. */
  readonly decode: (body: string, entry: boolean) => NodeRequest
  /** The reply to a request that cannot be served, if this is one. */
  readonly refuse: (request: NodeRequest, entry: boolean) => NodeReply | undefined
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

export const textType = "text/plain; charset=utf-8"

export const ok = (body: string): NodeReply => ({ status: 200, contentType: jsonType, body })

export const unreadable = (problem: string): NodeRequest => ({ key: "", value: "null", ttl: 0, problem })

export const parse = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

export const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const decimal = /^-?\d+$/

export const ttlOf = (value: unknown, dialect: Dialect): number | undefined => {
  const seconds =
    dialect !== "raft" ? value : typeof value === "string" && decimal.test(value) ? Number(value) : undefined
  return Number.isSafeInteger(seconds) ? Number(seconds) : undefined
}
