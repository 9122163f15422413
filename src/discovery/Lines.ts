/** The lines of a nodes file, and what is wrong with them; free of Effect. */
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

/** Why a list cannot be used, and because of which line. */
export interface Problem {
  /** The line's number, from 1. */
  readonly line?: number
  /** At most the first 200 characters of the line. */
  readonly text?: string
  readonly reason: string
}

export type Result = { readonly ok: true; readonly parsed: Parsed } | { readonly ok: false; readonly problem: Problem }

interface Entry {
  readonly line: number
  readonly text: string
  readonly address: string
}

const maximumText = 200

/** A file that is something else altogether, a web page on one line, should not fill the log. */
export const shorten = (text: string): string => (text.length > maximumText ? `${text.slice(0, maximumText)}…` : text)

const collect = (entries: ReadonlyArray<Entry>): Result => {
  const lines = new Map<string, number>()
  const warnings: Array<Warning> = []
  for (const { address, line, text } of entries) {
    const reason = addressProblem(address)
    if (reason !== undefined) return { ok: false, problem: { line, text: shorten(text), reason } }
    const first = lines.get(address)
    if (first === undefined) lines.set(address, line)
    else warnings.push({ line, text, reason: `line ${first} has this address: dropped` })
  }
  return lines.size === 0
    ? { ok: false, problem: { reason: "no node in it" } }
    : { ok: true, parsed: { nodes: Array.from(lines.keys()), warnings } }
}

/** The addresses of a file's content, one a line. */
export const ofContent = (content: string): Result =>
  collect(
    content
      .replace(/^\ufeff/, "")
      .split(/\r\n|\n|\r/)
      .map((text, i) => ({ line: i + 1, text, address: text.replace(/#.*$/s, "").trim() }))
      .filter(({ address }) => address !== "")
  )

/** The addresses of a list; a comment or an empty entry is none. */
export const ofList = (addresses: Iterable<string>): Result =>
  collect(Array.from(addresses, (text, i) => ({ line: i + 1, text, address: text.trim() })))
