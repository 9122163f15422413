/**
 * The package as its users get it: packed, installed in an empty folder by README's command, README's first program in
 * JavaScript and in TypeScript, and every command of `ghostdb` that ends by itself on nodes of each dialect; `npm run smoke`.
 */
import { deepStrictEqual, match, ok } from "node:assert/strict"
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"
import * as support from "./support.js"

const folder = support.temporary("package")

const succeed = (command: string, args: ReadonlyArray<string>) => support.succeed(command, args, folder)

const ghostdb = (...args: ReadonlyArray<string>) =>
  support.run(join(folder, "node_modules", ".bin", "ghostdb"), args, folder)

/** Asserts how a command ends and what it prints. */
const says = async (args: ReadonlyArray<string>, code: number, stdout: RegExp) => {
  const ended = await ghostdb(...args)
  const what = `ghostdb ${args.join(" ")}: ${JSON.stringify(ended)}`
  deepStrictEqual(ended.code, code, what)
  match(ended.stdout, stdout, what)
}

const pack = async () => {
  const { paths, tarball } = await support.pack(folder)
  ok(paths.includes("dist/index.js") && paths.includes("README.md") && paths.includes("LICENSE"))
  deepStrictEqual(
    paths.filter((path) => !/^(dist|src|examples)\/|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(path)),
    []
  )
  deepStrictEqual(
    paths.filter((path) => /test|spec|bench\/|fixture/i.test(path) && !/GhostDBTest\.|^examples\//.test(path)),
    []
  )
  return tarball
}

const install = async (tarball: string) => {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  await succeed("npm", ["install", ...support.quiet, tarball, ...support.peersOfReadme()])
  await succeed("npm", ["install", ...support.quiet, "--save-dev", "typescript@5", "@types/node@20"])
}

/** What a program of `get` and `put` over `GhostDBLive` brings into a bundle besides Effect and its platform packages. */
const bundleOf = async (imports: string) => {
  const contents = `import { Effect } from "effect"
${imports}
Effect.runFork(GhostDB.put("a", 1).pipe(Effect.zipRight(GhostDB.get("a")), Effect.provide(GhostDBLive("gdb.conf"))))`
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    external: ["effect", "@effect/*"],
    write: false
  })
  return gzipSync(outputFiles[0]?.contents ?? "").length / 1024
}

/** Bounds a little above what is measured: more is a module that has come along. */
const bundles = async () => {
  const asTag = await bundleOf(`import { GhostDB, GhostDBLive } from "effect-ghostdb"`)
  const asModule = await bundleOf(
    `import * as GhostDB from "effect-ghostdb/GhostDB"; import { GhostDBLive } from "effect-ghostdb/GhostDBLive"`
  )
  console.log(
    `get and put in a bundle: ${asModule.toFixed(1)} KiB compressed, ${asTag.toFixed(1)} as statics of the tag`
  )
  ok(asModule < 36, "the functions of the module bring more than the client and themselves")
  // A bundler keeps all statics of a class, so that the policies of the cache are here.
  ok(asTag < 47)
}

/** What Node.js says where `effect` is a version that has none of Effect 3's modules, or is not there. */
const withoutEffect3 = async () => {
  const effect = join(folder, "node_modules", "effect")
  const says = async (what: RegExp) => {
    const { stderr } = await support.run(process.execPath, ["--input-type=module", "--eval", program], folder)
    match(stderr, what)
  }
  const program = `import "effect-ghostdb"`
  const importer = "imported from .*effect-ghostdb[/\\\\]dist[/\\\\]install-effect@3\\.js"
  renameSync(effect, `${effect}.3`)
  await says(new RegExp(`Cannot find package 'effect' ${importer}`))
  mkdirSync(effect)
  const manifest = { name: "effect", version: "4.0.0", type: "module", exports: { "./*": "./dist/*.js" } }
  writeFileSync(join(effect, "package.json"), JSON.stringify(manifest))
  await says(new RegExp(`Cannot find module .* ${importer}`))
  rmSync(effect, { recursive: true })
  renameSync(`${effect}.3`, effect)
}

const programs = async () => {
  writeFileSync(join(folder, "first.js"), support.firstProgramInJavaScript())
  writeFileSync(join(folder, "typed.ts"), support.firstProgram())
  // Declarations of Effect's own need types that it does not bring along.
  const strict = [
    "--strict",
    "--skipLibCheck",
    "--exactOptionalPropertyTypes",
    "--module",
    "nodenext",
    "--target",
    "es2022"
  ]
  await succeed(join(folder, "node_modules", ".bin", "tsc"), [...strict, "--types", "node", "typed.ts"])
  for (const file of ["first.js", "typed.js"]) {
    match(await succeed(process.execPath, [file]), support.firstOutput)
    await says(["get", "AMZN", "--json"], 0, /"value":\{"price":3107\.3,"symbol":"AMZN"\}/)
    await says(["delete", "AMZN"], 0, /^REMOVED$/m)
  }
}

const commands = async (dialect: string) => {
  await says(["ping"], 0, /127\.0\.0\.1:\d+/)
  await says(["get", "key"], 1, /^$/)
  await says(["put", "key", '{"n": [1, null]}', "--ttl", "5m"], 0, /^STORED$/m)
  await says(["add", "key", "2"], 1, /^NOT_STORED$/m)
  await says(["get", "key"], 0, /"n"/)
  if (dialect !== "v1") await says(["size", "--json"], 0, /1/)
  await says(["metrics", "--json"], 0, /127\.0\.0\.1/)
  const owner =
    dialect === "raft" ? /"key" is on every node, .*; 127\.0\.0\.1:\d+ leads/ : /"key" is on 127\.0\.0\.1:\d+/
  await says(["ring", "key"], 0, owner)
  await says(["leader"], dialect === "raft" ? 0 : 1, dialect === "raft" ? /127\.0\.0\.1:\d+/ : /^$/)
  await says(["bench", "--seconds", "0.3", "--json"], 0, /"p99"|"p999"/i)
  await says(["delete", "key"], 0, /^REMOVED$/m)
  await says(["delete", "key"], 1, /^NOT_FOUND$/m)
  await says(["flush", "--yes"], 0, /^FLUSHED$/m)
  await says(["frobnicate"], 2, /^$/)
}

try {
  const tarball = await pack()
  await install(tarball)
  console.log("packed and installed")
  await bundles()
  await withoutEffect3()
  await says(["--help"], 0, /serve/)
  await says(["get", "key"], 2, /^$/)
  for (const dialect of ["v1", "v2", "raft"]) {
    await support.serving(folder, ["--dialect", dialect, "--port", "0"], async () => {
      if (dialect === "v2") await programs()
      await commands(dialect)
    })
    console.log(`${dialect}: ok`)
  }
  await support.serving(folder, support.composeOptions(), async () => {
    await says(["put", "key", "1"], 0, /^STORED$/m)
    await says(["get", "key"], 0, /^1$/m)
  })
  console.log("the node of the compose file: ok")
} finally {
  rmSync(folder, { recursive: true })
}
