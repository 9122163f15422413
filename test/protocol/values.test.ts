import { describe, it } from "@effect/vitest"
import { assertTrue, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { FastCheck, Option, Predicate } from "effect"
import type { Dialect } from "../../src/model/Dialect.js"
import { jsonText, stringOf } from "../../src/model/Exchange.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import type * as Protocol from "../../src/protocol/Protocol.js"
import { dialects, every, read, reply } from "./wire.js"

// What a server does with a value

/** JSON as Go writes it. */
const goJson = (value: unknown): string =>
  `${JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`

const member = (value: unknown, name: string): unknown => (Predicate.isRecord(value) ? value[name] : undefined)

/** The reply to a get of what a put has stored. */
const stored = (dialect: Dialect, { encode }: Protocol.Request<unknown>): string => {
  const request: unknown = JSON.parse(stringOf(encode()))
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

for (const dialect of dialects) {
  const protocol = Dialects.forDialect(dialect)

  describe(`${dialect}: values`, () => {
    it.prop(
      "come back as they went",
      { key: FastCheck.string(), value: FastCheck.jsonValue({ stringUnit: FastCheck.fullUnicode() }) },
      ({ key, value }) => {
        const json = JSON.stringify(value)
        const body = stored(
          dialect,
          protocol.put(key, () => json, -1)
        )
        deepStrictEqual(read(protocol.get(key), reply(body)), { answer: Option.some(JSON.parse(json)) })
      },
      { fastCheck: { numRuns: 500 } }
    )

    for (const [name, json] of hostile) {
      it(`come back as they went: ${name}`, () => {
        const body = stored(
          dialect,
          protocol.put("k", () => json, -1)
        )
        deepStrictEqual(protocol.get("k").decode(reply(body)), { ok: true, answer: Option.some(JSON.parse(json)) })
        assertTrue(!("Message" in Object.prototype))
      })
    }

    it("come back as they went: kept and sent as bytes", () => {
      const value = "é😀\u2028 ".repeat(20_000)
      const json = jsonText(JSON.stringify(value))
      const put = protocol.put("k", () => json, -1)
      for (const text of [json, put.encode(), protocol.add("k", () => json, 60).encode()])
        assertTrue(text instanceof Uint8Array)
      deepStrictEqual(read(protocol.get("k"), reply(stored(dialect, put))), { answer: Option.some(value) })
    })

    it("come back as they went, but for minus zero, which JSON.stringify does not know", () => {
      const body = stored(
        dialect,
        protocol.put("k", () => JSON.stringify([-0]), -1)
      )
      deepStrictEqual(read(protocol.get("k"), reply(body)), { answer: Option.some([0]) })
    })

    it("come back as they went: 100,000 lists in each other", () => {
      const depth = 100_000
      const json = "[".repeat(depth) + "]".repeat(depth)
      const body =
        dialect === "v1"
          ? `{"Key":"k","Value":"${json}","TTL":0}`
          : `{"Gobj":{"Key":"","Value":${json},"TTL":${dialect === "v2" ? "-1" : '"-1"'}},"Status":1,"Message":"OK","Error":""}`
      const decoded = protocol.get("k").decode(reply(body))
      const value = decoded.ok ? Option.getOrUndefined(decoded.answer) : undefined
      let found = 0
      for (let list: unknown = value; Array.isArray(list); list = list[0]) found++
      strictEqual(found, depth)
      for (const [command, request] of Object.entries(every(protocol))) {
        strictEqual(typeof request.decode(reply(json)).ok, "boolean", command)
      }
    })
  })
}
