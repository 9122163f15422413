import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isRecord, type JsonText, wrapped } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Json } from "../model/Json.js"
import {
  bad,
  deleteOutcome,
  flushOutcome,
  miss,
  ofSchema,
  snitchRows,
  storeOutcome,
  unexpected,
  watchdogRows
} from "./Decode.js"
import type { Protocol } from "./Protocol.js"

// Schemas declared by a guard cost a third of the same schema as a struct, and every command decodes one.

/** The envelope of v2 and raft replies. `Gobj.TTL` is a number or a decimal string, by the dialect. */
export interface GobjReply {
  readonly Gobj: { readonly Value: Json; readonly TTL: number | string }
  readonly Status: number
  readonly Message: string
  readonly Error: string
}

export const GobjReply = (ttl: "number" | "string") =>
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

// Version 2 and raft

/** What a raft follower, and any member while there is no leader, answers to a write; so spelt. */
const notLeaderMessage = "Error commiting to raft cluster"

const notLeader: Either.Either<never, Fault> = Either.left({
  reason: "NotLeader",
  detail: "the node does not lead its raft cluster"
})

export const gobj = (dialect: "v2" | "raft", ttlType: "number" | "string"): Protocol => {
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
