/** What is seen of a process as a whole: its memory, its sockets, and whether it ends. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import { bundle, fixture, run } from "../support/program.js"

const measured = async (name: string, ...args: ReadonlyArray<string>) =>
  JSON.parse(await run(fixture(name), { args, flags: ["--expose-gc"] }))

describe.concurrent("memory", () => {
  for (const [what, answers] of [
    ["stops reading", 2],
    ["never says which dialect it speaks", 0]
  ] as const) {
    it(`20,000 puts of 10 KiB on a node that ${what}: bounded above the callers' values, and all end`, async () => {
      const { endedEarly, heldBesidesFiber, heldBytes, reasons } = await measured(
        "stops-reading",
        "20000",
        `${answers}`
      )
      assert.strictEqual(endedEarly, 0)
      assert.isBelow(heldBytes, 250e6)
      assert.isBelow(heldBesidesFiber, 4096)
      for (const reason of reasons) {
        assert.include(["Deadline", "QueueTimeout", "AttemptTimeout", "Reset", "Overloaded"], reason)
      }
    })
  }

  it("nodes that have left hold no socket and next to nothing", async () => {
    const { bytesPerNode, left, rest } = await measured("nodes-come-and-go")
    assert.isBelow(bytesPerNode, 1500)
    assert.isAtMost(rest, 4)
    assert.strictEqual(left, 0)
  })
})

describe.concurrent("Ctrl-C while a raft cluster has no leader, under runMain with default options", () => {
  let program: Promise<string> | undefined

  for (const command of ["delete", "lock"]) {
    it(`a finalizer with ${command} ends, and the process with it`, async () => {
      program ??= bundle(fixture("interrupted-without-leader"))
      const child = spawn(process.execPath, [await program, command], { stdio: ["ignore", "pipe", "inherit"] })
      let output = ""
      child.stdout.on("data", (data) => {
        if (!output.includes("waiting") && `${output}${data}`.includes("waiting")) {
          setTimeout(() => child.kill("SIGINT"), 100)
        }
        output += data
      })
      await once(child, "exit")
      assert.include(output, "released")
    })
  }
})
