import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isRecord, type JsonText, jsonText, parse, stringOf, wrapped } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Json } from "../model/Json.js"
import { deleteOutcome, flushOutcome, miss, notOk, ofSchema, snitchRows, storeOutcome, watchdogRows } from "./Decode.js"
import type { Protocol } from "./Protocol.js"

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

const pair = ofSchema(PairReply, "v1")

export const message = ofSchema(MessageReply, "v1")

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

export const v1: Protocol = {
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
