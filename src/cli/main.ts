#!/usr/bin/env node
/** The entry of the `ghostdb` command. */
import { writeSync } from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { run } from "./Cli.js"
import { exitCodes } from "./exit.js"

// A reader that has enough, as `head`, is no error: end as the programs do that SIGPIPE ends. Anything else, as a full
// disk, is one: the answer is not where it should be.
const brokenPipe = 141
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(brokenPipe)
    try {
      writeSync(2, `ghostdb: the output cannot be written: ${error.code ?? error.message}\n`)
    } catch {
      // There is nowhere left to say it.
    }
    process.exit(exitCodes.notWritten)
  })
}

// Until the program has come to its end, in case the process does first.
process.exitCode = exitCodes.bug

Effect.runCallback(
  run(process.argv.slice(2)).pipe(
    Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer))
  ),
  { onExit: (exit) => process.exit(Exit.getOrElse(exit, () => exitCodes.bug)) }
)
