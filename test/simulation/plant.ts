/** Plants bugs in a copy of the package, one at a time, and runs the simulation on it. */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Bug, bugs, planted } from "./bugs.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The first seed that breaks a promise in a copy with the bug, as the simulation tells it. */
const find = (name: string, sources: ReadonlyMap<string, string>, seeds: number): string | undefined => {
  const folder = mkdtempSync(join(tmpdir(), "ghostdb-planted-"))
  try {
    for (const part of ["src", "test/simulation", "test/support", "package.json", "tsconfig.json"]) {
      cpSync(join(root, part), join(folder, part), { recursive: true })
    }
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    for (const [file, source] of sources) writeFileSync(join(folder, file), source)
    const { stderr, stdout } = spawnSync(
      process.execPath,
      ["--import", "tsx", "test/simulation/main.ts", "--brief", "--seeds", String(seeds)],
      { cwd: folder, encoding: "utf8" }
    )
    if (stderr !== "") throw new Error(`${name}: ${stderr}`)
    return /^seed .*$/m.exec(stdout)?.[0]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The sources of the package with a bug. Throws where the bug does not fit them. */
export const sourcesWith = (bug: Bug): ReadonlyMap<string, string> =>
  planted(bug, (file) => readFileSync(join(root, file), "utf8"))

/** Plants each bug and says which seed finds it. True where all of them were found. */
export const plant = (seeds: number): boolean => {
  // All of them first: a bug that does not fit is known at once.
  const copies = bugs.map((bug) => ({ name: bug.name, sources: sourcesWith(bug) }))
  let missed = 0
  for (const { name, sources } of copies) {
    const found = find(name, sources, seeds)
    if (found === undefined) missed++
    console.log(`| ${name} | ${found ?? `not found in ${seeds} seeds`} |`)
  }
  return missed === 0
}
