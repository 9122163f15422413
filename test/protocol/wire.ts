import { readFileSync } from "node:fs"
import { FastCheck, Schema } from "effect"
import { Dialect } from "../../src/model/Dialect.js"
import type { Reply } from "../../src/model/Exchange.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import type * as Protocol from "../../src/protocol/Protocol.js"

const Exchange = Schema.Struct({
  command: Schema.String,
  request: Schema.Unknown,
  status: Schema.Number,
  body: Schema.String,
  note: Schema.String
})
type Exchange = typeof Exchange.Type

const recorded = (dialect: Dialect): ReadonlyArray<Exchange> =>
  Schema.decodeSync(Schema.parseJson(Schema.Array(Exchange)))(
    readFileSync(new URL(`../fixtures/wire-${dialect}.json`, import.meta.url), "utf8")
  )
export const wire = { v1: recorded("v1"), v2: recorded("v2"), raft: recorded("raft") }
export const dialects = Dialect.literals

export type AnyRequest = Omit<Protocol.Request<unknown>, "whenTooLarge">

/** A decoded reply, or the reason it is none. */
export const read = (request: AnyRequest, reply: Reply): unknown => {
  const decoded = request.decode(reply)
  return decoded.ok ? { answer: decoded.answer } : decoded.fault.reason
}

export const reply = (body: string, status = 200): Reply => ({ status, body })

export const every = (protocol: Protocol.Protocol) => ({
  ping: Dialects.ping,
  get: protocol.get("k"),
  put: protocol.put("k", () => "1", -1),
  add: protocol.add("k", () => "1", -1),
  delete: protocol.delete("k"),
  flush: protocol.flush,
  nodeSize: protocol.nodeSize,
  getLeader: protocol.getLeader,
  getSnitchMetrics: protocol.getSnitchMetrics,
  getWatchdogMetrics: protocol.getWatchdogMetrics
})
export type Command = keyof ReturnType<typeof every>

/** The rows of a recorded reply, unread. */
export const rowsIn = (dialect: "v2" | "raft", command: string): ReadonlyArray<object> => {
  const Rows = Schema.parseJson(Schema.Struct({ Gobj: Schema.Struct({ Value: Schema.Array(Schema.Object) }) }))
  return Schema.decodeSync(Rows)(wire[dialect].find((exchange) => exchange.command === command)?.body ?? "").Gobj.Value
}

export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const v1Metrics = [rowsIn("v2", "getSysMetrics"), rowsIn("v2", "getAppMetrics")].map(
  (rows) => `${JSON.stringify({ Message: JSON.stringify(rows) })}\n`
)
export const notLeaderBody =
  '{"Gobj":{"Key":"","Value":null,"TTL":"-1"},"Status":500,"Message":"Error commiting to raft cluster","Error":""}\n'

export const words = FastCheck.constantFrom(
  ...["OK", "Pong!", "CACHE_MISS", "STORED", "NOT_STORED", "REMOVED", "NOT_FOUND", "FLUSH", "FLUSHED", "ERR_FLUSH"],
  ...["INVALID_COMMAND_ERR", "Error commiting to raft cluster", "null", "[]", "[{}]", "", "-1", "60", "__proto__"]
)
