import * as Either from "effect/Either"
import { NodesFileError } from "../model/GhostDBError.js"
import { addressProblem } from "../model/NodeAddress.js"

/**
 * A line that was left out of the list, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Warning {
  /** The line's number, from 1. */
  readonly line: number
  readonly text: string
  readonly reason: string
}

/**
 * What a nodes file holds: at least one address, in the order of the file, no address twice.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parsed {
  readonly nodes: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<Warning>
}

// -----------------------------------------------------------------------------
// The parser
// -----------------------------------------------------------------------------

interface Entry {
  readonly line: number
  readonly text: string
  readonly address: string
}

const maximumText = 200

/** A file that is something else altogether, a web page on one line, should not fill the log. */
export const shorten = (text: string): string => (text.length > maximumText ? `${text.slice(0, maximumText)}…` : text)

const collect = (file: string, entries: ReadonlyArray<Entry>): Either.Either<Parsed, NodesFileError> => {
  const lines = new Map<string, number>()
  const warnings: Array<Warning> = []
  for (const { address, line, text } of entries) {
    const reason = addressProblem(address)
    if (reason !== undefined) return Either.left(new NodesFileError({ file, line, text: shorten(text), reason }))
    const first = lines.get(address)
    if (first === undefined) lines.set(address, line)
    else warnings.push({ line, text, reason: `line ${first} has this address: dropped` })
  }
  return lines.size === 0
    ? Either.left(new NodesFileError({ file, reason: "no node in it" }))
    : Either.right({ nodes: Array.from(lines.keys()), warnings })
}

/**
 * Reads the content of a nodes file. Blanks around an address, empty lines, any of the three line ends, a byte-order
 * mark and `#` comments, alone or behind an address, are accepted; an address that was there before is dropped with a
 * warning. Any other line is an error, and so is a content without an address.
 *
 * `file` names the file in errors. They hold at most the first 200 characters of a line.
 *
 * @category reading
 * @since 0.1.0
 */
export const parse = (file: string, content: string): Either.Either<Parsed, NodesFileError> =>
  collect(
    file,
    content
      .replace(/^\ufeff/, "")
      .split(/\r\n|\n|\r/)
      .map((text, i) => ({ line: i + 1, text, address: text.replace(/#.*$/s, "").trim() }))
      .filter(({ address }) => address !== "")
  )

/**
 * Checks a list of addresses as {@link parse} does the lines of a file, but without comments and empty entries. In the
 * errors, `line` is the place in the list, from 1.
 *
 * @category reading
 * @since 0.1.0
 */
export const validate = (addresses: Iterable<string>, name = "nodes"): Either.Either<Parsed, NodesFileError> =>
  collect(
    name,
    Array.from(addresses, (text, i) => ({ line: i + 1, text, address: text.trim() }))
  )
