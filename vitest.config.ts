import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

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

/** More than there are cores: some files wait for most of their time. */
const workers = Math.ceil(availableParallelism() * 1.5)

/** What takes longest: it starts first, so that nothing long is left for the end. */
const longest = [
  "simulation.test.ts",
  "processes.test.ts",
  "types.test.ts",
  "cli.test.ts",
  "NodeServer.test.ts",
  "burst.test.ts",
  "deadline.test.ts",
  "many.test.ts",
  "hostile-nodes.test.ts"
]

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = longest.findIndex((name) => moduleId.endsWith(`/${name}`))
      return at === -1 ? longest.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

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
    // Fewer at least than at most would end idle workers, each twice when the run ends: "Terminating worker thread".
    maxWorkers: workers,
    minWorkers: workers,
    // A sixth of the suite's time was the collection of young garbage.
    poolOptions: { forks: { execArgv: ["--max-semi-space-size=64", "--single-threaded-gc"] } },
    sequence: { sequencer: LongestFirst },
    // For what hangs. No verdict depends on how fast the machine is.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxConcurrency: 10
  }
})
