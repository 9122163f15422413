/**
 * Brings a command line into the order that @effect/cli reads: the command, the options, `--`, the arguments. Options may
 * stand anywhere, a flag takes no word that follows it for its value, `-5` is a value and no option, nothing behind a `--`
 * is an option, and an option that the command does not have is an error of its own. Pure.
 */
import * as AutoCorrect from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"
import type * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Arr from "effect/Array"
import * as Either from "effect/Either"
import { pipe } from "effect/Function"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import { UsageError } from "../exit.js"

/** The names of a command's options, without the hyphens. */
export interface Shape {
  /** Options with a value. */
  readonly settings: ReadonlySet<string>
  /** Options without one. */
  readonly flags: ReadonlySet<string>
}

/** What a command line asks for. */
export type Request =
  | { readonly _tag: "Help"; readonly command: string | undefined; readonly requested: boolean }
  | { readonly _tag: "Version" }
  | { readonly _tag: "Run"; readonly args: ReadonlyArray<string> }

/** All options in a command's configuration, those in nested records too. */
export const optionsIn = (config: Command.Command.Config): ReadonlyArray<Options.Options<unknown>> =>
  Object.values(config).flatMap((entry) => {
    if (Options.isOptions(entry)) return [entry]
    return isConfig(entry) ? optionsIn(entry) : []
  })

const isConfig = (entry: unknown): entry is Command.Command.Config =>
  typeof entry === "object" && entry !== null && Object.getPrototypeOf(entry) === Object.prototype

/** The shape of a command with this configuration. */
export const shapeOf = (config: Command.Command.Config): Shape => {
  const [settings, flags] = Arr.partition(optionsIn(config), Options.isBool)
  const names = (options: ReadonlyArray<Options.Options<unknown>>) =>
    new Set(Arr.filterMap(options, Options.getIdentifier).map((name) => name.replace(/^-+/, "")))
  return { settings: names(settings), flags: names(flags) }
}

/** What @effect/cli adds to each command, and reads only where nothing else stands before it. */
const builtIn: Shape = {
  settings: new Set(["log-level", "completions"]),
  flags: new Set(["help", "version", "wizard"])
}

const choices: { readonly [setting: string]: ReadonlyArray<string> } = {
  "log-level": ["all", "trace", "debug", "info", "warning", "error", "fatal", "none"],
  completions: ["sh", "bash", "fish", "zsh"]
}

/** Options that may be given several times. Their values are joined by line feeds. */
const repeatable: ReadonlySet<string> = new Set(["header", "node", "add", "remove"])

const farthest = 2

/** What other clients call our commands. */
const elsewhere: Readonly<Record<string, string>> = {
  set: "put",
  store: "put",
  del: "delete",
  rm: "delete",
  remove: "delete",
  unset: "delete",
  flushall: "flush",
  clear: "flush",
  stats: "metrics",
  info: "metrics",
  status: "ping",
  count: "size",
  benchmark: "bench",
  server: "serve",
  monitor: "top",
  nodes: "ring"
}

/** ` (did you mean …?)`, where one of the names is near. */
const suggestion = (name: string, names: Iterable<string>, prefix = ""): string =>
  pipe(
    Arr.fromIterable(names),
    Arr.map((candidate) => ({
      candidate,
      distance: AutoCorrect.levensteinDistance(name, candidate, CliConfig.defaultConfig)
    })),
    Arr.filter(({ candidate, distance }) => distance <= farthest && distance < candidate.length),
    Arr.sortWith(({ distance }) => distance, Order.number),
    Arr.head,
    Option.match({ onNone: () => "", onSome: ({ candidate }) => ` (did you mean ${prefix}${candidate}?)` })
  )

const fail = (message: string) => Either.left(new UsageError({ message }))

const pairs = (options: ReadonlyMap<string, string>, shape: Shape): ReadonlyArray<string> =>
  [...options].flatMap(([name, value]) =>
    shape.settings.has(name) || shape.flags.has(name) ? [`--${name}`, value] : []
  )

/** Reads the words behind the program's name. */
export const read = (
  words: ReadonlyArray<string>,
  commands: ReadonlyMap<string, Shape>
): Either.Either<Request, UsageError> => {
  const shapes = [builtIn, ...commands.values()]
  const given = new Map<string, string>()
  const values: Array<string> = []

  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ""
    if (word === "--") {
      values.push(...words.slice(i + 1))
      break
    }
    const [, long, inline] = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word) ?? []
    const name = word === "-h" ? "help" : long
    if (name === undefined) {
      if (/^-[^\d.]/.test(word)) return fail(`unknown option ${word}; -- goes before a value that begins with a hyphen`)
      values.push(word)
    } else if (shapes.some(({ flags }) => flags.has(name))) {
      if (inline !== undefined && inline !== "true" && inline !== "false") return fail(`--${name} takes no value`)
      given.set(name, inline ?? "true")
    } else if (shapes.some(({ settings }) => settings.has(name))) {
      const value = inline ?? words[++i]
      if (value === undefined) return fail(`--${name} needs a value`)
      const allowed = choices[name]
      if (allowed !== undefined && !allowed.includes(value)) return fail(`--${name} is one of ${allowed.join(", ")}`)
      const before = given.get(name)
      given.set(name, repeatable.has(name) && before !== undefined ? `${before}\n${value}` : value)
    } else {
      const names = shapes.flatMap(({ flags, settings }) => [...flags, ...settings])
      return fail(`unknown option --${name}${suggestion(name, names, "--")}`)
    }
  }

  const helped = values[0] === "help"
  const [command, ...rest] = helped ? values.slice(1) : values
  const shape = command === undefined ? undefined : commands.get(command)
  if (command !== undefined && shape === undefined) {
    const known = elsewhere[command.toLowerCase()]
    const hint = known === undefined ? suggestion(command, commands.keys()) : ` (it is called ${known} here)`
    return fail(`unknown command ${command}${hint}`)
  }
  if (helped || given.get("help") === "true") return Either.right({ _tag: "Help", command, requested: true })
  if (given.get("version") === "true") return Either.right({ _tag: "Version" })
  if (command === undefined || shape === undefined) {
    return given.has("completions") || given.get("wizard") === "true"
      ? Either.right({ _tag: "Run", args: pairs(given, builtIn) })
      : Either.right({ _tag: "Help", command: undefined, requested: false })
  }
  for (const name of given.keys()) {
    if (![builtIn, shape].some(({ flags, settings }) => flags.has(name) || settings.has(name))) {
      return fail(`${command} has no option --${name}`)
    }
  }
  return Either.right({
    _tag: "Run",
    args: [command, ...pairs(given, builtIn), ...pairs(given, shape), "--", ...rest]
  })
}
