/**
 * The three dialects of GhostDB's servers: requests out, replies in. Pure; knows neither nodes nor connections.
 *
 * A {@link Protocol} makes a {@link Request} for each command: where it is posted, its body, and how its reply is read.
 * Reading never throws: what is no answer to the command is a `BadReply` {@link Fault}.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Fault } from "./GhostDBError.js"
import type { Json } from "./Json.js"

/** The dialects of GhostDB's servers: `v1` (server 1.0), `v2` (server 2.0), `raft` (2021). */
export const Dialect = Schema.Literal("v1", "v2", "raft")

/** @see the constant of the same name */
export type Dialect = typeof Dialect.Type

/** A whole HTTP reply, as far as the protocol looks at it. */
export interface Reply {
  /** The HTTP status code. */
  readonly status: number
  readonly body: string
}

/**
 * A JSON document: a long one as UTF-8. Strings of many commands under way would be copied by one garbage collection after
 * another; bytes lie outside its heap.
 */
export type JsonText = string | Uint8Array

/** From this length on, bytes cost less than the string does. */
const long = 32 * 1024

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** JSON as it is kept until it is sent. */
export const jsonText = (json: string): JsonText => (json.length < long ? json : encoder.encode(json))

/** {@link jsonText} as a string again. */
export const stringOf = (json: JsonText): string => (typeof json === "string" ? json : decoder.decode(json))

const wrapped = (before: string, json: JsonText, after: string): JsonText => {
  if (typeof json === "string") return `${before}${json}${after}`
  const [first, last] = [encoder.encode(before), encoder.encode(after)]
  const bytes = new Uint8Array(first.length + json.length + last.length)
  bytes.set(first)
  bytes.set(json, first.length)
  bytes.set(last, first.length + json.length)
  return bytes
}

/** One command as one dialect says it. */
export interface Request<A> {
  /** The command's name on the wire, without the leading slash. */
  readonly command: string
  readonly body: JsonText
  /** The answer where the request is too large to be sent. */
  readonly unsent: A
  readonly decode: (reply: Reply) => Either.Either<A, Fault>
}

export type StoreResult = "STORED" | "NOT_STORED"
export type DeleteResult = "REMOVED" | "NOT_FOUND"
export type FlushResult = "FLUSHED" | "ERR_FLUSH"

/** A count or a size in a metrics row; 0 where the server leaves it out. */
const Count = Schema.optionalWith(Schema.Number, { default: () => 0, nullable: true })

/**
 * System metrics of a node at the end of an interval: the Go runtime's `MemStats`, sizes in bytes. A field that the server
 * leaves out is 0, a missing `Timestamp` the empty string.
 */
export class SnitchMetrics extends Schema.Class<SnitchMetrics>("effect-ghostdb/SnitchMetrics")({
  /** When the row was recorded, as the server writes it: RFC 3339 from v2 servers. */
  Timestamp: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  /** Bytes of live heap objects. */
  Alloc: Count,
  /** Bytes allocated for heap objects since the start. */
  TotalAlloc: Count,
  /** Bytes obtained from the operating system. */
  Sys: Count,
  /** Pointer lookups by the runtime. */
  Lookups: Count,
  /** Heap objects allocated since the start. */
  Mallocs: Count,
  /** Heap objects freed since the start. */
  Frees: Count,
  /** `Mallocs` less `Frees`. */
  LiveObjects: Count,
  /** Bytes of live heap objects. */
  HeapAlloc: Count,
  /** Bytes of heap obtained from the operating system. */
  HeapSys: Count,
  /** Bytes in unused spans. */
  HeapIdle: Count,
  /** Bytes in used spans. */
  HeapInuse: Count,
  /** Bytes returned to the operating system. */
  HeapReleased: Count,
  /** Bytes in stack spans. */
  StackInuse: Count,
  /** Bytes of stack obtained from the operating system. */
  StackSys: Count,
  /** Bytes in the garbage collector's own tables. */
  GCSys: Count,
  /** The heap size in bytes at which the next collection starts. */
  NextGC: Count,
  /** When the last collection ended, in nanoseconds since 1970; 0 for never. */
  LastGC: Count,
  /** Nanoseconds in collection pauses since the start. */
  PauseTotalNs: Count,
  /** Collections since the start. */
  NumGC: Count,
  /** Goroutines now. */
  NumGoroutine: Count
}) {}

