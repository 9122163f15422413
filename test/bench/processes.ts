/** Processes that the benchmark starts and, with the scope, ends: its own scripts, and servers of other makers. */
import { type ChildProcess, spawn } from "node:child_process"
import { connect, createServer } from "node:net"
import { Data, Effect, type Option, Queue, Schedule, type Scope } from "effect"

/** A process has not done what it is there for. */
export class ProcessError extends Data.TaggedError("ProcessError")<{ readonly message: string }> {}

/** Answers of a script take as long as its rounds at the most. */
const patience = "2 minutes"

const started = (command: string, args: ReadonlyArray<string>, options: { readonly ipc: boolean }) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(command, args, {
        stdio: ["ignore", "ignore", options.ipc ? "inherit" : "ignore", ...(options.ipc ? ["ipc" as const] : [])]
      })
    ),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill()
      })
  )

/** Fails once the process has ended or could not be started. */
const ended = (child: ChildProcess, name: string) =>
  Effect.async<never, ProcessError>((resume) => {
    const fail = (why: string) => resume(new ProcessError({ message: `${name}: ${why}` }))
    const onError = (error: Error) => fail(error.message)
    const onExit = (code: number | null, signal: string | null) => fail(`has ended with ${code ?? signal}`)
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode)
    child.once("error", onError)
    child.once("exit", onExit)
    return Effect.sync(() => child.off("error", onError).off("exit", onExit))
  })

/** A script of the benchmark in a process of its own. */
export interface Script {
  /** Waits for its next message. */
  readonly receive: Effect.Effect<unknown, ProcessError>
  /** Sends a message and waits for the answer. */
  readonly ask: (message: number | string) => Effect.Effect<unknown, ProcessError>
}

/** Starts a script. */
export const script = (
  path: string,
  args: ReadonlyArray<string>,
  nodeArgs: ReadonlyArray<string> = []
): Effect.Effect<Script, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* started(process.execPath, [...nodeArgs, path, ...args], { ipc: true })
    const messages = yield* Queue.unbounded<unknown>()
    child.on("message", (message) => messages.unsafeOffer(message))
    const name = [path, ...args].join(" ")
    const receive = Queue.take(messages).pipe(
      Effect.raceFirst(ended(child, name)),
      Effect.timeoutFail({
        duration: patience,
        onTimeout: () => new ProcessError({ message: `${name}: no answer` })
      })
    )
    return {
      receive,
      ask: (message) =>
        Effect.zipRight(
          Effect.sync(() => child.send(message)),
          receive
        )
    }
  })

/** A port that the system has just given and got back. */
const freePort = Effect.async<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

/** So many different ones. */
export const freePorts = (count: number): Effect.Effect<ReadonlyArray<number>> =>
  Effect.replicateEffect(freePort, count).pipe(
    Effect.repeat({ until: (ports) => new Set(ports).size === ports.length })
  )

const accepts = (port: number) =>
  Effect.async<void, ProcessError>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(new ProcessError({ message: error.message })))
  })

/** Whether there is such a program; and what it says of itself. */
export const version = (command: string, flag: string): Effect.Effect<Option.Option<string>> =>
  Effect.async((resume) => {
    const child = spawn(command, [flag])
    let text = ""
    const read = (chunk: Buffer) => {
      text += chunk.toString()
    }
    child.stdout.on("data", read)
    child.stderr.on("data", read)
    child.once("error", () => resume(Effect.succeedNone))
    child.once("close", () => resume(Effect.succeedSome(text.split("\n")[0] ?? "")))
  })

/** Starts a server of another maker and waits until it accepts connections; another port may be free where it ends. */
export const program = (
  command: string,
  count: number,
  args: (ports: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<string>>
): Effect.Effect<ReadonlyArray<number>, ProcessError, Scope.Scope> =>
  Effect.gen(function* () {
    const ports = yield* freePorts(count)
    yield* programOn(command, ports, yield* args(ports))
    return ports
  }).pipe(Effect.retry({ times: 2 }))

/** {@link program} on ports that are not its choice. */
export const programOn = (
  command: string,
  ports: ReadonlyArray<number>,
  args: ReadonlyArray<string>
): Effect.Effect<void, ProcessError, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* started(command, args, { ipc: false })
    yield* Effect.forEach(ports, accepts, { discard: true }).pipe(
      Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("5 seconds"))),
      Effect.raceFirst(ended(child, command))
    )
  })
