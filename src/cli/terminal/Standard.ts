/** The standard streams of the process, which tests replace. */
import * as Context from "effect/Context"

/** What the commands use of `process.stdout` and `process.stderr`. */
export interface Sink {
  readonly isTTY?: boolean | undefined
  /** In characters; undefined where no terminal is, 0 on a terminal that does not know its size. */
  readonly columns?: number | undefined
  readonly write: (text: string, done: () => void) => unknown
}

/** What the commands use of `process.stdin`. */
export type Source = NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined }

/** The streams that a command reads and writes, and the environment that says how. Default: those of the process. */
export class Standard extends Context.Reference<Standard>()("effect-ghostdb/cli/Standard", {
  defaultValue: (): {
    readonly input: Source
    readonly output: Sink
    readonly error: Sink
    readonly env: Readonly<Record<string, string | undefined>>
  } => ({
    input: process.stdin,
    output: process.stdout,
    error: process.stderr,
    env: process.env
  })
}) {}
