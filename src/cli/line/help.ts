/** The help texts, from the definitions of the commands. Pure. */
import { stripVTControlCharacters } from "node:util"
import type * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import { exitCodes } from "../exit.js"
import type { Paint } from "../terminal/output.js"
import { optionsIn } from "./arguments.js"

/** What the help texts need to know of a command. */
export interface Documented {
  readonly name: string
  /** The arguments as the usage line shows them, such as `KEY [VALUE]`; empty for none. */
  readonly arguments: string
  readonly summary: string
  /** What else there is to say, a line each. */
  readonly details: ReadonlyArray<string>
  /** Command lines, without `ghostdb`. */
  readonly examples: ReadonlyArray<string>
  readonly config: Command.Command.Config
}

type Pair = readonly [term: string, text: string]

/** An option's name with its placeholder, and its description: the first and the third line that @effect/cli has for it. */
const optionPair = (option: Options.Options<unknown>): Pair => {
  const [usage = "", , description = ""] = stripVTControlCharacters(HelpDoc.toAnsiText(Options.getHelp(option)))
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
  return [usage, description]
}

const everywhere: ReadonlyArray<Pair> = [
  ["--log-level LEVEL", "log to standard error: all, trace, debug, info, warning, error (default), fatal, none"],
  ["--wizard", "put the command together by questions and answers"],
  ["-h, --help", "this text"]
]

const exits: ReadonlyArray<Pair> = [
  [String(exitCodes.done), "done"],
  [
    String(exitCodes.no),
    "the answer is no: a miss, NOT_STORED, NOT_FOUND, ERR_FLUSH, no leader, a node that does not answer a ping"
  ],
  [
    String(exitCodes.usage),
    "the command line, the value, the key or the nodes file cannot be used, or a port cannot be served on"
  ],
  [String(exitCodes.noMoreServers), "no node served the command"],
  [String(exitCodes.bug), "a bug in ghostdb"],
  [String(exitCodes.notWritten), "the output cannot be written: the disk is full"],
  ["128+n", "ended by signal n; serve ends with 0"]
]

/** The words of a text on lines of at most `width` characters; a word that is longer has a line of its own. */
export const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** A text gets so many characters beside the terms at least; on a narrower terminal it stands below them. */
const leastText = 24

const pairs = (all: ReadonlyArray<Pair>, width: number): ReadonlyArray<string> => {
  const term = Math.max(...all.map(([term]) => term.length))
  const indent = term + 4
  if (width - indent < leastText) {
    return all.flatMap(([term, text]) => [`  ${term}`, ...wrap(text, width - 6).map((line) => `      ${line}`)])
  }
  return all.flatMap(([name, text]) =>
    wrap(text, width - indent).map((line, i) => `  ${(i === 0 ? name : "").padEnd(term)}  ${line}`)
  )
}

const section = (paint: Paint, title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length === 0 ? [] : ["", paint("bold", title), ...lines]

const exampleLines = (examples: ReadonlyArray<string>) => examples.map((example) => `  ghostdb ${example}`)

/** The help text of one command. */
export const ofCommand = (
  { arguments: args, config, details, examples, name, summary }: Documented,
  paint: Paint,
  width: number
): string =>
  [
    `${paint("bold", "Usage:")} ghostdb ${name}${args === "" ? "" : ` ${args}`} [options]`,
    "",
    ...wrap(`${summary}.`, width),
    ...wrap(details.join(" "), width).filter((line) => line !== ""),
    ...section(paint, "Options", pairs([...optionsIn(config).map(optionPair), ...everywhere], width)),
    ...section(paint, "Exit codes", pairs(exits, width)),
    ...section(paint, "Examples", exampleLines(examples))
  ].join("\n")

/** The help text of the program. */
export const ofProgram = (commands: ReadonlyArray<Documented>, paint: Paint, width: number): string =>
  [
    `${paint("bold", "Usage:")} ghostdb COMMAND [options]`,
    "",
    "Looks at a GhostDB cluster, and drives it.",
    ...section(
      paint,
      "Commands",
      pairs(
        commands.map(({ arguments: args, name, summary }) => [`${name} ${args}`.trimEnd(), summary]),
        width
      )
    ),
    ...section(
      paint,
      "Options",
      pairs(
        [
          ["-h, --help", "this text; ghostdb COMMAND --help tells a command's options"],
          ["--version", "the version"],
          ["--completions SHELL", "a completion script for bash, fish, sh or zsh"]
        ],
        width
      )
    ),
    ...section(
      paint,
      "Environment",
      pairs(
        [
          ["GHOSTDB_NODES", "the nodes, where --nodes is not given"],
          ["NO_COLOR", "no colours, if it is set to anything"],
          ["LC_ALL, LC_CTYPE, LANG", "a locale that is not UTF-8 has bars and trends in ASCII"]
        ],
        width
      )
    ),
    ...section(paint, "Exit codes", pairs(exits, width)),
    ...section(
      paint,
      "Examples",
      exampleLines([
        "serve --nodes 3 &",
        "put AMZN '{\"price\": 3107.3}' --ttl 5m",
        "get AMZN --json | jq .value",
        "top --nodes https://config.example/gdb.conf",
        "--completions bash > ghostdb.bash"
      ])
    )
  ].join("\n")
