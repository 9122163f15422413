/** The sources as `tsc` emits them: what users run, without what loaders of TypeScript add to each function. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import ts from "typescript"
import { entries } from "../support/entries.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** A directory with the compiled package and benchmark, where "effect-ghostdb" is that package. Removed with the scope. */
export const compiled: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(async () => {
    const caches = join(root, "node_modules", ".cache")
    await mkdir(caches, { recursive: true })
    const directory = await mkdtemp(join(caches, "effect-ghostdb-bench-"))
    const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile)
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
    const compilerOptions = { ...options, module: ts.ModuleKind.ES2022 }
    for (const folder of ["src", "test/bench"]) {
      for (const name of await readdir(join(root, folder), { recursive: true })) {
        if (!name.endsWith(".ts") || name.endsWith(".d.ts")) continue
        const source = await readFile(join(root, folder, name), "utf8")
        const target = join(directory, folder, name.replace(/\.ts$/, ".js"))
        await mkdir(dirname(target), { recursive: true })
        await writeFile(target, ts.transpileModule(source, { compilerOptions, fileName: name }).outputText)
      }
    }
    const exports = entries.map(({ name, source }) => [name, `./${source.replace(/\.ts$/, ".js")}`])
    await writeFile(
      join(directory, "package.json"),
      JSON.stringify({ name: "effect-ghostdb", type: "module", exports: Object.fromEntries(exports) })
    )
    return directory
  }),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)
