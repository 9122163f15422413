/**
 * Writes the files that package.json exports: each imports `install-effect@3.js`, then exports the module of its types. Were
 * that a module's own first import, the runtime would name another one: it looks for what a module imports itself first.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = new URL("../", import.meta.url)
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"))

for (const target of Object.values(exports)) {
  if (typeof target === "string" || !target.default.startsWith("./dist/entries/")) continue
  const file = fileURLToPath(new URL(target.default, root))
  const from = (path) => relative(dirname(file), fileURLToPath(new URL(path, root))).replaceAll("\\", "/")
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(
    file,
    `import "${from("dist/install-effect@3.js")}"\nexport * from "${from(target.types.replace(/\.d\.ts$/, ".js"))}"\n`
  )
}
