/** The dialects of the servers since 2.0: requests and replies carry a `Gobj` object. */

import { goErrorDocument } from "./GoErrors.js"
import { goJson, goString } from "./GoJson.js"
import {
  isRecord,
  type NodeCommand,
  type NodeReply,
  type NodeRequest,
  ok,
  parse,
  type ServerDialect,
  ttlOf,
  unreadable
} from "./ServerDialect.js"

/** The JSON text of a value, undefined where it is nested too deeply for the stack. */
const valueText = (value: unknown): string | undefined => {
  try {
    return goJson(value)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

const decodeGobj = (dialect: "v2" | "raft") => {
  const ttlProblem =
    dialect === "v2" ? '"TTL" is not a whole number of seconds' : '"TTL" is not a string of a whole number of seconds'
  return (body: string, needsValue: boolean): NodeRequest => {
    const document = parse(body)
    if (document === undefined) return unreadable("the request body is not JSON")
    if (!isRecord(document) || !isRecord(document.Gobj)) return unreadable('the request body has no "Gobj" object')
    const { Key, TTL, Value } = document.Gobj
    const key = typeof Key === "string" ? Key : ""
    const problem = typeof Key === "string" ? undefined : '"Key" is not a string'
    if (!needsValue) return { key, value: "null", ttl: 0, problem }
    const value = valueText(Value)
    if (value === undefined) return unreadable('"Value" is nested too deeply')
    const ttl = ttlOf(TTL, dialect)
    return {
      key,
      value,
      ttl: ttl ?? 0,
      problem: problem ?? (Value === undefined ? '"Value" is missing' : ttl === undefined ? ttlProblem : undefined)
    }
  }
}

/** The `v2` or `raft` dialect. They differ in the type of a TTL and in their last commands. */
export const makeGobj = (dialect: "v2" | "raft", emulateQuirks: boolean): ServerDialect => {
  const ttl = dialect === "raft" ? '"-1"' : "-1"
  const head = '{"Gobj":{"Key":"","Value":'
  const tail = `,"TTL":${ttl}},"Status":1,"Message":"OK","Error":""}\n`
  const value = (json: string): NodeReply => ok(head + json + tail)
  const message = (status: number, text: string, error = ""): NodeReply =>
    ok(`${head}null,"TTL":${ttl}},"Status":${status},"Message":${goString(text)},"Error":"${error}"}\n`)
  const miss = message(0, "CACHE_MISS")
  const stored = message(1, "STORED")
  const error = goErrorDocument(dialect)
  return {
    commands: new Map<string, NodeCommand>([
      ["get", "get"],
      ["put", "put"],
      ["add", "add"],
      ["delete", "delete"],
      ["flush", "flush"],
      ["ping", "ping"],
      ["nodeSize", "nodeSize"],
      ["getSysMetrics", "systemMetrics"],
      dialect === "v2" ? ["getAppMetrics", "applicationMetrics"] : ["getLeader", "getLeader"]
    ]),
    decode: decodeGobj(dialect),
    validate: ({ problem }) =>
      emulateQuirks || problem === undefined ? undefined : message(0, problem, "INVALID_REQUEST_ERR"),
    errorDocument: (_, body) => error(body),
    unknownCommand: (name) => message(0, `Command '${name}' is not a recognized command`, "INVALID_COMMAND_ERR"),
    hit: (_, json) => value(json),
    miss: () => miss,
    put: () => stored,
    stored,
    notStored: message(0, "NOT_STORED"),
    removed: message(1, "REMOVED"),
    notFound: message(0, "NOT_FOUND"),
    flushed: message(1, "FLUSH"),
    pong: message(1, "Pong!"),
    notLeader: message(500, "Error commiting to raft cluster"),
    nodeSize: (size) => value(String(size)),
    leader: (address) => message(200, address),
    metrics: value
  }
}