/** Application metrics of a node at the end of an interval: what it was asked, and what came of it, since its start. */
export class WatchdogMetrics extends Schema.Class<WatchdogMetrics>("effect-ghostdb/WatchdogMetrics")({
  /** When the row was recorded, as the server writes it: RFC 3339 from v2 servers. */
  Timestamp: Schema.optionalWith(Schema.String, { default: () => "", nullable: true }),
  /** Requests of any kind. The v2 server leaves it at 0. */
  TotalRequests: Count,
  GetRequests: Count,
  PutRequests: Count,
  AddRequests: Count,
  DeleteRequests: Count,
  FlushRequests: Count,
  /** Gets that found nothing. */
  CacheMiss: Count,
  /** Puts and adds that stored. */
  Stored: Count,
  /** Adds refused because the key was there. */
  NotStored: Count,
  /** Deletes that removed. */
  Removed: Count,
  /** Deletes that found nothing. */
  NotFound: Count,
  /** Flushes that emptied the node. */
  Flushed: Count,
  /** Flushes that failed. */
  ErrFlush: Count
}) {}

/** How a dialect says each command. A command that the dialect lacks answers as if it were there and had nothing to tell. */
export interface Protocol {
  readonly dialect: Dialect
  /** Whether the server takes the empty string for a key. */
  readonly allowsEmptyKey: boolean
  readonly get: (key: string) => Request<Option.Option<Json>>
  /** `json` is the value's, `ttl` whole seconds or -1. */
  readonly put: (key: string, json: JsonText, ttl: number) => Request<StoreResult>
  readonly add: (key: string, json: JsonText, ttl: number) => Request<StoreResult>
  readonly delete: (key: string) => Request<DeleteResult>
  readonly flush: Request<FlushResult>
  /** None where the dialect has no such command. */
  readonly nodeSize: Request<Option.Option<number>>
  /** The raft address of the leader, `<ip>:<port>`; none while there is none, and in dialects without one. */
  readonly getLeader: Request<Option.Option<string>>
  readonly getSnitchMetrics: Request<ReadonlyArray<SnitchMetrics>>
  readonly getWatchdogMetrics: Request<ReadonlyArray<WatchdogMetrics>>
}

const bad = (detail: string): Either.Either<never, Fault> => Either.left({ reason: "BadReply", detail })

const notOk = ({ status }: Reply) => bad(`HTTP status ${status}`)

/** Reads one JSON document; two in one body, as a server writes them after a request it could not parse, are none. */
const parse = (body: string): Json | undefined => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const isRecord = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

// Schemas declared by a guard cost a third of the same schema as a struct, and every command decodes one.

/** The envelope of v2 and raft replies. `Gobj.TTL` is a number or a decimal string, by the dialect. */
interface GobjReply {
  readonly Gobj: { readonly Value: Json; readonly TTL: number | string }
  readonly Status: number
  readonly Message: string
  readonly Error: string
}

const GobjReply = (ttl: "number" | "string") =>
  Schema.declare(
    (u): u is GobjReply =>
      isRecord(u) &&
      typeof u.Message === "string" &&
      typeof u.Status === "number" &&
      typeof u.Error === "string" &&
      isRecord(u.Gobj) &&
      u.Gobj.Value !== undefined &&
      typeof u.Gobj.TTL === ttl,
    { identifier: `GobjReply(TTL: ${ttl})` }
  )

/** What a v1 server says of a key: to `get` and, as an echo, to `put`. */
const PairReply = Schema.declare(
  (u): u is { readonly Key: string; readonly Value: string; readonly TTL: number } =>
    isRecord(u) && typeof u.Key === "string" && typeof u.Value === "string" && typeof u.TTL === "number",
  { identifier: "PairReply" }
)

/** What a v1 server says of everything else. */
const MessageReply = Schema.declare(
  (u): u is { readonly Message: string } => isRecord(u) && typeof u.Message === "string" && u.Gobj === undefined,
  { identifier: "MessageReply" }
)

// Says nothing of the message itself, which may hold what was stored.
const unexpected = bad("the message is no outcome of the command")

const outcome = <A extends string>(outcomes: ReadonlyArray<A>) => {
  const byMessage = new Map<string, Either.Either<A, Fault>>(outcomes.map((name) => [name, Either.right(name)]))
  return (message: string): Either.Either<A, Fault> => byMessage.get(message) ?? unexpected
}

