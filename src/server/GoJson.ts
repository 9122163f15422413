/**
 * The server's side of the three dialects: what a node reads from a request body, and how it writes its replies, byte
 * for byte as the Go servers do.
 */
import type { Dialect } from "../protocol/Protocol.js"

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
const textType = "text/plain; charset=utf-8"

const ok = (body: string): NodeReply => ({ status: 200, contentType: jsonType, body })

const unlikeGo = /[<>&\u2028\u2029]|\\ud/

/** A string as Go's `encoding/json` writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, a lone surrogate lost. */
export const goString = (text: string): string => {
  const json = JSON.stringify(text)
  return unlikeGo.test(json)
    ? json.replace(/[<>&\u2028\u2029]|\\(?:u[0-9a-f]{4}|.)/g, (match) =>
        match.startsWith("\\")
          ? match.startsWith("\\ud")
            ? "\ufffd"
            : match
          : `\\u${match.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
    : json
}

/** A parsed JSON value as Go's `encoding/json` writes it: strings as {@link goString}, the keys of objects sorted. */
export const goJson = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return goString(value)
    case "number":
      return Object.is(value, -0) ? "-0" : JSON.stringify(value)
    case "boolean":
      return value ? "true" : "false"
    default:
      break
  }
  if (typeof value !== "object" || value === null) return "null"
  let separator = ""
  if (Array.isArray(value)) {
    let json = "["
    for (const item of value) {
      json += separator + goJson(item)
      separator = ","
    }
    return `${json}]`
  }
  const members: Array<[string, unknown]> = Object.entries(value)
  if (members.length > 1) members.sort(([a], [b]) => (a < b ? -1 : 1))
  let json = "{"
  for (const [key, member] of members) {
    json += `${separator}${goString(key)}:${goJson(member)}`
    separator = ","
  }
  return `${json}}`
}

const unreadable = (problem: string): NodeRequest => ({ key: "", value: "null", ttl: 0, problem })

const parse = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const decimal = /^-?\d+$/

const ttlOf = (value: unknown, dialect: Dialect): number | undefined => {
  const seconds =
    dialect !== "raft" ? value : typeof value === "string" && decimal.test(value) ? Number(value) : undefined
  return Number.isSafeInteger(seconds) ? Number(seconds) : undefined
}

/** The JSON text of a value, or nothing where it is nested deeper than the stack lets us follow. */
const valueText = (value: unknown): string | undefined => {
  try {
    return goJson(value)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

const decodeV1 = (body: string, entry: boolean): NodeRequest => {
  const pair = parse(body)
  if (pair === undefined) return { ...unreadable("the request body is not JSON"), value: '""' }
  if (!isRecord(pair)) return { ...unreadable("the request body is not a JSON object"), value: '""' }
  const key = typeof pair.Key === "string" ? pair.Key : ""
  const value = typeof pair.Value === "string" ? goString(pair.Value) : '""'
  const ttl = ttlOf(pair.TTL, "v1")
  const problem =
    key === ""
      ? '"Key" is not a string of at least one character'
      : !entry
        ? undefined
        : value === '""'
          ? '"Value" is not a string of at least one character'
          : ttl === undefined
            ? '"TTL" is not a whole number of seconds'
            : undefined
  return { key, value, ttl: ttl ?? 0, problem }
}

const decodeGobj = (dialect: "v2" | "raft") => {
  const ttlProblem =
    dialect === "v2" ? '"TTL" is not a whole number of seconds' : '"TTL" is not a string of a whole number of seconds'
  return (body: string, entry: boolean): NodeRequest => {
    const document = parse(body)
    if (document === undefined) return unreadable("the request body is not JSON")
    if (!isRecord(document) || !isRecord(document.Gobj)) return unreadable('the request body has no "Gobj" object')
    const { Key, TTL, Value } = document.Gobj
    const key = typeof Key === "string" ? Key : ""
    const problem = typeof Key === "string" ? undefined : '"Key" is not a string'
    if (!entry) return { key, value: "null", ttl: 0, problem }
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

/** A JSON value in a text. `end` is where Go reports it: after a literal, after the bracket that opens a container. */
interface Located {
  readonly kind: "object" | "array" | "string" | "number" | "bool" | "null"
  readonly text: string
  readonly end: number
  readonly members: Array<readonly [key: string, value: Located]>
}

const blanks = /[ \t\r\n]*/y
const token =
  /[{}[\]:,]|"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\u0000-\u001f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

const kinds: { readonly [first: string]: Located["kind"] } = {
  "{": "object",
  "[": "array",
  '"': "string",
  t: "bool",
  f: "bool",
  n: "null"
}

const goMaxDepth = 10_000

/** Reads a JSON text and keeps where things are in it; or gives the index of the first character that is not JSON. */
const locate = (text: string): Located | number => {
  const open: Array<{ readonly container: Located; key: string }> = []
  let root: Located | undefined
  let expected: "value" | "firstValue" | "key" | "firstKey" | "colon" | "comma" | "nothing" = "value"
  let at = 0
  for (;;) {
    blanks.lastIndex = at
    blanks.test(text)
    at = blanks.lastIndex
    if (at === text.length) return expected === "nothing" && root !== undefined ? root : at
    token.lastIndex = at
    const found = token.exec(text)?.[0]
    if (found === undefined) return at
    const within = open[open.length - 1]
    if (found === "}" || found === "]") {
      const kind = found === "}" ? "object" : "array"
      const first = found === "}" ? "firstKey" : "firstValue"
      if (within?.container.kind !== kind || (expected !== "comma" && expected !== first)) return at
      open.pop()
      expected = open.length === 0 ? "nothing" : "comma"
    } else if (found === ",") {
      if (expected !== "comma") return at
      expected = within?.container.kind === "object" ? "key" : "value"
    } else if (found === ":") {
      if (expected !== "colon") return at
      expected = "value"
    } else if (within !== undefined && (expected === "key" || expected === "firstKey")) {
      if (!found.startsWith('"')) return at
      within.key = String(JSON.parse(found))
      expected = "colon"
    } else if (expected === "value" || expected === "firstValue") {
      const kind = kinds[found.charAt(0)] ?? "number"
      const value: Located = { kind, text: found, end: at + found.length, members: [] }
      if (within === undefined) root = value
      else if (within.container.kind === "object") within.container.members.push([within.key, value])
      if (kind === "object" || kind === "array") {
        if (open.length === goMaxDepth) return at
        open.push({ container: value, key: "" })
        expected = kind === "object" ? "firstKey" : "firstValue"
      } else {
        expected = within === undefined ? "nothing" : "comma"
      }
    } else {
      return at
    }
    at += found.length
  }
}

/** Go counts bytes. */
const byteOffset = (text: string, index: number): number => new TextEncoder().encode(text.slice(0, index)).length

/** The JSON that Go makes of the first error that it meets when it decodes `body` into its request, or "". */
const goErrorDocument = (dialect: Dialect) => {
  const mismatch = (body: string, value: Located, struct: string, field: string): string =>
    `{"Value":${goString(value.kind === "number" && field.endsWith("TTL") ? `number ${value.text}` : value.kind)},` +
    `"Type":{},"Offset":${byteOffset(body, value.end)},"Struct":"${struct}","Field":"${field}"}\n`

  const checkTtl = (body: string, value: Located, struct: string, field: string): string => {
    if (dialect !== "raft") {
      return value.kind === "number" && decimal.test(value.text) ? "" : mismatch(body, value, struct, field)
    }
    // A number in a string: Go has an error type for what is a number but no integer, and one that says nothing for
    // whatever else it finds there.
    const quoted: unknown = value.kind === "string" ? JSON.parse(value.text) : undefined
    if (typeof quoted !== "string" || !/^-?\d/.test(quoted)) return "{}\n"
    return decimal.test(quoted) ? "" : mismatch(body, { ...value, kind: "number", text: quoted }, struct, field)
  }

  const checkFields = (body: string, object: Located, struct: string, prefix: string): string => {
    for (const [name, value] of object.members) {
      if (value.kind === "null") continue
      if (name === "Key" || (name === "Value" && dialect === "v1")) {
        if (value.kind !== "string") return mismatch(body, value, struct, prefix + name)
      } else if (name === "TTL") {
        const error = checkTtl(body, value, struct, prefix + name)
        if (error !== "") return error
      }
    }
    return ""
  }

  return (body: string): string => {
    const root = locate(body)
    if (typeof root === "number") return `{"Offset":${byteOffset(body, root + 1)}}\n`
    if (root.kind === "null") return ""
    if (root.kind !== "object") return mismatch(body, root, "", "")
    if (dialect === "v1") return checkFields(body, root, "kvPair", "")
    for (const [name, value] of root.members) {
      if (name !== "Gobj" || value.kind === "null") continue
      if (value.kind !== "object") return mismatch(body, value, "CacheRequest", "Gobj")
      const error = checkFields(body, value, "CacheObject", "Gobj.")
      if (error !== "") return error
    }
    return ""
  }
}

const makeV1 = (replica: boolean): NodeDialect => {
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
    refuse: (request, entry) =>
      !replica
        ? request.problem === undefined
          ? undefined
          : { ...message(request.problem), status: 400 }
        : request.key === "" || (entry && request.value === '""')
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

const makeGobj = (dialect: "v2" | "raft", replica: boolean): NodeDialect => {
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
    refuse: ({ problem }) =>
      replica || problem === undefined ? undefined : message(0, problem, "INVALID_REQUEST_ERR"),
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

/** The dialect as a node speaks it; `replica` as in {@link CacheNodeOptions}. */
export const makeDialect = (dialect: Dialect, replica: boolean): NodeDialect =>
  dialect === "v1" ? makeV1(replica) : makeGobj(dialect, replica)
