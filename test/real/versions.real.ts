/**
 * What other clients write is what this one reads, and the other way round: on the ring's owner of each key, as they
 * find it. The requests are those of the Python SDK, byte for byte, and of a client of v1 servers.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { type Dialect, type Json, Ring } from "effect-ghostdb"
import * as RealCluster from "./RealCluster.js"
import { clientOf, figure, scenario } from "./support.js"

interface Sample {
  readonly key: string
  readonly value: Json
  /** The body of the put. */
  readonly put: string
  /** The body of the get. */
  readonly get: string
}

/** As the Python SDK sends it: blanks after colons and commas, and nothing beyond ASCII. */
const fromPython = (key: string, value: Json, keyText: string, valueText: string): Sample => ({
  key,
  value,
  put: `{"Gobj": {"Key": ${keyText}, "Value": ${valueText}, "TTL": -1}}`,
  get: `{"Gobj": {"Key": ${keyText}, "Value": "", "TTL": -1}}`
})

const python: ReadonlyArray<Sample> = [
  fromPython("plain", "text", '"plain"', '"text"'),
  fromPython("with space", 1, '"with space"', "1"),
  fromPython(
    "é 日本語 😀",
    { é: "日本語 😀" },
    String.raw`"\u00e9 \u65e5\u672c\u8a9e \ud83d\ude00"`,
    String.raw`{"\u00e9": "\u65e5\u672c\u8a9e \ud83d\ude00"}`
  ),
  fromPython("float", 0.1, '"float"', "0.1"),
  fromPython("large", 1e300, '"large"', "1e+300"),
  fromPython("int", 2 ** 53, '"int"', "9007199254740992"),
  fromPython("bool", true, '"bool"', "true"),
  fromPython("none", null, '"none"', "null"),
  fromPython("list", [1, [2, [null]], "<&>\u2028"], '"list"', String.raw`[1, [2, [null]], "<&>\u2028"]`),
  fromPython("nested", { a: { b: [true, { c: "d" }] }, "": 1 }, '"nested"', '{"a": {"b": [true, {"c": "d"}]}, "": 1}'),
  fromPython("quotes", '"quoted" \\ \n', '"quotes"', String.raw`"\"quoted\" \\ \n"`),
  fromPython("", "", '""', '""'),
  fromPython("empty list", [], '"empty list"', "[]")
]

/** As a client of v1 servers sends it: the value is a JSON document inside a string. They refuse an empty key. */
const v1: ReadonlyArray<Sample> = python
  .filter(({ key }) => key !== "")
  .map(({ key, value }) => ({
    key,
    value,
    put: JSON.stringify({ Key: key, Value: JSON.stringify(value), TTL: -1 }),
    get: JSON.stringify({ Key: key })
  }))

const GobjReply = Schema.parseJson(Schema.Struct({ Gobj: Schema.Struct({ Value: Schema.Unknown }) }))
const V1Reply = Schema.parseJson(Schema.Struct({ Value: Schema.parseJson() }))

/** A raft server reports a TTL that is a number, as the Python SDK sends it, in a line before the reply. */
const valueIn = (version: Dialect, reply: string) => {
  const last = reply.trimEnd().split("\n").at(-1) ?? ""
  return version === "v1"
    ? Effect.map(Schema.decode(V1Reply)(last), ({ Value }) => Value)
    : Effect.map(Schema.decode(GobjReply)(last), ({ Gobj }) => Gobj.Value)
}

for (const version of RealCluster.versions) {
  describe(`clients of ${version} servers`, () => {
    scenario("what others have put is got here, and what is put here is got by others", () =>
      Effect.gen(function* () {
        const samples = version === "v1" ? v1 : python
        const nodes = yield* RealCluster.make(version, 3)
        const db = yield* clientOf(nodes)
        const ring = Ring.make(nodes.map(({ address }) => address))
        const [leader] = version === "raft" ? yield* RealCluster.ruling(nodes) : []
        const placeOf = (key: string) => leader ?? Option.getOrThrow(Ring.lookup(ring, key))
        for (const { key, put } of samples) yield* RealCluster.post(placeOf(key), "put", put)
        for (const { key, value } of samples) assert.deepStrictEqual(yield* db.get(key), Option.some(value), key)
        yield* db.flush
        for (const { key, value } of samples) assert.strictEqual(yield* db.put(key, value), "STORED")
        for (const { get, key, value } of samples) {
          const reply = yield* RealCluster.post(placeOf(key), "get", get)
          assert.deepStrictEqual(yield* valueIn(version, reply), value, key)
        }
        // With a TTL: the servers' clients keep the entry, too.
        for (const { key, value } of samples) assert.strictEqual(yield* db.put(key, value, 3600), "STORED")
        for (const { get, key, value } of samples) {
          const reply = yield* RealCluster.post(placeOf(key), "get", get)
          assert.deepStrictEqual(yield* valueIn(version, reply), value, key)
        }
        yield* figure(`${version}: keys and values of other clients read and written`, samples.length)
      })
    )
  })
}
