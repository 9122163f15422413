import * as Either from "effect/Either"
import { NodesFileError } from "../model/GhostDBError.js"
import * as Lines from "./Lines.js"

export { type Parsed, shorten, type Warning } from "./Lines.js"

const orError = (file: string, result: Lines.Result): Either.Either<Lines.Parsed, NodesFileError> =>
  result.ok ? Either.right(result.parsed) : Either.left(new NodesFileError({ file, ...result.problem }))

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
export const parse = (file: string, content: string): Either.Either<Lines.Parsed, NodesFileError> =>
  orError(file, Lines.ofContent(content))

/**
 * Checks a list of addresses as {@link parse} does the lines of a file, but without comments and empty entries. In the
 * errors, `line` is the place in the list, from 1.
 *
 * @category reading
 * @since 0.1.0
 */
export const validate = (addresses: Iterable<string>, name = "nodes"): Either.Either<Lines.Parsed, NodesFileError> =>
  orError(name, Lines.ofList(addresses))
