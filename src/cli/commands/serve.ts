/** `ghostdb serve`: embedded nodes until a signal comes, and the nodes file that names them. */

import * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Dialect } from "../../model/Dialect.js"
import * as NodeServer from "../../server/NodeServer.js"
import { signal, UsageError } from "../exit.js"
import { escapeControls, print, printNote, toJson } from "../terminal/output.js"

const mark = (process: number) => `# Written by ghostdb serve (process ${process}), and removed when it ends.`

/** The process that wrote the file, where a `ghostdb serve` did and nobody has put a line of their own into it. */
const writer = (content: string): number | undefined => {
  const [first = "", ...rest] = content.split("\n")
  const written = /^# Written by ghostdb serve \(process ([0-9]+)\)/.exec(first)
  return written === null || rest.some((line) => line.startsWith("#")) ? undefined : Number(written[1])
}

const isAlive = (id: number): boolean => {
  try {
    return process.kill(id, 0)
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/** What is left of a process that could not remove its file. */
const isLeftOver = (content: string): boolean => {
  const id = writer(content)
  return id !== undefined && !isAlive(id)
}

/** Puts the nodes file there for as long as the scope is open. A file that someone else wrote is not touched. */
const nodesFile = (file: string, addresses: ReadonlyArray<string>, force: boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (!force && (yield* fs.exists(file)) && !isLeftOver(yield* fs.readFileString(file))) {
      return yield* new UsageError({ message: `${file} is there already: --force overwrites it, --file names another` })
    }
    const content = [mark(process.pid), ...addresses, ""].join("\n")
    const whole = `${file}.${process.pid}.tmp`
    yield* Effect.acquireRelease(
      // Clients may be watching the file, and never see the half of it.
      Effect.zipRight(fs.writeFileString(whole, content), fs.rename(whole, file)).pipe(
        Effect.tapError(() => Effect.ignore(fs.remove(whole)))
      ),
      () =>
        fs.readFileString(file).pipe(
          Effect.flatMap((now) => (now === content ? fs.remove(file) : Effect.void)),
          Effect.ignore
        )
    )
  })

/** `ghostdb serve` */
export const serve = ({
  dialect,
  file,
  force,
  host,
  json,
  metricsInterval,
  nodes,
  port
}: {
  readonly dialect: Dialect
  readonly file: string
  readonly force: boolean
  readonly host: string
  readonly json: boolean
  readonly metricsInterval: Duration.Duration
  readonly nodes: number
  readonly port: number
}) =>
  Effect.gen(function* () {
    if (port !== 0 && port + nodes - 1 > 65535) {
      return yield* new UsageError({ message: `${nodes} ports from ${port} on are more than there are` })
    }
    // On a host that other machines reach, the server warns.
    const servers = yield* NodeServer.cluster({ nodes, dialect, host, port, metricsInterval }).pipe(
      Logger.withMinimumLogLevel(LogLevel.Warning)
    )
    const addresses = servers.map(({ address }) => address)
    yield* nodesFile(file, addresses, force)
    yield* json
      ? print(toJson({ file, dialect, nodes: addresses }))
      : print(addresses.map((address) => `${address}  ${dialect}`).join("\n"))
    yield* printNote(`${escapeControls(file)} names them; Ctrl-C ends them`)
    return yield* Effect.never
  }).pipe(
    Effect.scoped,
    Effect.raceFirst(signal),
    Effect.flatMap((name) => printNote(`${name}: ended`))
  )
