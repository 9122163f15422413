import { readFileSync } from "node:fs"
import { describe, it } from "@effect/vitest"
import { assertInstanceOf, assertMatch, assertTrue, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { Either, FastCheck, Option, Predicate, Schema } from "effect"
import { Dialect } from "../../src/model/Dialect.js"
import { jsonText, type Reply, stringOf } from "../../src/model/Exchange.js"
import { SnitchMetrics, WatchdogMetrics } from "../../src/model/Metrics.js"
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
const wire = { v1: recorded("v1"), v2: recorded("v2"), raft: recorded("raft") }
const dialects = Dialect.literals

type AnyRequest = Omit<Protocol.Request<unknown>, "unsent">

/** A decoded reply, or the reason it is none. */
const read = (request: AnyRequest, reply: Reply): unknown =>
  Either.match(request.decode(reply), { onLeft: ({ reason }) => reason, onRight: (answer) => ({ answer }) })

const reply = (body: string, status = 200): Reply => ({ status, body })

const every = (protocol: Protocol.Protocol) => ({
  ping: Dialects.ping,
  get: protocol.get("k"),
  put: protocol.put("k", "1", -1),
  add: protocol.add("k", "1", -1),
  delete: protocol.delete("k"),
  flush: protocol.flush,
  nodeSize: protocol.nodeSize,
  getLeader: protocol.getLeader,
  getSnitchMetrics: protocol.getSnitchMetrics,
  getWatchdogMetrics: protocol.getWatchdogMetrics
})
type Command = keyof ReturnType<typeof every>

// The recorded exchanges, each with what it comes to, by hand

interface Expected {
  /** The command's name on the wire. */
  readonly command: string
  readonly say: (protocol: Protocol.Protocol) => AnyRequest
  /** A client of ours says the same; other requests are recorded for the sake of the reply. */
  readonly ours: boolean
  readonly outcome: unknown
}

const ours = (command: string, say: Expected["say"], answer: unknown): Expected => ({
  command,
  say,
  ours: true,
  outcome: { answer }
})
const foreign = (command: string, say: Expected["say"]): Expected => ({
  command,
  say,
  ours: false,
  outcome: "BadReply"
})

const sayGet =
  (key: string): Expected["say"] =>
  (protocol) =>
    protocol.get(key)
const sayPut =
  (key: string, json: string, ttl = -1): Expected["say"] =>
  (protocol) =>
    protocol.put(key, json, ttl)
const sayAdd =
  (key: string, json: string): Expected["say"] =>
  (protocol) =>
    protocol.add(key, json, -1)
const sayDelete =
  (key: string): Expected["say"] =>
  (protocol) =>
    protocol.delete(key)

const v1: ReadonlyArray<Expected> = [
  ours("ping", () => Dialects.ping, "v1"),
  ours("put", sayPut("a", '"x"'), "STORED"),
  ours("put", sayPut("o", '{"x":[1,2]}', 60), "STORED"),
  ours("get", sayGet("a"), Option.some("x")),
  ours("get", sayGet("missing"), Option.none()),
  ours("add", sayAdd("a", '"y"'), "NOT_STORED"),
  ours("add", sayAdd("b", '"y"'), "STORED"),
  ours("delete", sayDelete("a"), "REMOVED"),
  ours("delete", sayDelete("a"), "NOT_FOUND"),
  { ...ours("get", sayGet(""), undefined), outcome: "BadReply" },
  foreign("put", sayPut("e", '"x"')),
  foreign("put", sayPut("o", '{"x":1}')),
  foreign("put", sayPut("a", '"x"')),
  ours("nodeSize", (protocol) => protocol.nodeSize, Option.none()),
  ours("getSnitchMetrics", (protocol) => protocol.getSnitchMetrics, []),
  ours("getWatchdogMetrics", (protocol) => protocol.getWatchdogMetrics, []),
  foreign("get", sayGet("k")),
  ours("flush", (protocol) => protocol.flush, "FLUSHED")
]

/** The rows of a recorded reply, unread. */
const rowsIn = (dialect: "v2" | "raft", command: string): ReadonlyArray<object> => {
  const Rows = Schema.parseJson(Schema.Struct({ Gobj: Schema.Struct({ Value: Schema.Array(Schema.Object) }) }))
  return Schema.decodeSync(Rows)(wire[dialect].find((exchange) => exchange.command === command)?.body ?? "").Gobj.Value
}
const snitch = (dialect: "v2" | "raft") => rowsIn(dialect, "getSysMetrics").map((row) => new SnitchMetrics(row))
const watchdog = rowsIn("v2", "getAppMetrics").map((row) => new WatchdogMetrics(row))

const gobj = (dialect: "v2" | "raft"): ReadonlyArray<Expected> => [
  ours("ping", () => Dialects.ping, dialect),
  ours("put", sayPut("a", '"x"'), "STORED"),
  ours("put", sayPut("o", '{"x":[1,2.5,null,true],"é":"\u2028😀<&>"}', 60), "STORED"),
  ours("put", sayPut("nil", "null"), "STORED"),
  ours("put", sayPut("big", "12345678901234567890"), "STORED"),
  ours("get", sayGet("a"), Option.some("x")),
  ours("get", sayGet("o"), Option.some({ x: [1, 2.5, null, true], é: "\u2028😀<&>" })),
  ours("get", sayGet("nil"), Option.some(null)),
  ours("get", sayGet("big"), Option.some(12345678901234567000)),
  ours("get", sayGet("missing"), Option.none()),
  ours("add", sayAdd("a", '"y"'), "NOT_STORED"),
  ours("add", sayAdd("b", '"y"'), "STORED"),
  ours("delete", sayDelete("a"), "REMOVED"),
  ours("delete", sayDelete("a"), "NOT_FOUND"),
  ours("nodeSize", (protocol) => protocol.nodeSize, Option.some(4)),
  foreign("put", sayPut("wrong", '"x"')),
  foreign("put", sayPut("frac", '"x"', 5)),
  foreign("bogus", sayGet("k")),
  foreign("get", sayGet("k")),
  foreign("get", sayGet("k")),
  ours(
    "getLeader",
    (protocol) => protocol.getLeader,
    dialect === "v2" ? Option.none() : Option.some("127.0.0.1:11000")
  ),
  ours("getSysMetrics", (protocol) => protocol.getSnitchMetrics, snitch(dialect)),
  ours("getAppMetrics", (protocol) => protocol.getWatchdogMetrics, dialect === "v2" ? watchdog : []),
  ours("flush", (protocol) => protocol.flush, "FLUSHED"),
  ours("nodeSize", (protocol) => protocol.nodeSize, Option.some(0))
]

const expected = { v1, v2: gobj("v2"), raft: gobj("raft") }

// A second reading of the specification, to compare the decoders with

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What a reader of the specification takes a reply for: `{ answer }`, or the reason why it is none. */
const naive = (dialect: Dialect, command: Command, { body, status }: Reply): unknown => {
  if (dialect === "v1" && (command === "nodeSize" || command === "getLeader"))
    return status === 404 ? { answer: Option.none() } : "BadReply"
  if (status !== 200) return "BadReply"
  if (command === "ping" && body === "") return { answer: "v1" }
  const document = parsed(body)
  if (!Predicate.isRecord(document)) return "BadReply"
  const { Error: error, Gobj: gobj, Message: message, Status: code } = document
  if (dialect === "v1" && command !== "ping") {
    const { Key: key, TTL: ttl, Value: value } = document
    if (command !== "get" && command !== "put") {
      return typeof message === "string" && gobj === undefined ? naiveMessage(command, message, message) : "BadReply"
    }
    if (typeof key !== "string" || typeof value !== "string" || typeof ttl !== "number") return "BadReply"
    if (command === "put") return { answer: "STORED" }
    if (value === "CACHE_MISS") return { answer: Option.none() }
    return { answer: Option.some(parsed(value) === undefined ? value : parsed(value)) }
  }
  if (!Predicate.isRecord(gobj) || !("Value" in gobj)) return "BadReply"
  if (typeof message !== "string" || typeof error !== "string" || typeof code !== "number") return "BadReply"
  const speaks = typeof gobj.TTL === "number" ? "v2" : typeof gobj.TTL === "string" ? "raft" : undefined
  if (command === "ping") return speaks === undefined ? "BadReply" : { answer: speaks }
  if (speaks !== dialect) return "BadReply"
  if (error === "INVALID_COMMAND_ERR" && (command === "nodeSize" || command === "getLeader")) {
    return { answer: Option.none() }
  }
  if (error === "INVALID_COMMAND_ERR" && command.endsWith("Metrics")) return { answer: [] }
  if (command === "getLeader") {
    return code === 200 ? { answer: message === "" ? Option.none() : Option.some(message) } : "BadReply"
  }
  if (code === 500 && message === "Error commiting to raft cluster") {
    return command === "get" || command.endsWith("Metrics") ? "BadReply" : "NotLeader"
  }
  if (command === "get" && message === "CACHE_MISS") return { answer: Option.none() }
  if (command !== "get" && command !== "nodeSize" && !command.endsWith("Metrics")) {
    return naiveMessage(command, message, "")
  }
  if (message !== "OK") return "BadReply"
  if (command === "get") return { answer: Option.some(gobj.Value) }
  if (command === "nodeSize") {
    const isCount = typeof gobj.Value === "number" && gobj.Value % 1 === 0 && gobj.Value >= 0 && gobj.Value < 2 ** 53
    return isCount ? { answer: Option.some(gobj.Value) } : "BadReply"
  }
  return naiveRows(command, gobj.Value)
}

const naiveMessage = (command: Command, message: string, rows: string): unknown => {
  const known: { readonly [_ in Command]?: ReadonlyArray<string> } = {
    put: ["STORED", "NOT_STORED"],
    add: ["STORED", "NOT_STORED"],
    delete: ["REMOVED", "NOT_FOUND"],
    flush: ["FLUSH", "FLUSHED", "ERR_FLUSH"]
  }
  if (command.endsWith("Metrics")) return naiveRows(command, parsed(rows))
  return known[command]?.includes(message) ? { answer: message === "FLUSH" ? "FLUSHED" : message } : "BadReply"
}

const naiveRows = (command: Command, rows: unknown): unknown => {
  if (rows === null) return { answer: [] }
  if (!Array.isArray(rows)) return "BadReply"
  const fields = command === "getSnitchMetrics" ? SnitchMetrics.fields : WatchdogMetrics.fields
  const answer: Array<unknown> = []
  for (const row of rows) {
    if (!Predicate.isRecord(row)) return "BadReply"
    const read: Record<string, unknown> = {}
    for (const name of Object.keys(fields)) {
      const blank = name === "Timestamp" ? "" : 0
      read[name] = row[name] ?? blank
      if (typeof read[name] !== typeof blank) return "BadReply"
    }
    answer.push(command === "getSnitchMetrics" ? new SnitchMetrics(read) : new WatchdogMetrics(read))
  }
  return { answer }
}

// Bodies that no server meant

const v1Metrics = [rowsIn("v2", "getSysMetrics"), rowsIn("v2", "getAppMetrics")].map(
  (rows) => `${JSON.stringify({ Message: JSON.stringify(rows) })}\n`
)
const notLeaderBody =
  '{"Gobj":{"Key":"","Value":null,"TTL":"-1"},"Status":500,"Message":"Error commiting to raft cluster","Error":""}\n'
const bodies = [...new Set([...dialects.flatMap((dialect) => wire[dialect].map(({ body }) => body)), ...v1Metrics])]
const documents = [...bodies, notLeaderBody].filter((body) => parsed(body) !== undefined)

const words = FastCheck.constantFrom(
  ...["OK", "Pong!", "CACHE_MISS", "STORED", "NOT_STORED", "REMOVED", "NOT_FOUND", "FLUSH", "FLUSHED", "ERR_FLUSH"],
  ...["INVALID_COMMAND_ERR", "Error commiting to raft cluster", "null", "[]", "[{}]", "", "-1", "60", "__proto__"]
)
const body = FastCheck.constantFrom(...bodies)
const where = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

const truncated = FastCheck.tuple(body, where).map(([body, at]) => body.slice(0, Math.floor(at * body.length)))
const concatenated = FastCheck.tuple(body, FastCheck.constantFrom("", " ", "\n", ","), body).map((parts) =>
  parts.join("")
)
const edits = FastCheck.array(
  FastCheck.tuple(
    where,
    FastCheck.nat(8),
    FastCheck.oneof(FastCheck.fullUnicode(), words, FastCheck.constantFrom(...'{}[]",:\\0e-\u0000\u2028\ufeff'))
  ),
  { minLength: 1, maxLength: 6 }
)
const edited = FastCheck.tuple(body, edits).map(([body, edits]) =>
  edits.reduce((text, [where, removed, inserted]) => {
    const at = Math.floor(where * text.length)
    return text.slice(0, at) + inserted + text.slice(at + removed)
  }, body)
)
const flipped = FastCheck.tuple(
  FastCheck.constantFrom(...documents),
  FastCheck.array(FastCheck.tuple(where, FastCheck.nat(7)), { minLength: 1 })
).map(([body, flips]) => {
  const bytes = Buffer.from(body)
  for (const [where, bit] of flips) {
    const at = Math.floor(where * bytes.length)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
  }
  return bytes.toString("utf8")
})
/** Members of a reply replaced, or left out where `undefined` replaces them. */
const grafted = FastCheck.tuple(
  FastCheck.constantFrom(...documents),
  FastCheck.array(
    FastCheck.tuple(
      where,
      FastCheck.oneof(
        words,
        FastCheck.jsonValue(),
        FastCheck.constantFrom(undefined, 200, 500, Number.POSITIVE_INFINITY)
      )
    )
  )
).map(([body, grafts]) =>
  grafts.reduce((text, [where, graft]) => {
    let members = 0
    JSON.parse(text, () => members++)
    let member = 0
    const grafted = JSON.parse(text, (_, value) => (member++ === Math.floor(where * members) ? graft : value))
    return JSON.stringify(grafted) ?? "null"
  }, body)
)
const anyBody = FastCheck.oneof(
  { weight: 1, arbitrary: body },
  { weight: 1, arbitrary: FastCheck.json() },
  { weight: 1, arbitrary: FastCheck.oneof(FastCheck.string(), FastCheck.string16bits(), words) },
  { weight: 1, arbitrary: truncated },
  { weight: 1, arbitrary: concatenated },
  { weight: 2, arbitrary: edited },
  { weight: 2, arbitrary: flipped },
  { weight: 6, arbitrary: grafted }
)
const anyStatus = FastCheck.oneof(
  { weight: 8, arbitrary: FastCheck.constant(200) },
  { weight: 2, arbitrary: FastCheck.constantFrom(204, 301, 302, 400, 404, 500, 503) }
)

// What a server does with a value

/** JSON as Go writes it. */
const goJson = (value: unknown): string =>
  `${JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`

const member = (value: unknown, name: string): unknown => (Predicate.isRecord(value) ? value[name] : undefined)

/** The reply to a get of what a put has stored. */
const stored = (dialect: Dialect, { body }: Protocol.Request<unknown>): string => {
  const request: unknown = JSON.parse(stringOf(body))
  if (dialect === "v1") return goJson({ Key: member(request, "Key"), Value: member(request, "Value"), TTL: 0 })
  const TTL = dialect === "v2" ? -1 : "-1"
  const Value = member(member(request, "Gobj"), "Value")
  return goJson({ Gobj: { Key: "", Value, TTL }, Status: 1, Message: "OK", Error: "" })
}

const hostile = [
  ["null", "null"],
  ["what v1 says of a miss", '"CACHE_MISS"'],
  ["a whole reply", '{"Gobj":{"Key":"","Value":null,"TTL":-1},"Status":0,"Message":"CACHE_MISS","Error":""}'],
  ["a text that is JSON", '"{\\"a\\":1}"'],
  ["the empty string", '""'],
  [
    "the prototype",
    '{"__proto__":{"Message":"CACHE_MISS"},"constructor":{"prototype":1},"toString":null,"hasOwnProperty":0}'
  ],
  ["nothing but the prototype", '{"__proto__":null}'],
  ["the prototype in a list", '[{"__proto__":[]},{"__proto__":{"__proto__":1}}]'],
  ["keys that are indexes", '{"1":"b","0":"a","-1":"c","length":3}'],
  ["one key twice", '{"a":1,"a":2}'],
  ["the empty key", '{"":{"":""}}'],
  ["huge numbers", "[1.7976931348623157e308,-1.7976931348623157e308,12345678901234567890,9007199254740993]"],
  ["tiny numbers", "[5e-324,-5e-324,0.1,1e-7,1e21,0]"],
  ["line separators", '"\u2028\u2029"'],
  ["escapes", '"\\u0000\\u001f\\"\\\\\\/\\b\\f\\n\\r\\t\\u2028\\ud83d\\ude00"'],
  ["lone surrogates", '["\\ud800","\\udc00x"]'],
  ["markup", '"<script>&amp;</script>"'],
  ["blanks around", ' \n\t{ "a" : [ 1 , 2 ] } \r\n']
] as const

describe("Protocol", () => {
  for (const dialect of dialects) {
    const protocol = Dialects.forDialect(dialect)

    describe(`${dialect}: recorded exchanges`, () => {
      it("are all here", () => {
        deepStrictEqual(
          wire[dialect].map(({ command }) => command),
          expected[dialect].map(({ command }) => command)
        )
      })

      wire[dialect].forEach((exchange, at) => {
        const { ours, outcome, say } = expected[dialect][at]!
        const request = say(protocol)
        it(`${at}: ${exchange.command} ${JSON.stringify(exchange.request)} ${exchange.note}`, () => {
          if (ours) {
            strictEqual(request.command, exchange.command)
            deepStrictEqual(JSON.parse(stringOf(request.body)), exchange.request)
          }
          deepStrictEqual(read(request, exchange), outcome)
        })
      })

      it("of commands that it does not have tell of nothing", () => {
        for (const exchange of wire[dialect].filter(({ body }) => body.includes("INVALID_COMMAND_ERR"))) {
          for (const [command, request] of Object.entries(every(protocol))) {
            const answers: Record<string, unknown> = {
              ping: { answer: dialect },
              nodeSize: { answer: Option.none() },
              getLeader: { answer: Option.none() },
              getSnitchMetrics: { answer: [] },
              getWatchdogMetrics: { answer: [] }
            }
            deepStrictEqual(read(request, exchange), answers[command] ?? "BadReply", command)
          }
        }
      })

      it("are no answers in another dialect", () => {
        for (const other of dialects.filter((other) => other !== dialect)) {
          const { ping: _, ...commands } = every(Dialects.forDialect(other))
          for (const { body } of [...wire[dialect], ...(dialect === "v1" ? v1Metrics.map((body) => ({ body })) : [])]) {
            for (const [command, request] of Object.entries(commands)) {
              strictEqual(read(request, reply(body)), "BadReply", `${other} ${command} ${body}`)
            }
          }
        }
      })

      it("are no answers under any other HTTP status", () => {
        for (const { body } of wire[dialect]) {
          for (const status of [100, 201, 204, 301, 302, 400, 401, 404, 500, 503]) {
            for (const [command, request] of Object.entries(every(protocol))) {
              if (dialect === "v1" && ["nodeSize", "getLeader"].includes(command) && status === 404) continue
              deepStrictEqual(
                request.decode(reply(body, status)),
                Either.left({ reason: "BadReply", detail: `HTTP status ${status}` })
              )
            }
          }
        }
      })

      it("are no answers twice in one body, or after an error document", () => {
        for (const { body } of wire[dialect].filter(({ body }) => body !== "")) {
          for (const twice of [body + body, `{}\n${body}`, `${body}{}`, `null ${body}`, `${body},`, `\ufeff${body}`]) {
            for (const [command, request] of Object.entries(every(protocol))) {
              strictEqual(read(request, reply(twice)), "BadReply", `${command} ${twice}`)
            }
          }
        }
      })

      it("are no answers cut short", () => {
        for (const { body } of wire[dialect].filter(({ body }) => parsed(body) !== undefined)) {
          const document = body.trimEnd()
          // every cut of a long body would take long, and its head is that of the others
          const step = document.length > 1000 ? 97 : 1
          for (let length = document.length - 1; length > 0; length -= step) {
            for (const [command, request] of Object.entries(every(protocol))) {
              strictEqual(read(request, reply(document.slice(0, length))), "BadReply", `${command} ${length} ${body}`)
            }
          }
        }
      })
    })

    describe(`${dialect}: requests`, () => {
      it("are answered by the least where they are too large", () => {
        strictEqual(protocol.put("k", "1", -1).unsent, "NOT_STORED")
        strictEqual(protocol.add("k", "1", -1).unsent, "NOT_STORED")
        strictEqual(protocol.delete("k").unsent, "NOT_FOUND")
        deepStrictEqual(protocol.get("k").unsent, Option.none())
      })

      it("know whether the empty key is one", () => {
        strictEqual(protocol.allowsEmptyKey, dialect !== "v1")
        strictEqual(protocol.dialect, dialect)
      })

      it.prop(
        "hold key, value and TTL in one JSON document",
        {
          key: FastCheck.oneof(FastCheck.string(), FastCheck.fullUnicodeString(), words),
          value: FastCheck.jsonValue({ stringUnit: "binary" }),
          ttl: FastCheck.oneof(FastCheck.constant(-1), FastCheck.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
        },
        ({ key, ttl, value }) => {
          const json = JSON.stringify(value)
          const written = JSON.parse(json)
          const pair = {
            v1: { Key: key, Value: json, TTL: ttl },
            v2: { Gobj: { Key: key, Value: written, TTL: ttl } },
            raft: { Gobj: { Key: key, Value: written, TTL: String(ttl) } }
          }[dialect]
          const alone = dialect === "v1" ? { Key: key } : { Gobj: { Key: key } }
          deepStrictEqual(JSON.parse(stringOf(protocol.put(key, json, ttl).body)), pair)
          deepStrictEqual(JSON.parse(stringOf(protocol.add(key, json, ttl).body)), pair)
          deepStrictEqual(JSON.parse(stringOf(protocol.get(key).body)), alone)
          deepStrictEqual(JSON.parse(stringOf(protocol.delete(key).body)), alone)
        },
        { fastCheck: { numRuns: 1000 } }
      )
    })

    describe(`${dialect}: values`, () => {
      it.prop(
        "come back as they went",
        { key: FastCheck.string(), value: FastCheck.jsonValue({ stringUnit: "binary" }) },
        ({ key, value }) => {
          const json = JSON.stringify(value)
          const body = stored(dialect, protocol.put(key, json, -1))
          deepStrictEqual(read(protocol.get(key), reply(body)), { answer: Option.some(JSON.parse(json)) })
        },
        { fastCheck: { numRuns: 2000 } }
      )

      for (const [name, json] of hostile) {
        it(`come back as they went: ${name}`, () => {
          const body = stored(dialect, protocol.put("k", json, -1))
          deepStrictEqual(protocol.get("k").decode(reply(body)), Either.right(Option.some(JSON.parse(json))))
          assertTrue(!("Message" in Object.prototype))
        })
      }

      it("come back as they went: kept and sent as bytes", () => {
        const value = "é😀\u2028 ".repeat(20_000)
        const json = jsonText(JSON.stringify(value))
        const put = protocol.put("k", json, -1)
        for (const text of [json, put.body, protocol.add("k", json, 60).body]) assertTrue(text instanceof Uint8Array)
        deepStrictEqual(read(protocol.get("k"), reply(stored(dialect, put))), { answer: Option.some(value) })
      })

      it("come back as they went, but for minus zero, which JSON.stringify does not know", () => {
        const body = stored(dialect, protocol.put("k", JSON.stringify([-0]), -1))
        deepStrictEqual(read(protocol.get("k"), reply(body)), { answer: Option.some([0]) })
      })

      it("come back as they went: 100,000 lists in each other", () => {
        const depth = 100_000
        const json = "[".repeat(depth) + "]".repeat(depth)
        const body =
          dialect === "v1"
            ? `{"Key":"k","Value":"${json}","TTL":0}`
            : `{"Gobj":{"Key":"","Value":${json},"TTL":${dialect === "v2" ? "-1" : '"-1"'}},"Status":1,"Message":"OK","Error":""}`
        const value = Option.getOrThrow(Either.getOrThrow(protocol.get("k").decode(reply(body))))
        let found = 0
        for (let list: unknown = value; Array.isArray(list); list = list[0]) found++
        strictEqual(found, depth)
        for (const [command, request] of Object.entries(every(protocol))) {
          assertTrue(Either.isEither(request.decode(reply(json))), command)
        }
      })
    })

    it.prop(
      `${dialect}: any body is what a naive reader takes it for`,
      { body: anyBody, status: anyStatus },
      ({ body, status }) => {
        for (const [command, request] of Object.entries(every(protocol))) {
          const reply = { status, body }
          deepStrictEqual(read(request, reply), naive(dialect, command as Command, reply), command)
        }
      },
      { fastCheck: { numRuns: 3000 }, timeout: 30_000 }
    )

    it.prop(
      `${dialect}: a fault tells nothing of the body`,
      { body: anyBody, status: anyStatus },
      ({ body, status }) => {
        for (const request of Object.values<AnyRequest>(every(protocol))) {
          const decoded = request.decode({ status, body })
          if (Either.isRight(decoded)) continue
          assertMatch(
            decoded.left.detail,
            /^(HTTP status \d{3}|the body is no (v1|v2|raft) reply|the body answers no ping|malformed metrics|the size is no count|the message is no outcome of the command|the node does not lead its raft cluster)$/
          )
        }
      },
      { fastCheck: { numRuns: 500 } }
    )
  }

  it.prop(
    "the ping tells the dialect by the type of the TTL",
    { message: FastCheck.string(), status: FastCheck.integer() },
    ({ message, status }) => {
      const body = (ttl: unknown) =>
        reply(JSON.stringify({ Gobj: { Key: "", Value: null, TTL: ttl }, Status: status, Message: message, Error: "" }))
      deepStrictEqual(read(Dialects.ping, body(-1)), { answer: "v2" })
      deepStrictEqual(read(Dialects.ping, body("-1")), { answer: "raft" })
      deepStrictEqual(read(Dialects.ping, reply("")), { answer: "v1" })
      for (const ttl of [null, undefined, true, [], {}]) strictEqual(read(Dialects.ping, body(ttl)), "BadReply")
      for (const blank of [" ", "\n", "{}", "null", '"Pong!"', "Pong!"]) {
        strictEqual(read(Dialects.ping, reply(blank)), "BadReply")
      }
    }
  )

  it("a raft follower's answer to a write is NotLeader, and to a read a bad reply", () => {
    const protocol = Dialects.forDialect("raft")
    const outcomes = Object.entries(every(protocol)).map(([command, request]) => [
      command,
      read(request, reply(notLeaderBody))
    ])
    deepStrictEqual(Object.fromEntries(outcomes), {
      ping: { answer: "raft" },
      get: "BadReply",
      put: "NotLeader",
      add: "NotLeader",
      delete: "NotLeader",
      flush: "NotLeader",
      nodeSize: "NotLeader",
      getLeader: "BadReply",
      getSnitchMetrics: "BadReply",
      getWatchdogMetrics: "BadReply"
    })
  })

  it("a refusal is told by status and message together", () => {
    const { put } = Dialects.forDialect("raft")
    for (const other of [
      notLeaderBody.replace("500", "1"),
      notLeaderBody.replace("commiting", "committing"),
      notLeaderBody.replace("Error commiting to raft cluster", "Internal error")
    ]) {
      strictEqual(read(put("k", "1", -1), reply(other)), "BadReply", other)
    }
  })

  it("a raft member tells the leader's address, or that there is none", () => {
    const body = (message: string, status: number) =>
      reply(JSON.stringify({ Gobj: { Key: "", Value: null, TTL: "-1" }, Status: status, Message: message, Error: "" }))
    const { getLeader } = Dialects.forDialect("raft")
    deepStrictEqual(read(getLeader, body("10.0.0.1:11000", 200)), { answer: Option.some("10.0.0.1:11000") })
    deepStrictEqual(read(getLeader, body("", 200)), { answer: Option.none() })
    strictEqual(read(getLeader, body("Pong!", 1)), "BadReply")
    strictEqual(read(getLeader, body("CACHE_MISS", 0)), "BadReply")
  })

  it("a flush is done as FLUSH or FLUSHED, or has failed", () => {
    const body = {
      v1: (message: string) => JSON.stringify({ Message: message }),
      v2: (message: string) =>
        JSON.stringify({ Gobj: { Key: "", Value: null, TTL: -1 }, Status: 1, Message: message, Error: "" }),
      raft: (message: string) =>
        JSON.stringify({ Gobj: { Key: "", Value: null, TTL: "-1" }, Status: 1, Message: message, Error: "" })
    }
    for (const dialect of dialects) {
      const { flush } = Dialects.forDialect(dialect)
      deepStrictEqual(read(flush, reply(body[dialect]("FLUSH"))), { answer: "FLUSHED" })
      deepStrictEqual(read(flush, reply(body[dialect]("FLUSHED"))), { answer: "FLUSHED" })
      deepStrictEqual(read(flush, reply(body[dialect]("ERR_FLUSH"))), { answer: "ERR_FLUSH" })
      for (const message of ["", "flush", "OK", "STORED", "Pong!"]) {
        strictEqual(read(flush, reply(body[dialect](message))), "BadReply")
      }
    }
  })

  it("a v1 value that is not JSON is the text that another client has stored", () => {
    const { decode } = Dialects.forDialect("v1").get("k")
    for (const text of ["hello", "", "{", "CACHE_MISS ", "'x'", "undefined", "NaN", "01"]) {
      deepStrictEqual(decode(reply(JSON.stringify({ Key: "k", Value: text, TTL: 0 }))), Either.right(Option.some(text)))
    }
  })

  it("a node's size is a count", () => {
    for (const dialect of ["v2", "raft"] as const) {
      const { nodeSize } = Dialects.forDialect(dialect)
      const TTL = dialect === "v2" ? "-1" : '"-1"'
      const body = (value: string, message = "OK") =>
        reply(`{"Gobj":{"Key":"","Value":${value},"TTL":${TTL}},"Status":1,"Message":"${message}","Error":""}`)
      deepStrictEqual(read(nodeSize, body("65536")), { answer: Option.some(65536) })
      for (const value of ["-1", "1.5", "1e400", "9007199254740993", '"4"', "null", "[4]", "true"]) {
        strictEqual(read(nodeSize, body(value)), "BadReply", value)
      }
      strictEqual(read(nodeSize, body("4", "STORED")), "BadReply")
    }
  })

  describe("metrics", () => {
    const bodyOf = {
      v1: (rows: string) => JSON.stringify({ Message: rows }),
      v2: (rows: string) => `{"Gobj":{"Key":"","Value":${rows},"TTL":-1},"Status":1,"Message":"OK","Error":""}`,
      raft: (rows: string) => `{"Gobj":{"Key":"","Value":${rows},"TTL":"-1"},"Status":1,"Message":"OK","Error":""}`
    }
    const decode = (dialect: Dialect, rows: string) => {
      const protocol = Dialects.forDialect(dialect)
      return {
        snitch: Either.getOrUndefined(protocol.getSnitchMetrics.decode(reply(bodyOf[dialect](rows)))),
        watchdog: Either.getOrUndefined(protocol.getWatchdogMetrics.decode(reply(bodyOf[dialect](rows))))
      }
    }

    it("are rows of every recorded field", () => {
      for (const dialect of dialects) {
        const system = rowsIn("raft", "getSysMetrics")
        const { snitch } = decode(dialect, JSON.stringify(system))
        strictEqual(system.length, 7)
        deepStrictEqual(
          snitch?.map((row) => ({ ...row })),
          system
        )
        for (const row of snitch ?? []) assertInstanceOf(row, SnitchMetrics)
        const application = rowsIn("v2", "getAppMetrics")
        const { watchdog } = decode(dialect, JSON.stringify(application))
        strictEqual(application.length, 4)
        deepStrictEqual(
          watchdog?.map((row) => ({ ...row })),
          application
        )
        for (const row of watchdog ?? []) assertInstanceOf(row, WatchdogMetrics)
      }
    })

    it("that are missing or null are 0, an unknown one is passed over", () => {
      for (const dialect of dialects) {
        const { snitch, watchdog } = decode(
          dialect,
          '[{},{"Timestamp":null,"Alloc":null,"CacheMiss":null,"NumGC":2,"GetRequests":7,"Tomorrow":{"a":1}}]'
        )
        deepStrictEqual(snitch, [new SnitchMetrics({}), new SnitchMetrics({ NumGC: 2 })])
        deepStrictEqual(watchdog, [new WatchdogMetrics({}), new WatchdogMetrics({ GetRequests: 7 })])
        strictEqual(snitch?.[0]?.Alloc, 0)
        strictEqual(snitch?.[0]?.Timestamp, "")
      }
    })

    it("are none before the first interval", () => {
      for (const dialect of dialects) {
        for (const rows of ["null", "[]"]) deepStrictEqual(decode(dialect, rows), { snitch: [], watchdog: [] })
      }
    })

    it("that are no rows of numbers are a bad reply", () => {
      for (const dialect of dialects) {
        for (const rows of [
          "{}",
          "1",
          '"[]"',
          "[null]",
          "[[]]",
          "[1]",
          '[{"Timestamp":1}]',
          '[{"Alloc":"1","CacheMiss":"1"}]',
          '[{},{"NumGC":true,"Stored":true}]'
        ]) {
          deepStrictEqual(decode(dialect, rows), { snitch: undefined, watchdog: undefined }, `${dialect} ${rows}`)
        }
      }
    })
  })
})
