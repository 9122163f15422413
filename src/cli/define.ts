/** How a command of the CLI is defined. */
import * as Command from "@effect/cli/Command"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Types from "effect/Types"
import { type CliError, untilSignal } from "./exit.js"
import { shapeOf } from "./line/arguments.js"
import type * as help from "./line/help.js"

/** What the commands need from the platform. */
export type Environment = FileSystem.FileSystem | Path.Path | Terminal.Terminal

/** The body of a command in a module that is loaded when the command runs: the other commands start without it. */
export const lazily =
  <M, C, A, E, R>(load: () => Promise<M>, select: (module: M) => (config: C) => Effect.Effect<A, E, R>) =>
  (config: C): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.promise(load), (module) => select(module)(config))

/** A command with its help texts. `run` is its body, mostly {@link lazily}. */
export const define = <const Name extends string, const C extends Command.Command.Config, E extends CliError>(
  definition: Omit<help.Documented, "name" | "config"> & {
    readonly name: Name
    readonly config: C
    /** The command handles signals by itself. Default: a signal interrupts it, and the exit code says so. */
    readonly endsItself?: boolean
    readonly run: (config: Types.Simplify<Command.Command.ParseConfig<C>>) => Effect.Effect<void, E, Environment>
  }
) => ({
  ...definition,
  shape: shapeOf(definition.config),
  command: Command.make(definition.name, definition.config, (config) =>
    Effect.tapErrorCause(
      definition.endsItself ? definition.run(config) : untilSignal(definition.run(config)),
      (cause) => (Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logDebug("the command failed", cause))
    )
  ).pipe(Command.withDescription(`${definition.summary}.`))
})
