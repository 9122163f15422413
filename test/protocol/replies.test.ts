import { describe, it } from "@effect/vitest"
import { assertMatch, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { FastCheck, Option, Predicate } from "effect"
import type { Dialect } from "../../src/model/Dialect.js"
import type { Reply } from "../../src/model/Exchange.js"
import { SnitchMetrics, WatchdogMetrics } from "../../src/model/Metrics.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import {
  type AnyRequest,
  type Command,
  dialects,
  every,
  notLeaderBody,
  parsed,
  read,
  reply,
  v1Metrics,
  wire,
  words
} from "./wire.js"

// A second reading of the specification, to compare the decoders with

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
    if (key !== "k") return "BadReply"
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

const bodies = [...new Set([...dialects.flatMap((dialect) => wire[dialect].map(({ body }) => body)), ...v1Metrics])]
const documents = [...bodies, notLeaderBody].filter((body) => parsed(body) !== undefined)

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
/** A server's words, with anything in the place of the value. */
const spliced = FastCheck.tuple(
  FastCheck.oneof(
    FastCheck.json(),
    words,
    FastCheck.constantFrom(
      'null,"Value":2',
      '1,"TTL":"x"',
      '1},"Gobj":{"Value":2,"TTL":-1',
      ' "blanks" ',
      '"',
      "\u0000"
    )
  ),
  FastCheck.constantFrom("-1", '"-1"'),
  FastCheck.nat(1),
  words
).map(
  ([value, ttl, status, message]) =>
    `{"Gobj":{"Key":"","Value":${value},"TTL":${ttl}},"Status":${status},"Message":"${message}","Error":""}\n`
)
const anyBody = FastCheck.oneof(
  { weight: 1, arbitrary: body },
  { weight: 1, arbitrary: FastCheck.json() },
  { weight: 1, arbitrary: FastCheck.oneof(FastCheck.string(), FastCheck.string16bits(), words) },
  { weight: 1, arbitrary: truncated },
  { weight: 1, arbitrary: concatenated },
  { weight: 2, arbitrary: edited },
  { weight: 2, arbitrary: flipped },
  { weight: 6, arbitrary: grafted },
  { weight: 3, arbitrary: spliced }
)
const anyStatus = FastCheck.oneof(
  { weight: 8, arbitrary: FastCheck.constant(200) },
  { weight: 2, arbitrary: FastCheck.constantFrom(204, 301, 302, 400, 404, 500, 503) }
)

describe("a reply", () => {
  for (const dialect of dialects) {
    const protocol = Dialects.forDialect(dialect)

    it.prop(
      `${dialect}: any body is what a naive reader takes it for`,
      { body: anyBody, status: anyStatus },
      ({ body, status }) => {
        for (const [command, request] of Object.entries(every(protocol))) {
          const reply = { status, body }
          deepStrictEqual(read(request, reply), naive(dialect, command as Command, reply), command)
        }
      },
      { fastCheck: { numRuns: 1000 } }
    )

    it.prop(
      `${dialect}: a fault tells nothing of the body`,
      { body: anyBody, status: anyStatus },
      ({ body, status }) => {
        for (const request of Object.values<AnyRequest>(every(protocol))) {
          const decoded = request.decode({ status, body })
          if (decoded.ok) continue
          assertMatch(
            decoded.fault.detail,
            /^(HTTP status \d{3}|the body is no (v1|v2|raft) reply|the body answers no ping|the reply is about another key|malformed metrics|the size is no count|the message is no outcome of the command|the node does not lead its raft cluster)$/
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
      strictEqual(
        read(
          put("k", () => "1", -1),
          reply(other)
        ),
        "BadReply",
        other
      )
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
      deepStrictEqual(decode(reply(JSON.stringify({ Key: "k", Value: text, TTL: 0 }))), {
        ok: true,
        answer: Option.some(text)
      })
    }
  })

  it("a v1 reply that names another key answers another request", () => {
    const { get, put } = Dialects.forDialect("v1")
    const named = (Key: string) => reply(JSON.stringify({ Key, Value: "1", TTL: 0 }))
    deepStrictEqual(read(get("k"), named("k")), { answer: Option.some(1) })
    deepStrictEqual(
      read(
        put("k", () => "1", -1),
        named("k")
      ),
      { answer: "STORED" }
    )
    for (const other of ["", "K", "k ", "other"]) {
      strictEqual(read(get("k"), named(other)), "BadReply")
      strictEqual(
        read(
          put("k", () => "1", -1),
          named(other)
        ),
        "BadReply"
      )
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
})
