/** Writes the package for Effect 4 into `dist-effect4`; `npm run build:effect4`. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { rewrite } from "./codemod/Rewrite.js"
import * as Surface from "./codemod/Surface.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const target = join(root, "dist-effect4")
const surface = Surface.make(target)
const dirs = process.argv.slice(2)
const problems = []
for (const dir of dirs) {
  rmSync(join(target, dir), { recursive: true, force: true })
  for (const file of readdirSync(join(root, dir), { recursive: true, encoding: "utf8" })) {
    const from = join(root, dir, file)
    if (!statSync(from).isFile() || from.includes("src/cli/") || from.includes("test/effect4")) continue
    const to = join(target, dir, file)
    mkdirSync(dirname(to), { recursive: true })
    const replaced = join(root, "test/effect4/replace", dir, file)
    try {
      cpSync(replaced, to)
      continue
    } catch {}
    if (!file.endsWith(".ts")) {
      cpSync(from, to)
      continue
    }
    const out = rewrite(`${dir}/${file}`, readFileSync(from, "utf8"), surface)
    problems.push(...out.problems)
    writeFileSync(to, out.text)
  }
  try {
    cpSync(join(root, "test/effect4/replace", dir), join(target, dir), { recursive: true })
  } catch {}
}
for (const { file, line, message } of problems) console.log(`${file}:${line}: ${message}`)
