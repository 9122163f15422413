/** The code in the documentation: TypeScript blocks of the documents and the examples of doc comments. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The project's folder. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Snippet {
  /** File and line, from 1, of the code's first line. */
  readonly source: string
  readonly code: string
}

const lineOf = (text: string, index: number) => text.slice(0, index).split("\n").length

const below = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file))

/** The documents that users get: their links must lead to what is published, and their programs are run. README is first. */
export const published = (): ReadonlyArray<string> => [
  "README.md",
  ...["src", "examples"].flatMap(below).filter((file) => file.endsWith(".md"))
]

const readme = (): ReadonlyArray<Snippet> =>
  published().flatMap((document) => {
    const text = readFileSync(join(root, document), "utf8")
    return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => ({
      source: `${document}:${lineOf(text, match.index) + 1}`,
      code: match[1] ?? ""
    }))
  })

const sources = () => below("src").filter((file) => file.endsWith(".ts"))

const comments = (): ReadonlyArray<Snippet> =>
  sources().flatMap((file) => {
    const text = readFileSync(join(root, file), "utf8")
    return [...text.matchAll(/^ *\* @example\n(.*?)(?=^ *\*\/$|^ *\* @)/gms)].map((match) => ({
      source: `${file}:${lineOf(text, match.index) + 1}`,
      code: (match[1] ?? "").replace(/^ *\* ?/gm, "")
    }))
  })

/** Every block of the documents, and every example of a doc comment. */
export const snippets = { readme, comments }

/** Writes snippets as modules into a folder of their own below the project, so that they resolve what it does. */
export const write = (
  folder: string,
  all: ReadonlyArray<Snippet>
): ReadonlyArray<{ file: string; snippet: Snippet }> => {
  const target = join(root, "build", folder)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  return all.map((snippet, i) => {
    const file = join(target, `${String(i).padStart(2, "0")}.ts`)
    writeFileSync(file, `${snippet.code}\nexport {}\n`)
    return { file, snippet }
  })
}
