/** Where the addresses of the nodes come from: a file, a URL, standard input, or the command line itself. */
import { isIP } from "node:net"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as NodeStream from "@effect/platform-node/NodeStream"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as NodesFile from "../discovery/NodesFile.js"
import type { NodesFileError } from "../model/GhostDBError.js"
import { UsageError } from "./exit.js"
import { Standard } from "./terminal/Standard.js"

/** Standard input as the source of the nodes. */
export const standardInput = "-"

/** Whether the text is addresses with commas between them, or one address, rather than a file. */
const isList = (source: string): boolean =>
  source.includes(",") ||
  isIP(source) !== 0 ||
  /^(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d+$/.test(source) ||
  source.startsWith("[")

const unchanging = ({ nodes }: NodesFile.Parsed): NodesFile.Watched => ({ nodes, changes: Stream.empty })

const fromInput = Effect.gen(function* () {
  const { input } = yield* Standard
  if (input.isTTY === true)
    return yield* new UsageError({ message: "--nodes - reads a nodes file from standard input" })
  const text = yield* NodeStream.toString(() => input, {
    maxBytes: 1024 * 1024,
    onFailure: () => new UsageError({ message: "standard input cannot be read, or is over 1 MiB" })
  })
  return unchanging(yield* NodesFile.parse("standard input", text))
})

const firstSteps =
  "--nodes or GHOSTDB_NODES names a file, a URL or host:port,host:port; ghostdb serve starts embedded nodes and writes ./gdb.conf"

const fromFile = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const exists = yield* Effect.orElseSucceed(fs.exists(file), () => true)
    return exists
      ? yield* NodesFile.watchFile(file)
      : yield* new UsageError({ message: `there is no nodes file ${file}: ${firstSteps}` })
  })

/** The nodes of a source, and their changes where it can change. A URL answers within the timeout. */
export const watchNodes = (
  source: string,
  timeout: Duration.Duration
): Effect.Effect<NodesFile.Watched, NodesFileError | UsageError, FileSystem.FileSystem | Path.Path> => {
  if (source === standardInput) return fromInput
  if (NodesFile.isUrl(source)) {
    return Effect.provide(NodesFile.watchUrl(source, { timeout }), FetchHttpClient.layer)
  }
  return isList(source) ? Effect.map(NodesFile.validate(source.split(","), "--nodes"), unchanging) : fromFile(source)
}

/** {@link watchNodes} once. */
export const readNodes = (source: string, timeout: Duration.Duration) =>
  Effect.map(watchNodes(source, timeout), ({ nodes }) => nodes)
