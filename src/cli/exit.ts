/** How the process ends: the exit codes, the errors that only the CLI has, and the one line each error is reported by. */
import { constants } from "node:os"
import { stripVTControlCharacters } from "node:util"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type * as ValidationError from "@effect/cli/ValidationError"
import type { PlatformError } from "@effect/platform/Error"
import type { QuitException } from "@effect/platform/Terminal"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { KeyError, NodesFileError, NoMoreServers } from "../model/GhostDBError.js"
import type { ServeError } from "../server/NodeServer.js"
import { escapeControls } from "./terminal/output.js"

/** The exit codes, as the help texts state them. A process that a signal ended has 128 and the signal's number. */
export const exitCodes = { done: 0, no: 1, usage: 2, noMoreServers: 3, bug: 70, notWritten: 74 } as const

/** The command was carried out and its answer is no: a miss, `NOT_STORED`, `NOT_FOUND`, `ERR_FLUSH`. */
export class NegativeAnswer extends Data.TaggedError("NegativeAnswer")<{
  /** For standard error; empty where standard output has said it. */
  readonly message: string
}> {}

/** No node gave an answer, to a command that asks each of them and therefore does not fail with `NoMoreServers`. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{
  readonly message: string
}> {}

/** The command cannot be carried out as it was given. */
export class UsageError extends Data.TaggedError("UsageError")<{
  readonly message: string
}> {}

/** A signal ended the command. */
export class Stopped extends Data.TaggedError("Stopped")<{
  readonly signal: NodeJS.Signals
}> {}

/** Everything that a command of the CLI fails with. */
export type CliError =
  | NegativeAnswer
  | NoAnswer
  | UsageError
  | Stopped
  | NoMoreServers
  | KeyError
  | NodesFileError
  | ServeError
  | PlatformError
  | QuitException
  | ValidationError.ValidationError

/** An exit code, and the line for standard error if there is something to say. */
export interface Outcome {
  readonly code: number
  readonly line: string | undefined
}

const plain = (doc: HelpDoc.HelpDoc): string =>
  stripVTControlCharacters(HelpDoc.toAnsiText(doc))
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(" ")

const interrupted = 128 + constants.signals.SIGINT

const ofError = (error: CliError): Outcome => {
  switch (error._tag) {
    case "NegativeAnswer":
      return { code: exitCodes.no, line: error.message === "" ? undefined : error.message }
    case "Stopped":
      return { code: 128 + constants.signals[error.signal], line: undefined }
    case "QuitException":
      return { code: interrupted, line: undefined }
    case "NoMoreServers":
    case "NoAnswer":
      return { code: exitCodes.noMoreServers, line: error.message }
    case "UsageError":
    case "KeyError":
    case "NodesFileError":
    case "ServeError":
    case "BadArgument":
    case "SystemError":
      return { code: exitCodes.usage, line: error.message }
    default:
      return { code: exitCodes.usage, line: plain(error.error) }
  }
}

const bug = (defect: unknown): Outcome => ({
  code: exitCodes.bug,
  line: `bug: ${defect instanceof Error ? `${defect.name}: ${defect.message}` : String(defect)} (--log-level debug tells where)`
})

/** How a failed command ends. The line is one line, whatever the error's message holds. */
export const outcome = (cause: Cause.Cause<CliError>): Outcome => {
  const { code, line } = Cause.isInterruptedOnly(cause)
    ? { code: interrupted, line: undefined }
    : Option.match(Cause.failureOption(cause), {
        onNone: () => bug(Cause.squash(cause)),
        onSome: ofError
      })
  return { code, line: line === undefined ? undefined : `ghostdb: ${escapeControls(line.replace(/\s*\n\s*/g, " "))}` }
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const

/** The first signal that asks the process to end; the next one ends it at once. */
export const signal: Effect.Effect<NodeJS.Signals> = Effect.async<NodeJS.Signals>((resume) => {
  const ignore = () => {
    for (const name of signals) process.off(name, onSignal)
  }
  const onSignal = (name: NodeJS.Signals) => {
    ignore()
    resume(Effect.succeed(name))
  }
  for (const name of signals) process.on(name, onSignal)
  return Effect.sync(ignore)
})

/** Ends the command at a signal: its finalizers run, and it fails with {@link Stopped}. */
export const untilSignal = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Stopped, R> =>
  Effect.raceFirst(
    self,
    Effect.flatMap(signal, (name) => new Stopped({ signal: name }))
  )
