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

/** A parsed JSON value as Go's `encoding/json` writes it: strings as {@link goString}, the keys of objects sorted. */
export const goJson = (value: unknown): string => {
  switch (typeof value) {
    case "string":
      return goString(value)
    case "number":
      return Object.is(value, -0) ? "-0" : JSON.stringify(value)
    case "boolean":
      return value ? "true" : "false"
    default:
      break
  }
  if (typeof value !== "object" || value === null) return "null"
  let separator = ""
  if (Array.isArray(value)) {
    let json = "["
    for (const item of value) {
      json += separator + goJson(item)
      separator = ","
    }
    return `${json}]`
  }
  const members: Array<[string, unknown]> = Object.entries(value)
  if (members.length > 1) members.sort(([a], [b]) => (a < b ? -1 : 1))
  let json = "{"
  for (const [key, member] of members) {
    json += `${separator}${goString(key)}:${goJson(member)}`
    separator = ","
  }
  return `${json}}`
}
