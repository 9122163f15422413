/**
 * Writes the package for Effect 4 into `dist-effect4`, and builds it; `npm run build:effect4`. With `--sources` it is not
 * built. Ends with 1 where the sources hold what there is no rule for, or do not compile.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { document, type Problem, rewrite } from "./codemod/Rewrite.js"
import * as Surface from "./codemod/Surface.js"
import { excluded, tests } from "./excluded.js"
import { dependencies, mainVersion, manifest } from "./manifest.js"
import { replacing, root, target } from "./paths.js"

const run = (command: string, ...args: ReadonlyArray<string>) => {
  const { status } = spawnSync(command, args, { cwd: target, stdio: "inherit" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`)
}

const write = (file: string, content: string) => {
  mkdirSync(dirname(join(target, file)), { recursive: true })
  writeFileSync(join(target, file), content)
}

/** Installs the packages, unless those of this list are there. */
const install = () => {
  const installed = join(target, "node_modules", ".installed.json")
  const wanted = JSON.stringify(dependencies)
  if (existsSync(installed) && readFileSync(installed, "utf8") === wanted) return
  // Packages of Effect 4 declare a Node.js that is newer than the oldest one they run on.
  run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
  writeFileSync(installed, wanted)
}

/** What the second package is made of: files of the project, each by its path. */
const files = ["src", "test", "examples"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .filter((file) => !Object.keys(excluded).some((start) => file.startsWith(start)))
)

/** Writes what comes of a file of the project. */
const translate = (file: string, surface: Surface.Surface): ReadonlyArray<Problem> => {
  if (existsSync(join(replacing, file))) return []
  const content = readFileSync(join(root, file))
  if (!/\.(ts|md)$/.test(file)) {
    write(file, content.toString("utf8"))
    return []
  }
  const translated = (file.endsWith(".md") ? document : rewrite)(file, content.toString("utf8"), surface)
  write(file, translated.text)
  return translated.problems
}

/** A text as a part of a regular expression. */
const escaped = (text: string) => text.replace(/[/\\^$.*+?()[\]{}|]/g, "\\$&")

const build = () => {
  run(join(root, "node_modules", ".bin", "tsc"), "--project", "tsconfig.build.json")
  const bundle = spawnSync(process.execPath, [join(root, "src/cli/build.mjs"), join(target, "dist/cli")], {
    stdio: "inherit"
  })
  if (bundle.status !== 0) throw new Error("the command was not bundled")
}

for (const folder of ["src", "test", "examples", "dist"]) rmSync(join(target, folder), { recursive: true, force: true })
write("package.json", `${JSON.stringify(manifest, undefined, 2)}\n`)
install()
const surface = Surface.make(target)
const problems = files.flatMap((file) => translate(file, surface))
cpSync(replacing, target, { recursive: true })
const packages = readFileSync(new URL("./readme/packages.md", import.meta.url), "utf8")
for (const file of ["README.md", "CHANGELOG.md"]) {
  const translated = document(file, readFileSync(join(root, file), "utf8"), surface)
  write(
    file,
    translated.text
      .replace("effect@3 @effect/platform@0 @effect/platform-node@0", "effect@4 @effect/platform-node@4")
      .replace(/^## Packages\n.*?(?=^## )/ms, () => `${packages}\n`)
      .replaceAll(`## ${mainVersion} `, `## ${manifest.version} `)
  )
  problems.push(...translated.problems)
}
for (const file of ["LICENSE", "tsconfig.build.json"]) cpSync(join(root, file), join(target, file))
// The tests' own functions for vitest stand where those of @effect/vitest stood.
const vitest = {
  "@effect/vitest": "test/support/EffectVitest.ts",
  "@effect/vitest/utils": "test/support/EffectVitestUtils.ts"
}
const config = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
for (const [name, file] of Object.entries(vitest)) config.compilerOptions.paths[name] = [`./${file}`]
delete config.compilerOptions.plugins
write("tsconfig.json", JSON.stringify(config, undefined, 2))
const aliases = Object.entries(vitest).map(
  ([name, file]) => `{ find: /^${name.replaceAll("/", "\\/")}$/, replacement: path("./${file}") }`
)
write(
  "vitest.config.ts",
  readFileSync(join(root, "vitest.config.ts"), "utf8")
    .replace("resolve: { alias }", `resolve: { alias: [...alias, ${aliases.join(", ")}] }`)
    .replace("test: {", `test: { testNamePattern: /^(?!.*(?:${Object.keys(tests).map(escaped).join("|")})).*$/,`)
    .replace(`"./test/globalSetup.ts"`, `path("./test/globalSetup.ts")`)
    // The tests' own `it` is not changed by `layer`: there is nothing to restore.
    .replace('setupFiles: ["./test/setup.ts"],', "")
)
for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`)
if (problems.length > 0) process.exitCode = 1
else if (!process.argv.includes("--sources")) build()
