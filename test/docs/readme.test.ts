import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { NodeServer } from "effect-ghostdb"
import { root, snippets, write } from "./snippets.js"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "ghostdb-readme-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

it.scopedLive("every program of README runs, and ends by itself", () =>
  Effect.gen(function* () {
    const servers = yield* NodeServer.cluster({ nodes: 3 })
    const addresses = servers.map(({ address }) => address)
    const cwd = yield* folder
    writeFileSync(join(cwd, "gdb.conf"), addresses.join("\n"))
    const run = ({ file, snippet }: { readonly file: string; readonly snippet: { readonly source: string } }) =>
      Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href, file],
          {
            cwd,
            timeout: 30_000,
            env: {
              ...process.env,
              GHOSTDB_NODES: addresses.join(","),
              TSX_TSCONFIG_PATH: join(root, "tsconfig.json")
            }
          }
        ).then(
          ({ stderr }) => ({
            source: snippet.source,
            problem: stderr.replace(/^\(node:.*|.*--trace-.*$/gm, "").trim()
          }),
          (error: Error) => ({ source: snippet.source, problem: error.message })
        )
      )
    const programs = write("docs-run", snippets.readme())
    const results = yield* Effect.forEach(programs, run, { concurrency: 2 })
    expect(results.length).toBeGreaterThan(0)
    expect(results).toEqual(programs.map(({ snippet }) => ({ source: snippet.source, problem: "" })))
  })
)
