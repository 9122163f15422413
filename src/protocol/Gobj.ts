import * as Option from "effect/Option"
import { isRecord, type JsonText, wrapped } from "../model/Exchange.js"
import type { Json } from "../model/Json.js"
import {
  bad,
  deleteOutcome,
  flushOutcome,
  guarded,
  miss,
  ok,
  snitchRows,
  storeOutcome,
  unexpected,
  watchdogRows
} from "./Decode.js"
import type { Decoded, Protocol } from "./Protocol.js"
import * as Verbatim from "./Verbatim.js"

/** The envelope of v2 and raft replies. `Gobj.TTL` is a number or a decimal string, by the dialect. */
export interface GobjReply {
  readonly Gobj: { readonly Value: Json; readonly TTL: number | string }
  readonly Status: number
  readonly Message: string
  readonly Error: string
}

// A guard and no schema: every command decodes one, and a schema costs three times as much.
export const isGobjReply =
  (ttl: "number" | "string") =>
  (u: unknown): u is GobjReply =>
    isRecord(u) &&
    typeof u.Message === "string" &&
    typeof u.Status === "number" &&
    typeof u.Error === "string" &&
    isRecord(u.Gobj) &&
    u.Gobj.Value !== undefined &&
    typeof u.Gobj.TTL === ttl

/** What a raft follower, and any member while there is no leader, answers to a write; so spelt. */
const notLeaderMessage = "Error commiting to raft cluster"

const notLeader: Decoded<never> = {
  ok: false,
  fault: { reason: "NotLeader", detail: "the node does not lead its raft cluster" }
}

/** The protocol of v2 and raft servers, who write a TTL as a number or as a decimal string. */
export const gobj = (dialect: "v2" | "raft", ttlType: "number" | "string"): Protocol => {
  const envelope = guarded(isGobjReply(ttlType), dialect)
  const envelopeOutcome = <A>(read: (message: string) => Decoded<A>) =>
    envelope((reply) => (reply.Status === 500 && reply.Message === notLeaderMessage ? notLeader : read(reply.Message)))
  const ttl = ttlType === "number" ? "-1" : `"-1"`
  const get = Verbatim.found(
    ttl,
    envelope((reply): Decoded<Option.Option<Json>> => {
      if (reply.Message === "OK") return ok(Option.some(reply.Gobj.Value))
      return reply.Message === "CACHE_MISS" ? miss : unexpected
    })
  )
  const store = Verbatim.outcome(ttl, "STORED", "NOT_STORED", envelopeOutcome(storeOutcome))
  const remove = Verbatim.outcome(ttl, "REMOVED", "NOT_FOUND", envelopeOutcome(deleteOutcome))
  const metrics = <A>(read: (u: unknown) => Decoded<ReadonlyArray<A>>) =>
    envelope((reply) => {
      if (reply.Error === "INVALID_COMMAND_ERR") return ok([])
      return reply.Message === "OK" ? read(reply.Gobj.Value) : unexpected
    })
  const body = (key: string, json: () => JsonText, ttl: number) => (): JsonText =>
    wrapped(
      `{"Gobj":{"Key":${JSON.stringify(key)},"Value":`,
      json(),
      ttlType === "number" ? `,"TTL":${ttl}}}` : `,"TTL":"${ttl}"}}`
    )
  return {
    dialect,
    allowsEmptyKey: true,
    get: (key) => ({
      command: "get",
      encode: () => `{"Gobj":{"Key":${JSON.stringify(key)}}}`,
      whenTooLarge: Option.none(),
      decode: get
    }),
    put: (key, json, ttl) => ({
      command: "put",
      encode: body(key, json, ttl),
      whenTooLarge: "NOT_STORED",
      decode: store
    }),
    add: (key, json, ttl) => ({
      command: "add",
      encode: body(key, json, ttl),
      whenTooLarge: "NOT_STORED",
      decode: store
    }),
    delete: (key) => ({
      command: "delete",
      encode: () => `{"Gobj":{"Key":${JSON.stringify(key)}}}`,
      whenTooLarge: "NOT_FOUND",
      decode: remove
    }),
    flush: { command: "flush", encode: () => "{}", whenTooLarge: "ERR_FLUSH", decode: envelopeOutcome(flushOutcome) },
    nodeSize: {
      command: "nodeSize",
      encode: () => "{}",
      whenTooLarge: Option.none(),
      decode: envelope((reply) => {
        if (reply.Error === "INVALID_COMMAND_ERR") return miss
        if (reply.Status === 500 && reply.Message === notLeaderMessage) return notLeader
        if (reply.Message !== "OK") return unexpected
        const size = reply.Gobj.Value
        return typeof size === "number" && Number.isSafeInteger(size) && size >= 0
          ? ok(Option.some(size))
          : bad("the size is no count")
      })
    },
    getLeader: {
      command: "getLeader",
      encode: () => "{}",
      whenTooLarge: Option.none(),
      decode: envelope((reply) => {
        if (reply.Error === "INVALID_COMMAND_ERR") return miss
        if (reply.Status !== 200) return unexpected
        return reply.Message === "" ? miss : ok(Option.some(reply.Message))
      })
    },
    getSnitchMetrics: { command: "getSysMetrics", encode: () => "{}", whenTooLarge: [], decode: metrics(snitchRows) },
    getWatchdogMetrics: {
      command: "getAppMetrics",
      encode: () => "{}",
      whenTooLarge: [],
      decode: metrics(watchdogRows)
    }
  }
}
