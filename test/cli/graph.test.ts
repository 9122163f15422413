import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** What the entry points lead to: the package's own modules, and by which names they import others. */
const graph = async (entryPoints: ReadonlyArray<string>) => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [...entryPoints],
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    packages: "external",
    outdir: "unused",
    write: false,
    metafile: true
  })
  return metafile
}

describe("what is loaded", () => {
  it("a program that imports the library loads nothing of the command", async () => {
    const modules = readdirSync(`${root}src`).filter((file) => file.endsWith(".ts"))
    assert.include(modules, "index.ts")
    const { inputs } = await graph(modules.map((file) => `src/${file}`))
    const imported = Object.values(inputs).flatMap(({ imports }) => imports.map(({ path }) => path))
    assert.deepStrictEqual(
      Object.keys(inputs).filter((file) => file.startsWith("src/cli/")),
      []
    )
    assert.deepStrictEqual(
      imported.filter((name) => /^@effect\/(cli|printer)/.test(name)),
      []
    )
  })

  it("the command loads the client when a command needs it, and not before", async () => {
    const { outputs } = await graph(["src/cli/main.ts"])
    const loaded = new Set<string>()
    const load = (file: string): void => {
      if (loaded.has(file)) return
      loaded.add(file)
      for (const { kind, path } of outputs[file]?.imports ?? []) if (kind === "import-statement") load(path)
    }
    load("unused/main.js")
    const inputs = [...loaded].flatMap((file) => Object.keys(outputs[file]?.inputs ?? {}))
    assert.include(inputs, "src/cli/Cli.ts")
    assert.deepStrictEqual(
      inputs.filter((file) => /^src\/(client|transport|server|cli\/commands)\//.test(file)),
      []
    )
    assert.isTrue(Object.values(outputs).some((output) => "src/client/Client.ts" in output.inputs))
  })

  it("the server of the page is loaded by ui alone, and the page itself by no module", async () => {
    const { inputs, outputs } = await graph(["src/cli/main.ts"])
    const withServer = Object.values(outputs).filter(({ inputs }) => "src/cli/commands/ui/server.ts" in inputs)
    assert.deepStrictEqual(
      withServer.map(({ entryPoint }) => entryPoint),
      ["src/cli/commands/ui/ui.ts"]
    )
    assert.deepStrictEqual(
      Object.keys(inputs).filter((file) => file.includes("/ui/page/")),
      []
    )
  })
})
