/** Programs that run in a process of their own. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The text of a program of test/fixtures. */
export const fixture = (name: string): string => readFileSync(join(root, "test", "fixtures", `${name}.ts`), "utf8")

/**
 * A program as one module, with all that it imports: it starts in a fraction of the time that its sources take. The
 * program is the text of a module that stands in the project's folder.
 */
export const bundle = async (program: string): Promise<string> => {
  const outfile = join(mkdtempSync(join(tmpdir(), "program-")), "program.mjs")
  await build({
    stdin: { contents: program, resolveDir: root, loader: "ts" },
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    // For packages that are CommonJS.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url)' },
    tsconfig: join(root, "tsconfig.json"),
    logLevel: "warning",
    logOverride: { "ignored-bare-import": "silent" }
  })
  return outfile
}

/** Runs a program until it ends by itself; what it prints. `flags` are those of Node.js. */
export const run = async (program: string, flags: ReadonlyArray<string> = []): Promise<string> => {
  const file = await bundle(program)
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file], { timeout: 110_000 })
  return stdout
}
