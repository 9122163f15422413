import { describe, expect, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, FastCheck as fc, Option, TestClock } from "effect"
import { CacheNode, type Dialect } from "effect-ghostdb"
import { goJson, goString } from "../../src/server/GoJson.js"
import * as RaftGroup from "../../src/server/RaftGroup.js"
import wireRaft from "../fixtures/wire-raft.json" with { type: "json" }
import wireV1 from "../fixtures/wire-v1.json" with { type: "json" }
import wireV2 from "../fixtures/wire-v2.json" with { type: "json" }

interface Exchange {
  readonly command: string
  readonly request: unknown
  readonly status: number
  readonly contentType: string | null
  readonly body: string
  readonly note: string
}

const fixtures: { readonly [D in Dialect]: ReadonlyArray<Exchange> } = { v1: wireV1, v2: wireV2, raft: wireRaft }
const dialects: ReadonlyArray<Dialect> = ["v1", "v2", "raft"]

const bodyOf = (request: unknown) => (typeof request === "string" ? request : JSON.stringify(request))

const gobj = (fields: object) => JSON.stringify({ Gobj: fields })
const put = (key: string, value: unknown = key, ttl: unknown = -1) => gobj({ Key: key, Value: value, TTL: ttl })
const get = (key: string) => gobj({ Key: key })

const message = (reply: CacheNode.NodeReply): unknown => JSON.parse(reply.body).Message
const value = (reply: CacheNode.NodeReply): unknown => JSON.parse(reply.body).Gobj.Value

