/** Programs that run in a process of their own. */
import { execFile } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** A program by its file, or by the text of a module that stands in the project's folder. */
export type Program = URL | string

/** A program of test/fixtures. */
export const fixture = (name: string): URL => new URL(`../fixtures/${name}.ts`, import.meta.url)

/** A program as one module, with all that it imports: it starts in a fraction of the time that its sources take. */
export const bundle = async (program: Program): Promise<string> => {
  const outfile = join(mkdtempSync(join(tmpdir(), "program-")), "program.mjs")
  await build({
    ...(typeof program === "string"
      ? { stdin: { contents: program, resolveDir: root, loader: "ts" } }
      : { entryPoints: [fileURLToPath(program)] }),
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    // For packages that are CommonJS.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url)'
    },
    tsconfig: join(root, "tsconfig.json"),
    logLevel: "warning",
    logOverride: { "ignored-bare-import": "silent" }
  })
  return outfile
}

/** Runs a program until it ends by itself; what it prints. `flags` are those of Node.js, `args` its own. */
export const run = async (
  program: Program,
  { args = [], flags = [] }: { readonly args?: ReadonlyArray<string>; readonly flags?: ReadonlyArray<string> } = {}
): Promise<string> => {
  const file = await bundle(program)
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file, ...args], { timeout: 110_000 })
  return stdout
}
