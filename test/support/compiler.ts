/** The TypeScript compiler on modules that exist in a test alone. */
import { fileURLToPath } from "node:url"
import ts from "typescript"

/** The project's folder, with a slash at its end. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)

/** The compiler options of the project. */
export const projectOptions = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root).options

/** Most of a program is the declarations of packages: they are parsed once for all programs. */
const parsed = new Map<string, ts.SourceFile | undefined>()

/** A program of modules that are given by the paths at which they would stand, and of what they import. */
export const programOf = (texts: ReadonlyMap<string, string>, options: ts.CompilerOptions): ts.Program => {
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  return ts.createProgram([...texts.keys()], options, {
    ...host,
    fileExists: (file) => texts.has(file) || fileExists(file),
    getSourceFile: (file, version) => {
      const text = texts.get(file)
      if (text !== undefined) return ts.createSourceFile(file, text, version)
      if (!parsed.has(file)) parsed.set(file, getSourceFile(file, version))
      return parsed.get(file)
    }
  })
}
