import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const { exports }: { readonly exports: Readonly<Record<string, { readonly types?: string }>> } = JSON.parse(
  readFileSync(path("./package.json"), "utf8")
)

/** The package's entry points as they are published, each by its source. */
const alias = Object.entries(exports).flatMap(([name, { types }]) =>
  types === undefined
    ? []
    : [
        {
          find: new RegExp(`^effect-ghostdb${name.slice(1)}$`),
          replacement: path(types.replace("dist", "src").replace(/\.d\.ts$/, ".ts"))
        }
      ]
)

export default defineConfig({
  resolve: { alias },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // They are of the edition for Effect 4, and run there.
    exclude: ["test/effect4/replace/**"],
    // What Effect and the package load is loaded once a process, not once a file: half of the suite's time.
    isolate: false,
    globalSetup: ["./test/globalSetup.ts"],
    setupFiles: ["./test/setup.ts"],
    maxWorkers: "100%",
    minWorkers: 1,
    // For what hangs. No verdict depends on how fast the machine is.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxConcurrency: 10
  }
})
