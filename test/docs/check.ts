/** Type-checks the code in the documentation; `npm run check:docs`. */
import { join, relative } from "node:path"
import ts from "typescript"
import { root, snippets, write } from "./snippets.js"

const written = write("docs-check", [...snippets.readme(), ...snippets.comments()])
const config = ts.getParsedCommandLineOfConfigFile(
  join(root, "tsconfig.json"),
  { noEmit: true, noUnusedLocals: false },
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} }
)
const program = ts.createProgram(
  written.map(({ file }) => file),
  config?.options ?? {}
)
const sources = new Map(written.map(({ file, snippet }) => [file, snippet.source]))
const errors = ts.getPreEmitDiagnostics(program)
for (const { file, messageText, start } of errors) {
  const line = file === undefined || start === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line
  const name = file === undefined ? "" : (sources.get(file.fileName) ?? relative(root, file.fileName))
  console.error(`${name} (+${line}): ${ts.flattenDiagnosticMessageText(messageText, "\n")}`)
}
console.log(`${written.length} snippets, ${errors.length} errors`)
process.exitCode = written.length > 0 && errors.length === 0 ? 0 : 1
