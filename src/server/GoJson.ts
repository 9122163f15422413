/** JSON as Go's `encoding/json` writes it. */

const unlikeGo = /[<>&\u2028\u2029]|\\ud/

/** A string as Go's `encoding/json` writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, a lone surrogate lost. */
export const goString = (text: string): string => {
  const json = JSON.stringify(text)
  return unlikeGo.test(json)
    ? json.replace(/[<>&\u2028\u2029]|\\(?:u[0-9a-f]{4}|.)/g, (match) =>
        match.startsWith("\\")
          ? match.startsWith("\\ud")
            ? "\ufffd"
            : match
          : `\\u${match.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
    : json
}

/** Appends the JSON text of a value, in pieces: joined, they are one flat string and not a tree of concatenations. */
const append = (pieces: Array<string>, value: unknown): void => {
  switch (typeof value) {
    case "string":
      pieces.push(goString(value))
      return
    case "number":
      pieces.push(Object.is(value, -0) ? "-0" : JSON.stringify(value))
      return
    case "boolean":
      pieces.push(value ? "true" : "false")
      return
    default:
      break
  }
  if (typeof value !== "object" || value === null) {
    pieces.push("null")
    return
  }
  let separator = ""
  if (Array.isArray(value)) {
    pieces.push("[")
    for (const item of value) {
      pieces.push(separator)
      append(pieces, item)
      separator = ","
    }
    pieces.push("]")
    return
  }
  const members: Array<[string, unknown]> = Object.entries(value)
  if (members.length > 1) members.sort(([a], [b]) => (a < b ? -1 : 1))
  pieces.push("{")
  for (const [key, member] of members) {
    pieces.push(separator, goString(key), ":")
    append(pieces, member)
    separator = ","
  }
  pieces.push("}")
}

/**
 * The JSON text of a parsed JSON value: strings as {@link goString}, the keys of objects sorted. Throws a `RangeError` for
 * a value that is nested too deeply for the stack.
 */
export const goJson = (value: unknown): string => {
  const pieces: Array<string> = []
  append(pieces, value)
  return pieces.length === 1 ? (pieces[0] ?? "") : pieces.join("")
}
