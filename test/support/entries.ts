/** The package's entry points as they are published. */
import { readFileSync } from "node:fs"

const { exports }: { readonly exports: Readonly<Record<string, string | { readonly types: string }>> } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8")
)

/** The published entry points, each with its source, a path in the project. */
export const entries = Object.entries(exports).flatMap(([name, target]) =>
  typeof target === "string" ? [] : [{ name, source: target.types.replace("./dist", "src").replace(/\.d\.ts$/, ".ts") }]
)

/** The source of an entry point, by its name without the package's. */
export const sourceOf = (name: string): string => {
  const entry = entries.find((entry) => entry.name === `./${name}`)
  if (entry === undefined) throw new Error(`${name} is not exported`)
  return entry.source
}

/** The entry points that run without Node.js. */
export const neutral = ["Client", "GhostDB", "GhostDBTest", "FetchTransport", "HttpClientTransport"]
