/** The TypeScript compiler, also on modules that exist in a test alone. */
import { fileURLToPath } from "node:url"
import ts from "typescript"

/** The project's folder, with a slash at its end. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

/** The compiler options of one of the project's configurations. */
export const optionsOf = (config: string): ts.CompilerOptions =>
  ts.getParsedCommandLineOfConfigFile(`${root}${config}`, undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
      throw new Error(ts.flattenDiagnosticMessageText(messageText, "\n"))
    }
  })?.options ?? {}

/** Most of a program is the declarations of packages: they are parsed once for all programs. */
const parsed = new Map<string, ts.SourceFile | undefined>()

/** A program of files, of modules that are given by the paths at which they would stand, and of what both import. */
export const programOf = (
  files: ReadonlyArray<string>,
  texts: ReadonlyMap<string, string>,
  options: ts.CompilerOptions
): ts.Program => {
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  return ts.createProgram([...files, ...texts.keys()], options, {
    ...host,
    // As tsc does: packages have more comments than declarations.
    jsDocParsingMode: ts.JSDocParsingMode.ParseForTypeErrors,
    fileExists: (file) => texts.has(file) || fileExists(file),
    getSourceFile: (file, version) => {
      const text = texts.get(file)
      if (text !== undefined) return ts.createSourceFile(file, text, version)
      if (!parsed.has(file)) parsed.set(file, getSourceFile(file, version))
      return parsed.get(file)
    }
  })
}

/** What is wrong with one file of a program. */
export const problemsOf = (program: ts.Program, file: string): ReadonlyArray<ts.Diagnostic> => {
  const source = program.getSourceFile(file)
  if (source === undefined) throw new Error(`not in the program: ${file}`)
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
}

/** The message of a problem, with what the compiler adds to it on lines of their own. */
export const messageOf = ({ messageText }: ts.Diagnostic): string => ts.flattenDiagnosticMessageText(messageText, "\n")
