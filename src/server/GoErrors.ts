/** The error documents of the real servers: what Go's `encoding/json` says of a request that it cannot decode. */

import type { Dialect } from "../model/Dialect.js"
import { goString } from "./GoJson.js"
import { decimal } from "./ServerDialect.js"

/** A JSON value in a text. `end` is where Go reports it: after a literal, after the bracket that opens a container. */
interface JsonNode {
  readonly kind: "object" | "array" | "string" | "number" | "bool" | "null"
  readonly text: string
  readonly end: number
  readonly members: Array<readonly [key: string, value: JsonNode]>
}

const blanks = /[ \t\r\n]*/y

const token =
  /[{}[\]:,]|"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})[^"\\\u0000-\u001f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

const kinds: { readonly [first: string]: JsonNode["kind"] } = {
  "{": "object",
  "[": "array",
  '"': "string",
  t: "bool",
  f: "bool",
  n: "null"
}

const goMaxDepth = 10_000

/** Parses a JSON text and keeps the offset of each value. Returns the index of the first invalid character where it is not JSON. */
const parseWithOffsets = (text: string): JsonNode | number => {
  const open: Array<{ readonly container: JsonNode; key: string }> = []
  let root: JsonNode | undefined
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
      const value: JsonNode = { kind, text: found, end: at + found.length, members: [] }
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

/** The offset in UTF-8 bytes, which is how Go counts. */
const byteOffset = (text: string, index: number): number => new TextEncoder().encode(text.slice(0, index)).length

/** Makes a function that returns the JSON text of Go's first error in decoding a request body, or "" without an error. */
export const goErrorDocument = (dialect: Dialect) => {
  const mismatch = (body: string, value: JsonNode, struct: string, field: string): string =>
    `{"Value":${goString(value.kind === "number" && field.endsWith("TTL") ? `number ${value.text}` : value.kind)},` +
    `"Type":{},"Offset":${byteOffset(body, value.end)},"Struct":"${struct}","Field":"${field}"}\n`

  const checkTtl = (body: string, value: JsonNode, struct: string, field: string): string => {
    if (dialect !== "raft") {
      return value.kind === "number" && decimal.test(value.text) ? "" : mismatch(body, value, struct, field)
    }
    // A number in a string: Go has one error type for a number that is no integer, and an empty one for anything else.
    const quoted: unknown = value.kind === "string" ? JSON.parse(value.text) : undefined
    if (typeof quoted !== "string" || !/^-?\d/.test(quoted)) return "{}\n"
    return decimal.test(quoted) ? "" : mismatch(body, { ...value, kind: "number", text: quoted }, struct, field)
  }

  const checkFields = (body: string, object: JsonNode, struct: string, prefix: string): string => {
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
    const root = parseWithOffsets(body)
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
