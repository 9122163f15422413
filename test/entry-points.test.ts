/** What the package's entry points are, and what importing the platform-neutral ones brings along. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
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

const neutral = ["Client", "GhostDB", "GhostDBTest", "HttpClientTransport"]

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
    metafile: true
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
    { emitDeclarationOnly: true, declarationMap: false },
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
