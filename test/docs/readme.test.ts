import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { NodeServer } from "effect-ghostdb"
import { build } from "esbuild"
import { root, snippets, write } from "./snippets.js"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "ghostdb-readme-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** The programs as JavaScript, with all that they import: much faster to start than their sources. */
const programs = Effect.promise(async () => {
  const written = write("docs-run", snippets.readme())
  const outdir = join(root, "build", "docs-run", "js")
  await build({
    entryPoints: written.map(({ file }) => file),
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    // For packages that are CommonJS.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' },
    tsconfig: join(root, "tsconfig.json"),
    logLevel: "warning",
    logOverride: { "ignored-bare-import": "silent" }
  })
  return written.map(({ file, snippet }) => ({
    source: snippet.source,
    file: join(outdir, `${basename(file, ".ts")}.mjs`)
  }))
})

/** Runs a program until it ends by itself; gives what it has written to standard error, or why it has failed. */
const problemOf = (file: string, cwd: string, nodes: ReadonlyArray<string>) =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, [file], {
      cwd,
      timeout: 110_000,
      env: { ...process.env, GHOSTDB_NODES: nodes.join(",") }
    }).then(
      ({ stderr }) => stderr.replace(/^\(node:.*|.*--trace-.*$/gm, "").trim(),
      (error: Error) => error.message
    )
  )

it.scopedLive("every program of the documents runs, and ends by itself", () =>
  Effect.gen(function* () {
    const servers = yield* NodeServer.cluster({ nodes: 3 })
    const nodes = servers.map(({ address }) => address)
    const cwd = yield* temporaryFolder
    writeFileSync(join(cwd, "gdb.conf"), nodes.join("\n"))
    const all = yield* programs
    expect(all.length).toBeGreaterThan(0)
    const results = yield* Effect.forEach(
      all,
      ({ file, source }) => Effect.map(problemOf(file, cwd, nodes), (problem) => ({ source, problem })),
      { concurrency: 2 }
    )
    expect(results).toEqual(all.map(({ source }) => ({ source, problem: "" })))
  })
)
