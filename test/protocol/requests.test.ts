import { describe, it } from "@effect/vitest"
import { deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { FastCheck, Option } from "effect"
import { stringOf } from "../../src/model/Exchange.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import { dialects, words } from "./wire.js"

for (const dialect of dialects) {
  const protocol = Dialects.forDialect(dialect)

  describe(`${dialect}: requests`, () => {
    it("are answered by the least where they are too large", () => {
      strictEqual(protocol.put("k", () => "1", -1).whenTooLarge, "NOT_STORED")
      strictEqual(protocol.add("k", () => "1", -1).whenTooLarge, "NOT_STORED")
      strictEqual(protocol.delete("k").whenTooLarge, "NOT_FOUND")
      deepStrictEqual(protocol.get("k").whenTooLarge, Option.none())
    })

    it("know whether the empty key is one", () => {
      strictEqual(protocol.allowsEmptyKey, dialect !== "v1")
      strictEqual(protocol.dialect, dialect)
    })

    it.prop(
      "hold key, value and TTL in one JSON document",
      {
        key: FastCheck.oneof(FastCheck.string(), FastCheck.fullUnicodeString(), words),
        value: FastCheck.jsonValue({ stringUnit: FastCheck.fullUnicode() }),
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
        deepStrictEqual(JSON.parse(stringOf(protocol.put(key, () => json, ttl).encode())), pair)
        deepStrictEqual(JSON.parse(stringOf(protocol.add(key, () => json, ttl).encode())), pair)
        deepStrictEqual(JSON.parse(stringOf(protocol.get(key).encode())), alone)
        deepStrictEqual(JSON.parse(stringOf(protocol.delete(key).encode())), alone)
      },
      { fastCheck: { numRuns: 1000 } }
    )
  })
}
