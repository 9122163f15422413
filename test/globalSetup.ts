/** Runs once before all tests: their temporary files are in one folder, which is removed after them, whatever they leave. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export default (): (() => void) => {
  const before = process.env.TMPDIR
  const folder = mkdtempSync(join(tmpdir(), "ghostdb-tests-"))
  process.env.TMPDIR = folder
  return () => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    rmSync(folder, { recursive: true, force: true })
  }
}
