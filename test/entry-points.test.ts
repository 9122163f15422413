/** What the package's entry points are, and what importing the platform-neutral ones brings along. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as module from "effect-ghostdb/GhostDB"
import { build } from "esbuild"
import { entries, neutral, sourceOf } from "./support/entries.js"

const root = fileURLToPath(new URL("..", import.meta.url))

/** The modules that importing some sources loads, and the names by which they import packages. */
const loadedBy = async (sources: ReadonlyArray<string>) => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [...sources],
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    outdir: "unused",
    write: false,
    metafile: true,
    // A bundler drops the import that is there for its error message alone, and says so.
    logLevel: "error"
  })
  return {
    modules: Object.keys(metafile.inputs),
    packages: Object.values(metafile.inputs).flatMap(({ imports }) =>
      imports.filter(({ external }) => external).map(({ path }) => path)
    )
  }
}

describe("the package's exports", () => {
  it("are an allow-list of files: what is not named there is private", () => {
    for (const { name, source } of entries) {
      assert.notInclude(name, "*")
      assert.isTrue(existsSync(join(root, source)), source)
    }
  })
})

describe("the platform-neutral entry points", () => {
  it("load no module of Node.js", async () => {
    const { modules, packages } = await loadedBy(neutral.map(sourceOf))
    assert.include(modules, sourceOf("Client"))
    assert.include(packages, "effect/Effect")
    assert.deepStrictEqual(
      packages.filter((name) => /^node:|platform-node/.test(name)),
      []
    )
  })
})

/** The modules of which a program has anything in its bundle. */
const bundledBy = async (program: string) => {
  const { metafile } = await build({
    absWorkingDir: root,
    stdin: { contents: program, resolveDir: root, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "node",
    external: ["effect", "@effect/*"],
    write: false,
    metafile: true,
    // A bundler drops the import that is there for its error message alone, and says so.
    logLevel: "error"
  })
  return Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([name, { bytesInOutput }]) => (bytesInOutput > 0 ? [name] : []))
  )
}

describe("the module of the service", () => {
  it("has a function for each static of the tag", () => {
    const ofEveryClass = Object.getOwnPropertyNames(class {})
    const statics = Object.getOwnPropertyNames(module.GhostDB).filter((name) => !ofEveryClass.includes(name))
    assert.includeMembers(statics, ["get", "delete", "forSchema", "topology"])
    assert.sameMembers(
      statics,
      Object.keys(module).filter((name) => !["GhostDB", "tag"].includes(name))
    )
    assert.strictEqual(module.tag.key, module.GhostDB.key)
  })

  it("brings into a bundle what is used of it, and no policy that is not", async () => {
    const bundled = await bundledBy(`import * as GhostDB from "./src/GhostDB.ts"
      import { GhostDBLive } from "./src/index.ts"
      import * as Effect from "effect/Effect"
      Effect.runFork(Effect.provide(GhostDB.get("key"), GhostDBLive("gdb.conf")))`)
    assert.include(bundled, "src/GhostDB.ts")
    for (const name of ["Store", "CacheAside", "Lock", "Stamps", "EntryStore", "Freshness", "TypedMany"]) {
      assert.notInclude(bundled, `src/cache/${name}.ts`)
    }
    assert.deepStrictEqual(
      bundled.filter((name) =>
        /^src\/(server|adapters|cli)\/|HttpClientTransport|FetchTransport|GhostDBTest/.test(name)
      ),
      []
    )
  })
})
