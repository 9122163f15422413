/** The dialect of server 1.0: plain pairs of a key and a string, which holds the value's JSON document. */

import { goErrorDocument } from "./GoErrors.js"
import { goString } from "./GoJson.js"
import {
  isRecord,
  type NodeCommand,
  type NodeReply,
  type NodeRequest,
  ok,
  parse,
  type ServerDialect,
  textType,
  ttlOf,
  unreadable
} from "./ServerDialect.js"

const decodeV1 = (body: string, needsValue: boolean): NodeRequest => {
  const pair = parse(body)
  if (pair === undefined) return { ...unreadable("the request body is not JSON"), value: '""' }
  if (!isRecord(pair)) return { ...unreadable("the request body is not a JSON object"), value: '""' }
  const key = typeof pair.Key === "string" ? pair.Key : ""
  const value = typeof pair.Value === "string" ? goString(pair.Value) : '""'
  const ttl = ttlOf(pair.TTL, "v1")
  const problem =
    key === ""
      ? '"Key" is not a string of at least one character'
      : !needsValue
        ? undefined
        : value === '""'
          ? '"Value" is not a string of at least one character'
          : ttl === undefined
            ? '"TTL" is not a whole number of seconds'
            : undefined
  return { key, value, ttl: ttl ?? 0, problem }
}

/** The `v1` dialect. */
export const makeV1 = (emulateQuirks: boolean): ServerDialect => {
  const message = (text: string): NodeReply => ok(`{"Message":${goString(text)}}\n`)
  const pair = ({ key, ttl }: NodeRequest, value: string): string =>
    `{"Key":${goString(key)},"Value":${value},"TTL":${ttl}}\n`
  const notFound: NodeReply = { status: 404, contentType: textType, body: "not found" }
  const error = goErrorDocument("v1")
  return {
    commands: new Map<string, NodeCommand>([
      ["get", "get"],
      ["put", "put"],
      ["add", "add"],
      ["delete", "delete"],
      ["flush", "flush"],
      ["ping", "ping"],
      ["getSnitchMetrics", "systemMetrics"],
      ["getWatchdogMetrics", "applicationMetrics"]
    ]),
    decode: decodeV1,
    validate: (request, needsValue) =>
      !emulateQuirks
        ? request.problem === undefined
          ? undefined
          : { ...message(request.problem), status: 400 }
        : request.key === "" || (needsValue && request.value === '""')
          ? { status: 400, contentType: textType, body: pair(request, request.value) }
          : undefined,
    errorDocument: (command, body) =>
      command === "get" || command === "put" || command === "add" || command === "delete" ? error(body) : "",
    unknownCommand: () => notFound,
    hit: (request, value) => ok(pair(request, value)),
    miss: (request) => ok(pair(request, '"CACHE_MISS"')),
    put: (request) => ok(pair(request, request.value)),
    stored: message("STORED"),
    notStored: message("NOT_STORED"),
    removed: message("REMOVED"),
    notFound: message("NOT_FOUND"),
    flushed: message("FLUSH"),
    pong: { status: 200, contentType: undefined, body: "" },
    notLeader: notFound,
    nodeSize: () => notFound,
    leader: () => notFound,
    metrics: message
  }
}
