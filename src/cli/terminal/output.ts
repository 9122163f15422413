/** How the commands write: escaped text, tables, bars, sparklines, numbers with units, and colours where they are seen. */
import * as Effect from "effect/Effect"
import { type Sink, Standard } from "./Standard.js"

/** Writes text as it stands and waits until the system has it. */
export const write = (sink: Sink, text: string): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    sink.write(text, () => resume(Effect.void))
  })

/** Writes a line to standard output. */
export const print = (line: string): Effect.Effect<void> =>
  Effect.flatMap(Standard, ({ output }) => write(output, `${line}\n`))

/** Writes a line to standard error, where everything goes that is not the command's answer. */
export const printNote = (line: string): Effect.Effect<void> =>
  Effect.flatMap(Standard, ({ error }) => write(error, `${line}\n`))

/** Whether colours are seen there: on a terminal, unless `NO_COLOR` is set to something or the terminal is dumb. */
export const hasColour = (sink: Sink, env: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  sink.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb"

// Escaping

// Control characters, line and paragraph separators, and what turns the direction of text around.
const harmful = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu
const harmfulButLines = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** The text with all that a terminal would obey, and not show, as `\uXXXX`. One line. */
export const escapeControls = (text: string): string => text.replace(harmful, escape)

/** {@link visible}, but line feeds and tabs stay. */
export const escapeControlsInLines = (text: string): string => text.replace(harmfulButLines, escape)

/** One JSON document that a terminal can be shown: inside strings the escapes are JSON's own. */
export const toJson = (value: unknown, indent?: number): string =>
  escapeControlsInLines(JSON.stringify(value, null, indent))

// Character sets

/** Whether the locale has more than ASCII: `LC_ALL`, `LC_CTYPE` or `LANG` names no other character set, or none is set. */
export const hasUnicode = (env: Readonly<Record<string, string | undefined>>): boolean => {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG
  return locale === undefined || locale === "" || /utf-?8/i.test(locale)
}

const replacements: Readonly<Record<string, string>> = {
  ...Object.fromEntries([..."▏▎▍"].map((part) => [part, " "])),
  ...Object.fromEntries([..."▌▋▊▉█"].map((part) => [part, "#"])),
  ...Object.fromEntries([..."▁▂▃▄▅▆▇"].map((level, i) => [level, "_.,-~=+"[i] ?? ""])),
  µ: "u",
  "↑": "^",
  "↓": "v",
  "…": "~"
}

/** What the commands draw, in ASCII where the locale has no more. Not for values: it changes what they are. */
export const inCharset = (text: string, env: Readonly<Record<string, string | undefined>>): string =>
  hasUnicode(env) ? text : text.replace(/[^ -~]/gu, (character) => replacements[character] ?? character)

/** Writes what a command has drawn to standard output: {@link inCharset}. */
export const printDrawn = (lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.flatMap(Standard, ({ env }) => print(lines.map((line) => inCharset(line, env)).join("\n")))

// Colours

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36, inverse: 7 } as const

/** The styles of text. */
export type Style = keyof typeof codes

/** Puts text in a style. */
export type Paint = (style: Style, text: string) => string

/** With colours, or without any. */
export const painter = (colour: boolean): Paint =>
  colour ? (style, text) => `\u001b[${codes[style]}m${text}\u001b[0m` : (_, text) => text

/** The colours of standard output. */
export const outputPaint: Effect.Effect<Paint> = Effect.map(Standard, ({ env, output }) =>
  painter(hasColour(output, env))
)

/** The first `width` characters of a line, colours and all: the escape sequences take no room. */
export const cut = (line: string, width: number): string => {
  let room = width
  return line.replace(/\u001b\[\d*m|[\s\S]/gu, (part) => {
    if (part.startsWith("\u001b")) return part
    room -= 1
    return room >= 0 ? part : ""
  })
}

// Tables

/** A cell's text, and how it looks. */
export type Cell = string | { readonly text: string; readonly style: Style }

const textOf = (cell: Cell): string => (typeof cell === "string" ? cell : cell.text)

/** A column: its title, and on which side its text stands. */
export interface Column {
  readonly title: string
  readonly align?: "left" | "right"
}

/** What is between the columns of a table. */
export const gap = "  "

/** The lines of a table, the titles first. The last column is not padded. */
export const table = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  paint: Paint
): ReadonlyArray<string> => {
  const titles = columns.map(({ title }): Cell => ({ text: title, style: "bold" }))
  const all = [titles, ...rows]
  const widths = columns.map((_, i) => Math.max(...all.map((row) => textOf(row[i] ?? "").length)))
  return all.map((row) =>
    columns
      .map(({ align }, i) => {
        const cell = row[i] ?? ""
        const text = textOf(cell)
        const padding = " ".repeat((widths[i] ?? 0) - text.length)
        const shown = typeof cell === "string" || text === "" ? text : paint(cell.style, text)
        return align === "right" ? padding + shown : i === columns.length - 1 ? shown : shown + padding
      })
      .join(gap)
      .trimEnd()
  )
}

/** Writes a table to standard output. */
export const printTable = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>
): Effect.Effect<void> => Effect.flatMap(outputPaint, (paint) => printDrawn(table(columns, rows, paint)))

