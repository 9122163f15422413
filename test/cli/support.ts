/** Runs the command: in this process, or built and as a process of its own, with pipes or on a pseudo-terminal. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { NodeFileSystem, NodePath, NodeTerminal } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Fiber, Layer, Schedule } from "effect"
import { run } from "../../src/cli/Cli.js"
import { type Sink, Standard } from "../../src/cli/terminal/Standard.js"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** The bin as the build makes it, in a folder of its own in the package, whose name it knows itself by. */
export const build = async (): Promise<{ readonly main: string; readonly remove: () => void }> => {
  mkdirSync(join(root, "build"), { recursive: true })
  const folder = mkdtempSync(join(root, "build", "cli-"))
  await promisify(execFile)(process.execPath, [join(root, "src", "cli", "build.mjs"), folder])
  return { main: join(folder, "main.js"), remove: () => rmSync(folder, { recursive: true }) }
}

/** How a process has ended. */
export interface Ended {
  /** The exit code, or the signal's name where it ended by a signal. */
  readonly code: number | string | null
  readonly stdout: string
  readonly stderr: string
}

/** A running process. */
export interface Running {
  readonly child: ChildProcess
  /** What it has written to standard output up to now. */
  readonly stdout: () => string
  readonly ended: Effect.Effect<Ended>
}

/** How to start a process. */
export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Standard input; `open` keeps it open for the test to write to. Default: nothing, closed. */
  readonly input?: string | Buffer | "open"
  readonly cwd?: string
}

const environment = (env: Readonly<Record<string, string>> = {}) => {
  const { FORCE_COLOR: _force, GHOSTDB_NODES: _nodes, NO_COLOR: _colour, ...rest } = process.env
  return { ...rest, TERM: "xterm-256color", ...env }
}

/** Starts a process that is killed when the scope closes, should it still be running then. */
export const start = (command: string, args: ReadonlyArray<string>, { cwd, env, input = "" }: StartOptions = {}) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<Ended>()
    let stdout = ""
    let stderr = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(command, args, { cwd, env: environment(env), stdio: "pipe" })
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          stdout += text
        })
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          stderr += text
        })
        // A process that does not read its input may be gone when it comes.
        child.stdin.on("error", () => undefined)
        if (input !== "open") child.stdin.end(input)
        child.on("close", (code, signal) => {
          Deferred.unsafeDone(ended, Effect.succeed({ code: code ?? signal, stdout, stderr }))
        })
        return child
      }),
      (child) =>
        Effect.suspend(() => {
          if (child.exitCode !== null || child.signalCode !== null) return Effect.void
          child.kill("SIGKILL")
          return Effect.asVoid(Deferred.await(ended))
        })
    )
    const running: Running = { child, stdout: () => stdout, ended: Deferred.await(ended) }
    return running
  })

/** Waits until a condition holds, looked at every 20 ms; dies after a minute. */
export const until = (what: string, holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({ duration: "1 minute", onTimeout: () => new Error(`not within a minute: ${what}`) }),
    Effect.orDie,
    Effect.asVoid
  )

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`

/**
 * Runs a command on a pseudo-terminal of 24 rows and 100 columns, by `script` of util-linux. Both of its outputs are one
 * there, with `\r\n`. The first line is the terminal's device, the second its settings; behind what the command writes
 * come the settings again, and `exit <code>`.
 */
export const onTerminal = (command: string, args: ReadonlyArray<string>, options: Omit<StartOptions, "input"> = {}) =>
  start(
    "script",
    [
      "--quiet",
      "--command",
      [
        'tty; stty rows 24 cols 100; echo "settings $(stty -g)"',
        [command, ...args].map(quote).join(" "),
        'code=$?; echo; echo "settings $(stty -g)"; echo "exit $code"'
      ].join("\n"),
      "/dev/null"
    ],
    { ...options, input: "open" }
  )

/** What a session of {@link onTerminal} has come to; fails where the terminal is not as it was. */
export const session = ({ code, stdout }: Ended) => {
  const parts = /^(\S+)\nsettings (\S+)\n([\s\S]*)\nsettings (\S+)\nexit (\d+)\n$/.exec(stdout.replaceAll("\r", ""))
  const [, tty, before, text = "", after, exit] = parts ?? []
  assert.deepStrictEqual([code, tty?.startsWith("/dev/"), after], [0, true, before], stdout)
  return { text, exit: Number(exit) }
}

/** What a terminal shows of a frame of text: the text without colours and other escape sequences. */
export const plain = (text: string) => text.replace(/\u001b\[[\d;?]*[A-Za-z]/g, "").replaceAll("\r", "")

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer)

/** How to run the command in this process. */
export interface RunHereOptions {
  /** Standard input. Default: nothing. */
  readonly input?: string | Buffer
  /** Stands for `GHOSTDB_NODES`. */
  readonly nodes?: string | undefined
  /** The environment that the output follows, such as `LC_ALL`. Default: empty. */
  readonly env?: Readonly<Record<string, string>>
  /** Characters in a line of the outputs, which makes them terminals. Default: they are none. */
  readonly columns?: number
}

/** Starts the command in this process: a fiber that ends with the exit code, and what it has written up to now. */
export const startHere = (args: ReadonlyArray<string>, { columns, env = {}, input = "", nodes }: RunHereOptions = {}) =>
  Effect.gen(function* () {
    const sink = () => {
      let text = ""
      const sink: Sink = {
        isTTY: columns !== undefined,
        columns,
        write: (part, done) => {
          text += part
          done()
        }
      }
      return { sink, text: () => text }
    }
    const [output, error] = [sink(), sink()]
    const fiber = yield* run(args).pipe(
      Effect.provide(platform),
      Effect.provideService(Standard, {
        input: Readable.from([Buffer.from(input)]),
        output: output.sink,
        error: error.sink,
        env
      }),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(nodes === undefined ? [] : [["GHOSTDB_NODES", nodes]]))),
      Effect.fork
    )
    return { fiber, stdout: output.text, stderr: error.text }
  })

/** {@link startHere} to its end. */
export const runHere = (args: ReadonlyArray<string>, options?: RunHereOptions): Effect.Effect<Ended> =>
  Effect.flatMap(startHere(args, options), ({ fiber, stderr, stdout }) =>
    Effect.map(Fiber.join(fiber), (code) => ({ code, stdout: stdout(), stderr: stderr() }))
  )