describe("CacheNode", () => {
  describe("with emulateQuirks answers as the real servers do", () => {
    const systemNumbers = (body: string) => body.replace(/("[A-Za-z]+"):\d+(?=[,}])/g, "$1:0")

    // The recordings have rows from before their first command and from after their last write, one a second.
    const rows = { v1: [0, 0], v2: [2, 2], raft: [5, 2] } as const

    for (const dialect of dialects) {
      it.effect(dialect, () =>
        Effect.gen(function* () {
          const [before, after] = rows[dialect]
          const start = Date.parse(dialect === "raft" ? "2026-11-23T05:58:45Z" : "2026-11-23T05:58:37Z")
          yield* TestClock.setTime(start)
          const node = yield* CacheNode.make({ dialect, emulateQuirks: true, metricsInterval: "1 second" })
          const tick = TestClock.adjust("1 second")
          if (before > 0) yield* Effect.repeatN(tick, before - 1)
          let recorded = false
          for (const exchange of fixtures[dialect]) {
            if (exchange.command === "getSysMetrics" && !recorded) {
              recorded = true
              yield* Effect.repeatN(tick, after - 1)
            }
            const reply = yield* node.handle(exchange.command, bodyOf(exchange.request))
            const comparable = exchange.command === "getSysMetrics" ? systemNumbers : (body: string) => body
            expect(
              { ...reply, body: comparable(reply.body) },
              `${exchange.command} ${bodyOf(exchange.request)} ${exchange.note}`
            ).toEqual({
              status: exchange.status,
              contentType: exchange.contentType ?? undefined,
              body: comparable(exchange.body)
            })
          }
          expect(recorded).toBe(dialect !== "v1")
        })
      )
    }
  })

  describe("the error document of a real server", () => {
    const cases: ReadonlyArray<readonly [dialect: Dialect, command: string, body: string, error: string]> = [
      [
        "v2",
        "get",
        '{"Gobj":{"Key":"é","TTL":"1"}}',
        '"string","Type":{},"Offset":29,"Struct":"CacheObject","Field":"Gobj.TTL"'
      ],
      ["v2", "get", '{"Gobj":{"Key":[1]}}', '"array","Type":{},"Offset":16,"Struct":"CacheObject","Field":"Gobj.Key"'],
      ["v2", "get", '{"Gobj":7}', '"number","Type":{},"Offset":9,"Struct":"CacheRequest","Field":"Gobj"'],
      ["v2", "ping", "[]", '"array","Type":{},"Offset":1,"Struct":"","Field":""'],
      [
        "v1",
        "put",
        '{"Key":"k","Value":"1","TTL":true}',
        '"bool","Type":{},"Offset":33,"Struct":"kvPair","Field":"TTL"'
      ],
      ["v1", "get", '{ "Key" : 5, "Value" : 6 }', '"number","Type":{},"Offset":11,"Struct":"kvPair","Field":"Key"']
    ]
    for (const [dialect, command, body, error] of cases) {
      it.effect(`${dialect} ${command} ${body}`, () =>
        Effect.gen(function* () {
          const node = yield* CacheNode.make({ dialect, emulateQuirks: true })
          const reply = yield* node.handle(command, body)
          expect(reply.body.split("\n")[0]).toBe(`{"Value":${error}}`)
          expect(reply.body.split("\n")).toHaveLength(3)
        })
      )
    }

    const syntax: ReadonlyArray<readonly [body: string, offset: number]> = [
      ["{", 1],
      ["{}}", 3],
      ['{"a":1,}', 8],
      ['{"a" 1}', 6],
      ["[1 2]", 4],
      ["[}", 2],
      ['{"é":x}', 7],
      ["1,", 2],
      [":", 1],
      ["{1:2}", 2],
      [`${"[".repeat(10_001)}`, 10_001]
    ]
    it.effect("says where the JSON breaks off, in bytes", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ emulateQuirks: true })
        for (const [body, offset] of syntax) {
          expect((yield* node.handle("ping", body)).body.split("\n")[0], body).toBe(`{"Offset":${offset}}`)
        }
      })
    )

    it.effect("a missing or a null field is no error; its TTL is 0", () =>
      Effect.gen(function* () {
        for (const dialect of ["v2", "raft"] as const) {
          const node = yield* CacheNode.make({ dialect, emulateQuirks: true })
          for (const body of ['{"Gobj":{"Key":"k","Value":1}}', '{"Gobj":{"Key":"k","Value":1,"TTL":null}}']) {
            const reply = yield* node.handle("put", body)
            expect(message(reply)).toBe("STORED")
          }
          expect(yield* node.size).toBe(0)
        }
      })
    )

    it.effect("a wrong TTL stores the value with TTL 0", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ dialect: "v1", emulateQuirks: true })
        const reply = yield* node.handle("put", '{"Key":"k","Value":"1","TTL":"60"}')
        expect(reply.status).toBe(200)
        expect(reply.body.split("\n")[1]).toBe('{"Key":"k","Value":"1","TTL":0}')
        expect(message(yield* node.handle("delete", '{"Key":"k"}'))).toBe("NOT_FOUND")
      })
    )
  })

  describe("a malformed request changes nothing and gets one clear answer", () => {
    const malformed: { readonly [D in Dialect]: ReadonlyArray<readonly [string, string, string]> } = {
      v1: [
        ["get", "garbage", "the request body is not JSON"],
        ["get", "[]", "the request body is not a JSON object"],
        ["get", '{"Key":""}', '"Key" is not a string of at least one character'],
        ["delete", put("k"), '"Key" is not a string of at least one character'],
        ["put", '{"Key":"k","Value":"","TTL":-1}', '"Value" is not a string of at least one character'],
        ["add", '{"Key":"k","Value":"1"}', '"TTL" is not a whole number of seconds'],
        ["put", '{"Key":"k","Value":"1","TTL":"60"}', '"TTL" is not a whole number of seconds']
      ],
      v2: [
        ["get", "", "the request body is not JSON"],
        ["get", '{"Key":"k"}', 'the request body has no "Gobj" object'],
        ["delete", gobj({ Key: 1 }), '"Key" is not a string'],
        ["put", gobj({ Key: "k", TTL: -1 }), '"Value" is missing'],
        ["add", gobj({ Key: "k", Value: 1 }), '"TTL" is not a whole number of seconds'],
        ["put", put("k", 1, 5.5), '"TTL" is not a whole number of seconds'],
        ["put", put("k", 1, "60"), '"TTL" is not a whole number of seconds'],
        [
          "put",
          `{"Gobj":{"Key":"k","Value":${"[".repeat(200_000)}${"]".repeat(200_000)},"TTL":-1}}`,
          '"Value" is nested too deeply'
        ]
      ],
      raft: [
        ["put", put("k", 1, 60), '"TTL" is not a string of a whole number of seconds'],
        ["put", put("k", 1, "5.5"), '"TTL" is not a string of a whole number of seconds'],
        ["add", put("k", 1, ""), '"TTL" is not a string of a whole number of seconds']
      ]
    }
    for (const dialect of dialects) {
      it.effect(dialect, () =>
        Effect.gen(function* () {
          const node = yield* CacheNode.make({ dialect })
          for (const [command, body, problem] of malformed[dialect]) {
            const reply = yield* node.handle(command, body)
            expect(reply.status).toBe(dialect === "v1" ? 400 : 200)
            expect(reply.contentType).toBe("application/json; charset=UTF-8")
            expect(JSON.parse(reply.body)).toEqual(
              dialect === "v1"
                ? { Message: problem }
                : {
                    Gobj: { Key: "", Value: null, TTL: dialect === "raft" ? "-1" : -1 },
                    Status: 0,
                    Message: problem,
                    Error: "INVALID_REQUEST_ERR"
                  }
            )
          }
          expect(yield* node.size).toBe(0)
          expect(message(yield* node.handle("flush", "garbage"))).toBe("FLUSH")
        })
      )
    }
  })

  it.prop(
    "answers any command and any body",
    [
      fc.constantFrom("get", "put", "add", "delete", "ping", "nodeSize", "", "\u0000<'>"),
      fc.oneof(fc.string(), fc.json())
    ],
    ([command, body]) =>
      Effect.gen(function* () {
        for (const dialect of dialects) {
          for (const emulateQuirks of [false, true]) {
            const node = yield* CacheNode.make({ dialect, emulateQuirks })
            for (const text of [body, `{"Gobj":${body}}`, `{"Gobj":{"Key":"k","Value":${body},"TTL":-1}}`]) {
              const reply = node.unsafeHandle(command, text, 0)
              for (const document of reply.contentType?.startsWith("application/json")
                ? reply.body.trim().split("\n")
                : []) {
                expect(JSON.parse(document)).toBeTypeOf("object")
              }
            }
          }
        }
      }).pipe(Effect.runSync)
  )

  describe("JSON as Go writes it", () => {
    it.prop("means the same", [fc.jsonValue()], ([json]) => {
      expect(JSON.parse(goJson(json))).toEqual(json)
    })

    it("differs in a few characters", () => {
      expect(goString('<a href="x">&\u2028\u2029\u007f\n\u0001é😀')).toBe(
        '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\u007f\\n\\u0001é😀"'
      )
      expect(goString("lone \ud800 and \\ud800")).toBe('"lone \ufffd and \\\\ud800"')
      expect(goJson(JSON.parse('{"b":[-0,1e21,1e-7,1e20],"a":{"<":null},"__proto__":true}'))).toBe(
        '{"__proto__":true,"a":{"\\u003c":null},"b":[-0,1e+21,1e-7,100000000000000000000]}'
      )
    })
  })

  describe("eviction", () => {
    const keys = (node: CacheNode.CacheNode) => Effect.map(node.entries, (entries) => entries.map(({ key }) => key))

    it.effect("takes the least recently used; get and put are uses, a look from outside is none", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ keyspaceSize: 3 })
        for (const key of ["a", "b", "c"]) yield* node.handle("put", put(key))
        expect(yield* keys(node)).toEqual(["a", "b", "c"])
        yield* node.handle("get", get("a"))
        yield* node.handle("put", put("b", "again"))
        expect(yield* keys(node)).toEqual(["c", "a", "b"])
        yield* node.handle("put", put("d"))
        expect(yield* keys(node)).toEqual(["a", "b", "d"])
        yield* node.handle("add", put("e"))
        expect(yield* keys(node)).toEqual(["b", "d", "e"])
        expect(message(yield* node.handle("add", put("b")))).toBe("NOT_STORED")
        yield* node.handle("delete", get("e"))
        yield* node.handle("put", put("e"))
        yield* node.handle("put", put("f"))
        expect(yield* keys(node)).toEqual(["d", "e", "f"])
        expect(value(yield* node.handle("nodeSize", "{}"))).toBe(3)
      })
    )

    it.prop("holds the most recent keys", [fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 })], ([touched]) =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ keyspaceSize: 4 })
        for (const key of touched) yield* node.handle("put", put(`${key}`))
        const distinct = touched.map(String).reverse()
        expect(yield* keys(node)).toEqual([...new Set(distinct)].slice(0, 4).reverse())
      }).pipe(Effect.runSync)
    )
  })

  it.effect("holds 256 MiB by default, and `maxMemory` otherwise", () =>
    Effect.gen(function* () {
      const large = "x".repeat(4 * 1024 * 1024)
      const node = yield* CacheNode.make()
      for (let i = 0; i < 70; i++) yield* node.handle("put", put(`${i}`, large))
      expect(Array.from(yield* node.entries, ({ key }) => Number(key))).toEqual(
        Array.from({ length: 63 }, (_, i) => i + 7)
      )

      const small = yield* CacheNode.make({ maxMemory: 1000 })
      expect(message(yield* small.handle("put", put("k", "y".repeat(500))))).toBe("NOT_STORED")
      expect(message(yield* small.handle("put", put("k", "y".repeat(100))))).toBe("STORED")
      expect(message(yield* small.handle("put", put("l", "y".repeat(300))))).toBe("STORED")
      expect(message(yield* small.handle("get", get("k")))).toBe("CACHE_MISS")
      expect(value(yield* small.handle("get", get("l")))).toBe("y".repeat(300))
    })
  )

  describe("expiry", () => {
    for (const dialect of dialects) {
      it.effect(`is exact and absolute in ${dialect}`, () =>
        Effect.gen(function* () {
          const node = yield* CacheNode.make({ dialect })
          const body = (key: string, ttl: number) =>
            dialect === "v1"
              ? JSON.stringify({ Key: key, Value: "1", TTL: ttl })
              : put(key, 1, dialect === "raft" ? `${ttl}` : ttl)
          const key = (key: string) => (dialect === "v1" ? JSON.stringify({ Key: key }) : get(key))
          const hit = (reply: CacheNode.NodeReply) => !reply.body.includes("CACHE_MISS")

          yield* node.handle("put", body("short", 10))
          yield* node.handle("put", body("long", 20))
          yield* node.handle("put", body("forever", -1))
          yield* node.handle("put", body("never", 0))
          expect(yield* node.size).toBe(3)
          yield* TestClock.adjust("9999 millis")
          expect(hit(yield* node.handle("get", key("short")))).toBe(true)
          expect(message(yield* node.handle("add", body("short", 5)))).toBe("NOT_STORED")
          yield* TestClock.adjust("1 millis")
          expect(hit(yield* node.handle("get", key("short")))).toBe(false)
          expect(message(yield* node.handle("add", body("short", 5)))).toBe("STORED")
          yield* TestClock.adjust("10 seconds")
          expect(message(yield* node.handle("delete", key("long")))).toBe("NOT_FOUND")
          expect(yield* node.size).toBe(1)
          if (dialect !== "v1") expect(value(yield* node.handle("nodeSize", "{}"))).toBe(1)
          yield* TestClock.adjust(Duration.days(10_000))
          expect(yield* node.entries).toEqual([{ key: "forever", value: "1", expiresAt: Number.POSITIVE_INFINITY }])
        })
      )
    }

    it.effect("a put starts a new TTL", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make()
        yield* node.handle("put", put("k", 1, 10))
        yield* TestClock.adjust("8 seconds")
        yield* node.handle("put", put("k", 2, 10))
        yield* TestClock.adjust("8 seconds")
        expect(yield* node.entries).toEqual([{ key: "k", value: "2", expiresAt: 18_000 }])
      })
    )
  })

  describe("metrics", () => {
    const use = (node: CacheNode.CacheNode) =>
      Effect.gen(function* () {
        yield* node.handle("put", put("a"))
        yield* node.handle("put", put("b"))
        yield* node.handle("add", put("a"))
        yield* node.handle("add", put("c"))
        yield* node.handle("get", get("a"))
        yield* node.handle("get", get("missing"))
        yield* node.handle("delete", get("a"))
        yield* node.handle("delete", get("a"))
        yield* node.handle("flush", "{}")
        yield* node.handle("ping", "{}")
        yield* node.handle("bogus", "{}")
      })

    it.effect("count what was asked and what came of it", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.parse("2026-01-02T03:04:05.678Z"))
        const node = yield* CacheNode.make()
        expect(value(yield* node.handle("getAppMetrics", "{}"))).toBeNull()
        expect(value(yield* node.handle("getSysMetrics", "{}"))).toBeNull()
        yield* use(node)
        yield* TestClock.adjust("5 minutes")
        expect(value(yield* node.handle("getAppMetrics", "{}"))).toEqual([
          {
            Timestamp: "2026-01-02T03:09:05Z",
            TotalRequests: 9,
            GetRequests: 2,
            PutRequests: 2,
            AddRequests: 2,
            DeleteRequests: 2,
            FlushRequests: 1,
            CacheMiss: 1,
            Stored: 3,
            NotStored: 1,
            Removed: 1,
            NotFound: 1,
            Flushed: 1,
            ErrFlush: 0
          }
        ])
        const [system] = value(yield* node.handle("getSysMetrics", "{}")) as ReadonlyArray<Record<string, unknown>>
        expect(system).toMatchObject({ Timestamp: "2026-01-02T03:09:05Z", NumGC: 0 })
        expect(system?.HeapAlloc).toBeGreaterThan(0)
        expect(yield* node.commandCounts).toEqual({
          get: 2,
          put: 2,
          add: 2,
          delete: 2,
          flush: 1,
          ping: 1,
          nodeSize: 0,
          systemMetrics: 2,
          applicationMetrics: 2,
          getLeader: 0,
          unknown: 1
        })
      })
    )

    it.effect("with emulateQuirks lack what the real servers fail to record", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ emulateQuirks: true, metricsInterval: "1 second" })
        yield* use(node)
        yield* TestClock.adjust("1 second")
        expect(value(yield* node.handle("getAppMetrics", "{}"))).toMatchObject([
          { TotalRequests: 0, GetRequests: 2, PutRequests: 2, AddRequests: 0, NotStored: 1, Stored: 0, Flushed: 0 }
        ])
      })
    )

    it.effect("are JSON inside the message in v1", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ dialect: "v1", metricsInterval: "1 second" })
        yield* node.handle("get", '{"Key":"missing"}')
        yield* TestClock.adjust("2 seconds")
        expect(JSON.parse(String(message(yield* node.handle("getWatchdogMetrics", ""))))).toMatchObject([
          { Timestamp: "1970-01-01T00:00:01Z", TotalRequests: 1, CacheMiss: 1 },
          { Timestamp: "1970-01-01T00:00:02Z", TotalRequests: 1, CacheMiss: 1 }
        ])
        expect(JSON.parse(String(message(yield* node.handle("getSnitchMetrics", ""))))).toHaveLength(2)
      })
    )

    it.effect("keep the latest rows, one for each interval, however long nothing was asked", () =>
      Effect.gen(function* () {
        const node = yield* CacheNode.make({ metricsInterval: "1 second", metricsHistory: 2 })
        const times = Effect.map(node.handle("getAppMetrics", "{}"), ({ body }) =>
          body.match(/(?<="Timestamp":")[^"]+/g)
        )
        yield* TestClock.adjust("5500 millis")
        expect(yield* times).toEqual(["1970-01-01T00:00:04Z", "1970-01-01T00:00:05Z"])
        yield* TestClock.adjust("400 millis")
        expect(yield* times).toEqual(["1970-01-01T00:00:04Z", "1970-01-01T00:00:05Z"])
        yield* TestClock.adjust("100 millis")
        expect(yield* times).toEqual(["1970-01-01T00:00:05Z", "1970-01-01T00:00:06Z"])
        yield* TestClock.setTime(Date.parse("2026-01-01T00:00:00.000Z"))
        expect(yield* times).toEqual(["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"])
      })
    )
  })

  it.effect("clear drops the entries, reset the counters and metrics besides", () =>
    Effect.gen(function* () {
      const node = yield* CacheNode.make({ metricsInterval: "1 second" })
      yield* node.handle("put", put("a"))
      yield* TestClock.adjust("1 second")
      yield* node.clear
      expect(yield* node.size).toBe(0)
      expect((yield* node.commandCounts).put).toBe(1)
      yield* node.handle("put", put("a"))
      yield* node.reset
      expect(yield* node.entries).toEqual([])
      expect((yield* node.commandCounts).put).toBe(0)
      expect(value(yield* node.handle("getAppMetrics", "{}"))).toBeNull()
    })
  )

  describe("in a raft cluster", () => {
    const refusal =
      '{"Gobj":{"Key":"","Value":null,"TTL":"-1"},"Status":500,"Message":"Error commiting to raft cluster","Error":""}\n'

    it.effect("a follower reads, and refuses what goes through the log", () =>
      Effect.gen(function* () {
        const raftGroup = yield* RaftGroup.make()
        const leader = yield* CacheNode.make({ dialect: "raft", raftGroup, raftHost: "10.0.0.1" })
        const node = yield* CacheNode.make({ dialect: "raft", raftGroup, raftHost: "10.0.0.2" })
        yield* leader.handle("put", put("a", 1, "-1"))
        for (const [command, body] of [
          ["put", put("a", 2, "-1")],
          ["add", put("b", 2, "-1")],
          ["delete", get("a")],
          ["flush", "{}"],
          ["nodeSize", "{}"],
          ["bogus", "{}"]
        ] as const) {
          expect((yield* node.handle(command, body)).body, command).toBe(refusal)
        }
        expect(value(yield* node.handle("get", get("a")))).toBe(1)
        expect(message(yield* node.handle("ping", "{}"))).toBe("Pong!")
        expect(value(yield* node.handle("getSysMetrics", "{}"))).toBeNull()
        expect((yield* node.handle("getAppMetrics", "{}")).body).toContain("INVALID_COMMAND_ERR")
        expect(message(yield* node.handle("getLeader", "{}"))).toBe("10.0.0.1:11000")
        yield* leader.stop
        expect(message(yield* node.handle("getLeader", "{}"))).toBe("")
      })
    )
  })

  it.effect("refuses impossible sizes", () =>
    Effect.gen(function* () {
      for (const options of [
        { keyspaceSize: 0 },
        { keyspaceSize: 1.5 },
        { maxMemory: 0 },
        { metricsHistory: Number.NaN },
        { metricsInterval: Duration.zero },
        { metricsInterval: 300 as never }
      ]) {
        const exit = yield* Effect.exit(CacheNode.make(options))
        expect(Option.map(Exit.causeOption(exit), Cause.pretty).pipe(Option.getOrElse(() => ""))).toMatch(
          /(keyspaceSize|maxMemory|metricsHistory) must be a whole number of at least 1, not|metricsInterval must be a Duration or its text/
        )
      }
    })
  )
})
