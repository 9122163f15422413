import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Immediate from "./Immediate.js"

const maxDepth = 512

const isPlain = (json: unknown, depth: number): boolean => {
  if (typeof json !== "object" || json === null) return true
  if (depth === 0 || Object.hasOwn(json, "__proto__")) return false
  if (Array.isArray(json)) return json.every((item) => isPlain(item, depth - 1))
  for (const name in json) {
    // JSON has no inherited members that can be enumerated.
    if (!isPlain(json[name as keyof typeof json], depth - 1)) return false
  }
  return true
}

/** A copy without `__proto__` members, down to `depth`. */
const toPlain = (json: unknown, depth: number): unknown => {
  if (typeof json !== "object" || json === null || depth === 0) return json
  if (Array.isArray(json)) return json.map((item) => toPlain(item, depth - 1))
  return Object.fromEntries(
    Object.entries(json).flatMap(([name, member]) => (name === "__proto__" ? [] : [[name, toPlain(member, depth - 1)]]))
  )
}

/**
 * Decodes what anyone may have written. It decodes when it is called, and gives the result where the schema is synchronous;
 * that a decoder of the user's throws is a defect of the effect.
 */
export const decoder = <A, I, R>(
  schema: Schema.Schema<A, I, R>
): ((json: unknown) => Effect.Effect<A, ParseResult.ParseError, R>) => {
  const decode = Schema.decodeUnknown(schema)
  const tooDeep = (json: unknown) =>
    ParseResult.parseError(
      new ParseResult.Type(schema.ast, json, `JSON nested more than ${maxDepth} levels deep is not decoded`)
    )
  return (json) => {
    try {
      if (isPlain(json, maxDepth)) return decode(json)
      // A record schema would take `__proto__` for the prototype of what it makes; deep nesting overflows its recursion.
      const plain = toPlain(json, maxDepth)
      return isPlain(plain, maxDepth) ? decode(plain) : Immediate.fail(tooDeep(json))
    } catch (defect) {
      return Effect.die(defect)
    }
  }
}

/** {@link decoder} of a schema that decodes at once; none of what it does not decode. */
export const decoderOption = <A, I>(schema: Schema.Schema<A, I>): ((json: unknown) => Option.Option<A>) => {
  const decode = Schema.decodeUnknownOption(schema)
  return (json) => {
    if (isPlain(json, maxDepth)) return decode(json)
    const plain = toPlain(json, maxDepth)
    return isPlain(plain, maxDepth) ? decode(plain) : Option.none()
  }
}
