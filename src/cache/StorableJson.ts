import type { Json } from "../model/Json.js"

/** What JSON text would not hold as it is, and where it stands: `$.prices[0]`. */
export interface Unstorable {
  readonly path: ReadonlyArray<string | number>
  readonly found: string
}

const identifier = /^[A-Za-z_$][\w$]*$/

/** A path as it is written in code. */
export const showPath = (path: ReadonlyArray<string | number>): string =>
  path.reduce<string>(
    (shown, at) =>
      `${shown}${typeof at === "string" && identifier.test(at) ? `.${at}` : `[${typeof at === "string" ? JSON.stringify(at) : at}]`}`,
    "$"
  )

/**
 * The first part of a value that would be stored as something else: a number that is not finite, a string with a lone
 * surrogate, anything that is no JSON. Undefined where all of it is stored as it is.
 */
export const unstorable = (json: unknown): Unstorable | undefined => {
  const open: Array<{ readonly json: unknown; readonly path: Unstorable["path"] }> = [{ json, path: [] }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { json, path } = next
    const found = problem(json)
    if (found !== undefined) return { path, found }
    if (typeof json !== "object" || json === null) continue
    if (path.length > maxDepth) return { path: path.slice(0, 3), found: `nesting of more than ${maxDepth} levels` }
    const members: ReadonlyArray<readonly [string | number, unknown]> = Array.isArray(json)
      ? json.map((member, at) => [at, member] as const)
      : Object.entries(json)
    for (const [name, member] of members.toReversed()) {
      if (typeof name === "string" && !name.isWellFormed()) {
        return { path: [...path, name], found: "a member name with a lone surrogate" }
      }
      // An optional member that is undefined is left out.
      if (member === undefined && typeof name === "string") continue
      open.push({ json: member, path: [...path, name] })
    }
  }
  return undefined
}

/** As deep as values are read back. */
const maxDepth = 512

const problem = (json: unknown): string | undefined => {
  switch (typeof json) {
    case "number":
      return Number.isFinite(json) ? undefined : String(json)
    case "string":
      return json.isWellFormed() ? undefined : "a string with a lone surrogate"
    case "boolean":
      return undefined
    case "object":
      if (json === null || Array.isArray(json)) return undefined
      return "toJSON" in json && typeof json.toJSON === "function" ? "an object with a toJSON method" : undefined
    default:
      return json === undefined ? "undefined" : `a ${typeof json}`
  }
}

/** Makes JSON that several callers share safe against changes, without recursion: it may be nested deeply. */
export const freeze = (json: Json): void => {
  const open: Array<unknown> = [json]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== "object" || next === null || Object.isFrozen(next)) continue
    Object.freeze(next)
    for (const member of Object.values(next)) if (typeof member === "object") open.push(member)
  }
}