const storeOutcome = outcome(["STORED", "NOT_STORED"])
const deleteOutcome = outcome(["REMOVED", "NOT_FOUND"])
const flushOutcome = (message: string): Either.Either<FlushResult, Fault> => {
  switch (message) {
    case "FLUSH":
    case "FLUSHED":
      return Either.right("FLUSHED")
    case "ERR_FLUSH":
      return Either.right("ERR_FLUSH")
    default:
      return unexpected
  }
}

const rows = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(Schema.Array(schema))
  return (u: unknown): Either.Either<ReadonlyArray<A>, Fault> =>
    u === null ? Either.right([]) : Either.orElse(decode(u), () => bad("malformed metrics"))
}

const snitchRows = rows(SnitchMetrics)
const watchdogRows = rows(WatchdogMetrics)

const miss: Either.Either<Option.Option<never>, Fault> = Either.right(Option.none())

// Version 1

const ofSchema =
  <T>(schema: Schema.Schema<T>, name: string) =>
  <A>(read: (reply: T) => Either.Either<A, Fault>) => {
    const is = Schema.is(schema)
    return (reply: Reply): Either.Either<A, Fault> => {
      if (reply.status !== 200) return notOk(reply)
      const parsed = parse(reply.body)
      return is(parsed) ? read(parsed) : bad(`the body is no ${name} reply`)
    }
  }

const pair = ofSchema(PairReply, "v1")
const message = ofSchema(MessageReply, "v1")

/** Metrics rows of a v1 server are JSON text inside the message. */
const messageRows = <A>(read: (u: unknown) => Either.Either<A, Fault>) => message((reply) => read(parse(reply.Message)))

const v1Get = pair((reply): Either.Either<Option.Option<Json>, Fault> => {
  if (reply.Value === "CACHE_MISS") return miss
  // What other clients stored without encoding it is still what they stored: text.
  const value = parse(reply.Value)
  return Either.right(Option.some(value === undefined ? reply.Value : value))
})
const v1Put = pair(() => Either.right("STORED" as const))
const v1Store = message((reply) => storeOutcome(reply.Message))
const v1Delete = message((reply) => deleteOutcome(reply.Message))

const v1: Protocol = {
  dialect: "v1",
  allowsEmptyKey: false,
  get: (key) => ({ command: "get", body: `{"Key":${JSON.stringify(key)}}`, unsent: Option.none(), decode: v1Get }),
  put: (key, json, ttl) => ({ command: "put", body: v1Body(key, json, ttl), unsent: "NOT_STORED", decode: v1Put }),
  add: (key, json, ttl) => ({ command: "add", body: v1Body(key, json, ttl), unsent: "NOT_STORED", decode: v1Store }),
  delete: (key) => ({
    command: "delete",
    body: `{"Key":${JSON.stringify(key)}}`,
    unsent: "NOT_FOUND",
    decode: v1Delete
  }),
  flush: { command: "flush", body: "{}", unsent: "ERR_FLUSH", decode: message((reply) => flushOutcome(reply.Message)) },
  nodeSize: {
    command: "nodeSize",
    body: "{}",
    unsent: Option.none(),
    decode: (reply) => (reply.status === 404 ? miss : notOk(reply))
  },
  getLeader: {
    command: "getLeader",
    body: "{}",
    unsent: Option.none(),
    decode: (reply) => (reply.status === 404 ? miss : notOk(reply))
  },
  getSnitchMetrics: { command: "getSnitchMetrics", body: "{}", unsent: [], decode: messageRows(snitchRows) },
  getWatchdogMetrics: { command: "getWatchdogMetrics", body: "{}", unsent: [], decode: messageRows(watchdogRows) }
}

const v1Body = (key: string, json: JsonText, ttl: number): JsonText =>
  wrapped(`{"Key":${JSON.stringify(key)},"Value":`, jsonText(JSON.stringify(stringOf(json))), `,"TTL":${ttl}}`)

// Version 2 and raft

/** What a raft follower, and any member while there is no leader, answers to a write; so spelt. */
const notLeaderMessage = "Error commiting to raft cluster"

const notLeader: Either.Either<never, Fault> = Either.left({
  reason: "NotLeader",
  detail: "the node does not lead its raft cluster"
})