// Pictures

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A bar for a fraction from 0 to 1, `width` characters long, padded. */
export const bar = (fraction: number, width: number): string => {
  const units = Math.round(Math.min(Math.max(fraction, 0), 1) * width * 8)
  return ("█".repeat(Math.floor(units / 8)) + eighths[units % 8]).padEnd(width)
}

const levels = "▁▂▃▄▅▆▇█"

/** How a {@link sparkline} is drawn. */
export interface SparklineOptions {
  /** The value of the lowest level. Default 0; `least` is the least of the values. */
  readonly from?: "zero" | "least"
  /** The value of the highest level. Default: the largest of the values. */
  readonly high?: number
}

/**
 * A sparkline of the last `width` values, from 0 or, where the values are far from it, from the least of them, to the
 * largest. A value that is not known, `NaN`, is a blank.
 */
export const sparkline = (
  values: ReadonlyArray<number>,
  width: number,
  { from = "zero", high: most }: SparklineOptions = {}
): string => {
  const shown = width > 0 ? values.slice(-width) : []
  const known = shown.filter((value) => !Number.isNaN(value))
  const high = most ?? Math.max(...known)
  const low = from === "zero" ? 0 : Math.min(...known)
  return shown
    .map((value) => {
      if (Number.isNaN(value)) return " "
      const level = high > low ? Math.round(((value - low) / (high - low)) * (levels.length - 1)) : 0
      return levels[Math.min(level, levels.length - 1)]
    })
    .join("")
}

// Numbers

/** A count with thousands separated. `-` where it is not known. */
export const count = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : Math.round(value).toLocaleString("en-US")

/** A number a second, with a decimal where it is small. */
export const rate = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : value > 0 && value < 10 ? value.toFixed(1) : count(value)

/** A share from 0 to 1 in per cent. */
export const percent = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : `${(value * 100).toFixed(1)}%`

const binary = ["B", "KiB", "MiB", "GiB", "TiB"] as const

/** Bytes in the unit that suits. */
export const bytes = (value: number | undefined): string => {
  if (value === undefined || Number.isNaN(value)) return "-"
  const power = value < 1024 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), binary.length - 1)
  return `${power === 0 ? value : (value / 1024 ** power).toFixed(1)} ${binary[power]}`
}

/** A latency, given in nanoseconds. */
export const latency = (nanos: number): string =>
  nanos < 1e6 ? `${Math.round(nanos / 1e3)} µs` : nanos < 1e9 ? `${(nanos / 1e6).toFixed(2)} ms` : span(nanos / 1e6)

/** A latency, given in milliseconds, which may be `NaN`. */
export const milliseconds = (millis: number): string => (Number.isNaN(millis) ? "-" : latency(millis * 1e6))

/** A time span in its two largest units, given in milliseconds. */
export const span = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`
  return `${Math.floor(seconds / 86400)}d ${Math.floor((seconds % 86400) / 3600)}h`
}
