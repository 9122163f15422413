/** Numbers in JSON text that a float64, which is what servers have, cannot hold. Pure. */

/** Digits without zeros at either end, and the power of ten of the last one: equal for equal numbers. */
const canonical = (text: string): string => {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, "")
  const significant = digits.replace(/0+$/, "")
  return significant === ""
    ? "0"
    : `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

/** The first number in a valid JSON text that would become another one, and which. */
export const firstInexact = (json: string): { readonly written: string; readonly stored: string } | undefined => {
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g)) {
    if (token.startsWith('"')) continue
    const value = Number(token)
    if (!Number.isFinite(value)) return { written: token, stored: "null" }
    if (canonical(token) !== canonical(String(value))) return { written: token, stored: String(value) }
  }
  return undefined
}
