/** Embedded nodes, files that name them, and the command that runs in this process. */
import { mkdtempSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { NodeServer } from "effect-ghostdb"
import { type Ended, runHere } from "./support.js"

/** Of all tests of one process, and removed after the last. */
export const folder = mkdtempSync(join(tmpdir(), "ghostdb-cli-"))

let files = 0
export const fileOf = (content: string): string => {
  const file = join(folder, `${files++}.conf`)
  writeFileSync(file, content)
  return file
}

export type Input = string | Buffer

/** The commands on one nodes file. */
export const cliFor = (nodes: string) => {
  const ghostdb = (args: ReadonlyArray<string>, input: Input = "") => runHere(args, { input, nodes })
  /** Exactly one document on standard output, and nothing else anywhere. */
  const json = (args: ReadonlyArray<string>, input: Input = "") =>
    Effect.map(ghostdb(["--json", ...args], input), ({ code, stderr, stdout }) => {
      assert.strictEqual(stderr, "")
      assert.match(stdout, /^[^\n]+\n$/)
      const document: unknown = JSON.parse(stdout)
      return { code, document }
    })
  return { ghostdb, json }
}

/** The commands on three embedded nodes. */
export const cluster = (options: NodeServer.NodeServerClusterOptions = {}) =>
  Effect.map(NodeServer.cluster(options), (servers) => {
    const addresses = servers.map(({ address }) => address)
    const file = fileOf(addresses.join("\n"))
    return { servers, addresses, file, ...cliFor(file) }
  })

/** Tests run next to each other, no more of them at a time than keep two cores busy. */
export const both = { concurrency: 2 } as const

export const expectEnd = (code: number | string, stdout: string, stderr: string) => (ended: Ended) =>
  assert.deepStrictEqual(ended, { code, stdout, stderr })

export const live = (name: string, test: () => Effect.Effect<unknown, unknown, Scope.Scope>) =>
  it.scopedLive(name, test)

/** Takes the times out of what `ping --json` has said. */
export const withoutMillis = (ended: { readonly code: number | string | null; readonly document: unknown }): unknown =>
  JSON.parse(JSON.stringify(ended, (name, value) => (name === "millis" ? undefined : value)))

/** A port of the loopback interface that no one listens on. */
export const closedPort = Effect.async<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})
