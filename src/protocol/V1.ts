import * as Option from "effect/Option"
import { isRecord, type JsonText, jsonText, parse, stringOf, wrapped } from "../model/Exchange.js"
import type { Json } from "../model/Json.js"
import {
  bad,
  deleteOutcome,
  flushOutcome,
  guarded,
  miss,
  notOk,
  ok,
  snitchRows,
  storeOutcome,
  watchdogRows
} from "./Decode.js"
import type { Decoded, Protocol } from "./Protocol.js"

/** What a v1 server says of a key: to `get` and, as an echo, to `put`. */
interface PairReply {
  readonly Key: string
  readonly Value: string
  readonly TTL: number
}

const isPairReply = (u: unknown): u is PairReply =>
  isRecord(u) && typeof u.Key === "string" && typeof u.Value === "string" && typeof u.TTL === "number"

/** What a v1 server says of everything else. */
const isMessageReply = (u: unknown): u is { readonly Message: string } =>
  isRecord(u) && typeof u.Message === "string" && u.Gobj === undefined

const pair = guarded(isPairReply, "v1")

const message = guarded(isMessageReply, "v1")

/** Metrics rows of a v1 server are JSON text inside the message. */
const messageRows = <A>(read: (u: unknown) => Decoded<A>) => message((reply) => read(parse(reply.Message)))

/** Reads what a server says of one key. A reply that names another one belongs to another request. */
const pairOf = <A>(key: string, read: (value: string) => Decoded<A>) =>
  pair((reply) => (reply.Key === key ? read(reply.Value) : bad("the reply is about another key")))

const readValue = (text: string): Decoded<Option.Option<Json>> => {
  if (text === "CACHE_MISS") return miss
  // Other clients may have stored text that is no JSON document: it is the value itself.
  const value = parse(text)
  return ok(Option.some(value === undefined ? text : value))
}

const stored: Decoded<"STORED"> = ok("STORED")

const v1Store = message((reply) => storeOutcome(reply.Message))

const v1Delete = message((reply) => deleteOutcome(reply.Message))

/** The protocol of v1 servers. */
export const v1: Protocol = {
  dialect: "v1",
  allowsEmptyKey: false,
  get: (key) => ({
    command: "get",
    encode: () => `{"Key":${JSON.stringify(key)}}`,
    whenTooLarge: Option.none(),
    decode: pairOf(key, readValue)
  }),
  put: (key, json, ttl) => ({
    command: "put",
    encode: v1Body(key, json, ttl),
    whenTooLarge: "NOT_STORED",
    decode: pairOf(key, () => stored)
  }),
  add: (key, json, ttl) => ({
    command: "add",
    encode: v1Body(key, json, ttl),
    whenTooLarge: "NOT_STORED",
    decode: v1Store
  }),
  delete: (key) => ({
    command: "delete",
    encode: () => `{"Key":${JSON.stringify(key)}}`,
    whenTooLarge: "NOT_FOUND",
    decode: v1Delete
  }),
  flush: {
    command: "flush",
    encode: () => "{}",
    whenTooLarge: "ERR_FLUSH",
    decode: message((reply) => flushOutcome(reply.Message))
  },
  nodeSize: {
    command: "nodeSize",
    encode: () => "{}",
    whenTooLarge: Option.none(),
    decode: (reply) => (reply.status === 404 ? miss : notOk(reply))
  },
  getLeader: {
    command: "getLeader",
    encode: () => "{}",
    whenTooLarge: Option.none(),
    decode: (reply) => (reply.status === 404 ? miss : notOk(reply))
  },
  getSnitchMetrics: {
    command: "getSnitchMetrics",
    encode: () => "{}",
    whenTooLarge: [],
    decode: messageRows(snitchRows)
  },
  getWatchdogMetrics: {
    command: "getWatchdogMetrics",
    encode: () => "{}",
    whenTooLarge: [],
    decode: messageRows(watchdogRows)
  }
}

const v1Body = (key: string, json: () => JsonText, ttl: number) => (): JsonText =>
  wrapped(`{"Key":${JSON.stringify(key)},"Value":`, jsonText(JSON.stringify(stringOf(json()))), `,"TTL":${ttl}}`)
