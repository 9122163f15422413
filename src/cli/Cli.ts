/** The `ghostdb` command: from the words of the command line to an exit code. */

import { createRequire } from "node:module"
import { stripVTControlCharacters } from "node:util"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Environment } from "./define.js"
import { flush, leader, metrics, ping, ring, size } from "./definitions/cluster.js"
import { add, get, put, remove } from "./definitions/keys.js"
import { bench, serve, top, ui } from "./definitions/live.js"
import { exitCodes, outcome, UsageError } from "./exit.js"
import { type Request, read } from "./line/arguments.js"
import * as help from "./line/help.js"
import { escapeControls, hasColour, outputPaint, print, printNote } from "./terminal/output.js"
import { Standard } from "./terminal/Standard.js"

const definitions = [get, put, add, remove, flush, ping, size, metrics, ring, leader, top, ui, serve, bench] as const

const tree = Command.make("ghostdb").pipe(
  Command.withDescription("Looks at a GhostDB cluster, and drives it."),
  Command.withSubcommands([
    get.command,
    put.command,
    add.command,
    remove.command,
    flush.command,
    ping.command,
    size.command,
    metrics.command,
    ring.command,
    leader.command,
    top.command,
    ui.command,
    serve.command,
    bench.command
  ])
)

// The program

/** The package knows itself by its name, wherever it was built to. */
const version = Effect.sync((): string => createRequire(import.meta.url)("effect-ghostdb/package.json").version)

const cliConfig = CliConfig.layer({ isCaseSensitive: true, autoCorrectLimit: 0 })

/** @effect/cli prints through `Console`: what it prints has no colours where there are none, and errors are for us to tell. */
const withPlainConsole = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.all([Effect.console, Standard]), ([console, { output }]) =>
    Console.withConsole(self, {
      ...console,
      log: (...parts) => {
        const text = parts.join(" ")
        return print(hasColour(output) ? text : stripVTControlCharacters(text))
      },
      error: () => Effect.void
    })
  )

const helpFor = (name: string | undefined) =>
  Effect.zipWith(outputPaint, Standard, (paint, { output }) => {
    const definition = definitions.find((definition) => definition.name === name)
    const width = Math.min(Math.max(output.columns || 80, 40), 110)
    return definition === undefined
      ? help.ofProgram(definitions, paint, width)
      : help.ofCommand(definition, paint, width)
  })

const runTree = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { input } = yield* Standard
    if (args.includes("--wizard") && input.isTTY !== true) {
      return yield* new UsageError({ message: "--wizard asks on a terminal, and there is none" })
    }
    const program = { name: "ghostdb", version: yield* version, executable: "ghostdb" }
    yield* Command.run(tree, program)(["node", "ghostdb", ...args])
  }).pipe(withPlainConsole, Effect.provide(cliConfig))

const execute = (request: Request) => {
  switch (request._tag) {
    case "Help":
      return Effect.as(
        Effect.flatMap(helpFor(request.command), print),
        request.requested ? exitCodes.done : exitCodes.usage
      )
    case "Version":
      return Effect.as(Effect.flatMap(version, print), exitCodes.done)
    case "Run":
      return Effect.as(runTree(request.args), exitCodes.done)
  }
}

/** A line for each log on standard error, whatever is in its text. */
const logger = Layer.unwrapEffect(
  Effect.map(Standard, ({ error }) =>
    Logger.replace(
      Logger.defaultLogger,
      Logger.map(Logger.logfmtLogger, (line) => {
        error.write(`${escapeControls(line)}\n`, () => undefined)
      })
    )
  )
)

/** Runs the words behind the program's name to the exit code. Everything that is to be said has been written then. */
export const run = (words: ReadonlyArray<string>): Effect.Effect<number, never, Environment> =>
  read(words, new Map(definitions.map(({ name, shape }) => [name, shape]))).pipe(
    Effect.flatMap(execute),
    Effect.catchAllCause((cause) => {
      const { code, line } = outcome(cause)
      return Effect.as(line === undefined ? Effect.void : printNote(line), code)
    }),
    Effect.provide(logger),
    Logger.withMinimumLogLevel(LogLevel.Error)
  )
