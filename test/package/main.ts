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

/** A program of `get` and `put` over `GhostDBLive`, bundled: its size without Effect and its platform packages. */
const bundleOf = async (imports: string) => {
  const contents = `import { Effect } from "effect"
${imports}
Effect.runFork(GhostDB.put("a", 1).pipe(Effect.zipRight(GhostDB.get("a")), Effect.provide(GhostDBLive("gdb.conf"))))`
  const { metafile, outputFiles } = await build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    external: ["effect", "@effect/*"],
    metafile: true,
    write: false
  })
  const rooms = new Map<string, number>()
  for (const [path, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0]?.inputs ?? {})) {
    const room = /\/dist\/([^/.]+)/.exec(path)?.[1] ?? "the program"
    rooms.set(room, (rooms.get(room) ?? 0) + bytesInOutput)
  }
  return { kibibytes: gzipSync(outputFiles[0]?.contents ?? "").length / 1024, rooms }
}

/** Which part of a bundle is of which room of `src/`, before it is compressed. */
const composition = (rooms: ReadonlyMap<string, number>): string => {
  const all = [...rooms.values()].reduce((sum, bytes) => sum + bytes, 0)
  return [...rooms]
    .sort(([, one], [, other]) => other - one)
    .map(([room, bytes]) => `${room} ${((bytes / all) * 100).toFixed(0)} %`)
    .join(", ")
}

/** Bounds a little above what is measured: more is a module that has come along. */
const bundles = async () => {
  const asTag = await bundleOf(`import { GhostDB, GhostDBLive } from "effect-ghostdb"`)
  const asModule = await bundleOf(
    `import * as GhostDB from "effect-ghostdb/GhostDB"; import { GhostDBLive } from "effect-ghostdb/GhostDBLive"`
  )
  console.log(`get and put in a bundle: ${asModule.kibibytes.toFixed(1)} KiB compressed (${composition(asModule.rooms)}),
${asTag.kibibytes.toFixed(1)} as statics of the tag (${composition(asTag.rooms)})`)
  ok(asModule.kibibytes < 36, "the functions of the module bring more than the client and themselves")
  // A bundler keeps all statics of a class, so that the policies of the cache are here.
  ok(asTag.kibibytes < 50.5)
}

/** What Node.js says of each entry point where `effect` is a version that has none of Effect 3's modules, or is not there. */
const withoutEffect3 = async () => {
  const effect = join(folder, "node_modules", "effect")
  const says = async (what: RegExp) => {
    for (const name of entryPoints) {
      const program = `import ${JSON.stringify(name)}`
      const { stderr } = await support.run(process.execPath, ["--input-type=module", "--eval", program], folder)
      match(stderr, what, name)
    }
  }
  const entryPoints = support.entryPoints(folder)
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
