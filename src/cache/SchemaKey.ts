import * as Hash from "effect/Hash"
import type * as SchemaAST from "effect/SchemaAST"

const known = new WeakMap<object, number>()

/** Of a part of a schema that contains itself, and is being looked at. */
const open = 1

/**
 * A number that is the same for schemas that mean the same, although they were made one by one, as inside a function.
 * Functions are compared by their text: two that differ in what they close over count as one. So it may serve to share
 * work whose result each caller decodes by his own schema, and nothing else.
 */
export const of = (ast: SchemaAST.AST): number => {
  const seen = new Set<object>()
  const hash = (part: unknown): number => {
    if (typeof part === "function") return Hash.string(part.toString())
    if (typeof part !== "object" || part === null) return Hash.string(`${typeof part}:${String(part)}`)
    const memo = known.get(part)
    if (memo !== undefined) return memo
    if (seen.has(part)) return open
    seen.add(part)
    let result = Hash.string(Array.isArray(part) ? "[]" : "{}")
    for (const name of Reflect.ownKeys(part)) {
      const member: unknown = Reflect.get(part, name)
      // The thunk of a recursive schema: what it gives tells more than its text.
      const isThunk = name === "f" && Reflect.get(part, "_tag") === "Suspend" && typeof member === "function"
      result = Hash.combine(Hash.combine(result)(Hash.string(String(name))))(hash(isThunk ? member() : member))
    }
    seen.delete(part)
    known.set(part, result)
    return result
  }
  return hash(ast)
}
