/** What the package's entry points are, and what importing the platform-neutral ones brings along. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as module from "effect-ghostdb/GhostDB"
import { build } from "esbuild"
import ts from "typescript"

const root = fileURLToPath(new URL("..", import.meta.url))

const { exports }: { readonly exports: Readonly<Record<string, string | { readonly types: string }>> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

/** The published entry points, each with its source. */
const entries = Object.entries(exports).flatMap(([name, target]) =>
  typeof target === "string" ? [] : [{ name, source: target.types.replace("./dist", "src").replace(/\.d\.ts$/, ".ts") }]
)

const sourceOf = (name: string) => {
  const entry = entries.find((entry) => entry.name === `./${name}`)
  assert.isDefined(entry, `${name} is not exported`)
  return entry?.source ?? ""
}

const neutral = ["Client", "GhostDB", "GhostDBTest", "FetchTransport", "HttpClientTransport"]

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

/** The declarations of some sources and of all that they import, as the build emits them. */
const declarationsOf = (sources: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(root, "tsconfig.build.json"),
    // The type-check is the build's business: it takes much longer than the declarations.
    { emitDeclarationOnly: true, declarationMap: false, noCheck: true },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} }
  )
  const program = ts.createProgram(
    sources.map((source) => join(root, source)),
    config?.options ?? {}
  )
  const declarations = new Map<string, string>()
  program.emit(undefined, (file, text) => declarations.set(file, text))
  return declarations
}

/** The declarations that an importer of `source` reads. */
const readBy = (source: string, declarations: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
  const read = new Map<string, string>()
  const visit = (file: string): void => {
    const text = declarations.get(file)
    if (text === undefined || read.has(file)) return
    read.set(file, text)
    for (const [, name = ""] of text.matchAll(/(?:from |import\()"(\.[^"]+)\.js"/g))
      visit(join(file, "..", `${name}.d.ts`))
  }
  visit(join(root, source.replace(/^src/, "dist").replace(/\.ts$/, ".d.ts")))
  return read
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

  it("have declarations that need no types of Node.js", () => {
    const declarations = declarationsOf(neutral.map(sourceOf))
    for (const name of neutral) {
      const read = readBy(sourceOf(name), declarations)
      assert.isNotEmpty([...read])
      for (const [file, text] of read) assert.notMatch(text, /\bBuffer\b|\bNodeJS\b|"node:/, file)
    }
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
