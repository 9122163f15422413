import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { startHere, until } from "./support.js"

/** What `serve` writes to standard error on a host, until it says how to end it. */
const errorsOn = (host: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "ghostdb-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )
    const words = ["serve", "--host", host, "--port", "0", "--nodes", "2", "--file", join(folder, "gdb.conf")]
    const { fiber, stderr } = yield* startHere(words)
    yield* until("the servers are there", () => stderr().includes("Ctrl-C ends them"))
    yield* Fiber.interrupt(fiber)
    return stderr()
  })

describe("ghostdb serve", () => {
  it.scopedLive("warns once where other machines reach the host", () =>
    Effect.gen(function* () {
      const lines = (yield* errorsOn("0.0.0.0")).split("\n")
      assert.lengthOf(
        lines.filter((line) => /level=WARN .*other machines reach.* nodes="0\.0\.0\.0:\d+ 0\.0\.0\.0:\d+"/.test(line)),
        1
      )
      assert.notInclude(yield* errorsOn("127.0.0.1"), "WARN")
    })
  )
})