const gobj = (dialect: "v2" | "raft", ttlType: "number" | "string"): Protocol => {
  const envelope = ofSchema(GobjReply(ttlType), dialect)
  const envelopeOutcome = <A>(read: (message: string) => Either.Either<A, Fault>) =>
    envelope((reply) => (reply.Status === 500 && reply.Message === notLeaderMessage ? notLeader : read(reply.Message)))
  const get = envelope((reply): Either.Either<Option.Option<Json>, Fault> => {
    if (reply.Message === "OK") return Either.right(Option.some(reply.Gobj.Value))
    return reply.Message === "CACHE_MISS" ? miss : unexpected
  })
  const store = envelopeOutcome(storeOutcome)
  const remove = envelopeOutcome(deleteOutcome)
  const metrics = <A>(read: (u: unknown) => Either.Either<ReadonlyArray<A>, Fault>) =>
    envelope((reply) => {
      if (reply.Error === "INVALID_COMMAND_ERR") return Either.right([])
      return reply.Message === "OK" ? read(reply.Gobj.Value) : unexpected
    })
  const body = (key: string, json: JsonText, ttl: number): JsonText =>
    wrapped(
      `{"Gobj":{"Key":${JSON.stringify(key)},"Value":`,
      json,
      ttlType === "number" ? `,"TTL":${ttl}}}` : `,"TTL":"${ttl}"}}`
    )
  return {
    dialect,
    allowsEmptyKey: true,
    get: (key) => ({
      command: "get",
      body: `{"Gobj":{"Key":${JSON.stringify(key)}}}`,
      unsent: Option.none(),
      decode: get
    }),
    put: (key, json, ttl) => ({ command: "put", body: body(key, json, ttl), unsent: "NOT_STORED", decode: store }),
    add: (key, json, ttl) => ({ command: "add", body: body(key, json, ttl), unsent: "NOT_STORED", decode: store }),
    delete: (key) => ({
      command: "delete",
      body: `{"Gobj":{"Key":${JSON.stringify(key)}}}`,
      unsent: "NOT_FOUND",
      decode: remove
    }),
    flush: { command: "flush", body: "{}", unsent: "ERR_FLUSH", decode: envelopeOutcome(flushOutcome) },
    nodeSize: {
      command: "nodeSize",
      body: "{}",
      unsent: Option.none(),
      decode: envelope((reply) => {
        if (reply.Error === "INVALID_COMMAND_ERR") return miss
        if (reply.Status === 500 && reply.Message === notLeaderMessage) return notLeader
        if (reply.Message !== "OK") return unexpected
        const size = reply.Gobj.Value
        return typeof size === "number" && Number.isSafeInteger(size) && size >= 0
          ? Either.right(Option.some(size))
          : bad("the size is no count")
      })
    },
    getLeader: {
      command: "getLeader",
      body: "{}",
      unsent: Option.none(),
      decode: envelope((reply) => {
        if (reply.Error === "INVALID_COMMAND_ERR") return miss
        if (reply.Status !== 200) return unexpected
        return reply.Message === "" ? miss : Either.right(Option.some(reply.Message))
      })
    },
    getSnitchMetrics: { command: "getSysMetrics", body: "{}", unsent: [], decode: metrics(snitchRows) },
    getWatchdogMetrics: { command: "getAppMetrics", body: "{}", unsent: [], decode: metrics(watchdogRows) }
  }
}

const protocols: { readonly [D in Dialect]: Protocol } = {
  v1,
  v2: gobj("v2", "number"),
  raft: gobj("raft", "string")
}

/** The protocol of a dialect. */
export const forDialect = (dialect: Dialect): Protocol => protocols[dialect]

const isV2 = Schema.is(GobjReply("number"))
const isRaft = Schema.is(GobjReply("string"))

/** The handshake: how a server answers a ping tells its dialect. */
export const ping: Omit<Request<Dialect>, "unsent"> = {
  command: "ping",
  body: "{}",
  decode: (reply) => {
    if (reply.status !== 200) return notOk(reply)
    if (reply.body === "") return Either.right("v1")
    const parsed = parse(reply.body)
    if (isV2(parsed)) return Either.right("v2")
    return isRaft(parsed) ? Either.right("raft") : bad("the body answers no ping")
  }
}
