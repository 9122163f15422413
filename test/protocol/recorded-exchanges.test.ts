import { describe, it } from "@effect/vitest"
import { deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { Option } from "effect"
import { stringOf } from "../../src/model/Exchange.js"
import { SnitchMetrics, WatchdogMetrics } from "../../src/model/Metrics.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import type * as Protocol from "../../src/protocol/Protocol.js"
import { type AnyRequest, dialects, every, parsed, read, reply, rowsIn, v1Metrics, wire } from "./wire.js"

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
    protocol.put(key, () => json, ttl)
const sayAdd =
  (key: string, json: string): Expected["say"] =>
  (protocol) =>
    protocol.add(key, () => json, -1)
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
          deepStrictEqual(JSON.parse(stringOf(request.encode())), exchange.request)
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
            deepStrictEqual(request.decode(reply(body, status)), {
              ok: false,
              fault: { reason: "BadReply", detail: `HTTP status ${status}` }
            } as const)
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
}
