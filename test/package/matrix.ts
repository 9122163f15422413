/**
 * The packed package where its users run it: package managers, runtimes, TypeScript versions, peers; `npm run matrix`.
 *
 * `npm run matrix -- runtimes peers` runs groups of it, `--quick` what takes two minutes, the groups at the same time;
 * `--no-build` packs the build that is there. Each tool is installed from the npm registry into a folder of its own, which
 * is removed in the end. Prints tables in Markdown.
 */
import { ok } from "node:assert/strict"
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { build } from "esbuild"
import { root } from "../docs/snippets.js"
import * as support from "./support.js"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean" }, "no-build": { type: "boolean" } }
})
const isQuick = values.quick === true
const isWanted = (group: string) => positionals.length === 0 || positionals.includes(group)

const folder = support.temporary("matrix")
const home = join(folder, "home")

interface Row {
  readonly group: string
  readonly name: string
  readonly result: string
  readonly ok: boolean
}
const rows: Array<Row> = []

/** A cell: what it says where it succeeds, or the error. */
const cell = async (group: string, name: string, check: () => Promise<string>) => {
  const started = performance.now()
  const row = await check().then(
    (result) => ({ group, name, result, ok: true }),
    (error: unknown) => ({ group, name, result: error instanceof Error ? error.message : String(error), ok: false })
  )
  rows.push(row)
  const seconds = ((performance.now() - started) / 1000).toFixed(0)
  console.error(`${row.ok ? "ok  " : "FAIL"} ${group}: ${name}: ${row.result.slice(0, 2000)} (${seconds} s)`)
}

const makeFolder = (name: string, manifest: object): string => {
  const path = join(folder, name)
  mkdirSync(path)
  writeFileSync(join(path, "package.json"), JSON.stringify({ private: true, type: "module", ...manifest }))
  return path
}

const tools = new Map<string, Promise<string>>()

const installTool = async (name: string, packages: ReadonlyArray<string>): Promise<string> => {
  const path = makeFolder(`tool-${name}`, {})
  await support.succeed("npm", ["install", ...support.quiet, "--ignore-scripts", ...packages], path)
  return path
}

/** A tool in a folder of its own. */
const tool = (name: string, ...packages: ReadonlyArray<string>): Promise<string> => {
  const path = tools.get(name) ?? installTool(name, packages)
  tools.set(name, path)
  return path
}

const versionOf = (path: string, name: string): string =>
  JSON.parse(readFileSync(join(path, "node_modules", name, "package.json"), "utf8")).version

/** Effect, @effect/platform, @effect/platform-node, @effect/experimental. */
const peerNames = ["effect", "@effect/platform", "@effect/platform-node", "@effect/experimental"]
const newest = ["3", "0", "0", "0"]
const peerSets: { readonly [name: string]: ReadonlyArray<string> } = {
  lowest: ["3.17.1", "0.90.0", "0.94.0", "0.54.0"],
  middle: ["3.19.19", "0.94.5", "0.104.1", "0.58.0"],
  newest
}

const installPeers = (path: string, tarball: string, versions: ReadonlyArray<string>, ...more: ReadonlyArray<string>) =>
  support.succeed(
    "npm",
    // What the platform packages ask for besides is not loaded.
    [
      "install",
      ...support.quiet,
      "--legacy-peer-deps",
      tarball,
      ...peerNames.map((name, i) => `${name}@${versions[i]}`),
      "@effect/platform-node-shared@0",
      ...more
    ],
    path
  )

/** The contract as JavaScript of one file for each way to run it, in a folder where the package is installed. */
const writeContract = async (path: string) => {
  await build({
    absWorkingDir: root,
    entryPoints: ["live", "fetch", "worker", "shared"].map((name) => `test/package/entries/${name}.ts`),
    outdir: path,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    external: ["cloudflare:*"],
    format: "esm",
    target: "es2022",
    logLevel: "error"
  })
}

const nodesIn = (path: string): string =>
  readFileSync(join(path, "gdb.conf"), "utf8")
    .split("\n")
    .filter((line) => /^[^#]/.test(line))
    .join(",")

/** A port on which nobody listens. */
const deadPort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 1))
    })
  })

const contractResult = (stdout: string): string => {
  const { checks, failed }: { readonly checks: number; readonly failed: ReadonlyArray<string> } = JSON.parse(
    stdout.trim().split("\n").at(-1) ?? ""
  )
  ok(failed.length === 0 && checks > 20, failed.join("\n"))
  return `${checks} checks`
}

/** Runs a contract program against the nodes that `path` serves. */
const runContract = async (
  entry: "live" | "fetch",
  path: string,
  command: string,
  ...before: ReadonlyArray<string>
): Promise<string> => {
  const dead = `127.0.0.1:${await deadPort()}`
  writeFileSync(join(path, "dead.conf"), dead)
  const args = entry === "live" ? ["gdb.conf", "dead.conf"] : [nodesIn(path), dead]
  return contractResult(await support.succeed(command, [...before, `${entry}.mjs`, ...args], path))
}

const bunBinary = async (): Promise<string> => {
  const path = await tool("bun", "bun@1")
  // Puts the binary of the platform's package in its place.
  await support.succeed(process.execPath, ["install.js"], join(path, "node_modules", "bun"))
  return join(path, "node_modules", ".bin", "bun")
}

const denoCommand = async () => [join(await tool("deno", "deno@2"), "node_modules/.bin/deno"), "run", "-A"]

// Package managers

const managers = async (tarball: string, served: string) => {
  const dependencies = {
    "effect-ghostdb": `file:${tarball}`,
    ...Object.fromEntries(
      support
        .peersOfReadme()
        .map((peer) => [peer.slice(0, peer.lastIndexOf("@")), peer.slice(peer.lastIndexOf("@") + 1)])
    )
  }
  const program = async (
    name: string,
    install: (path: string) => Promise<unknown>,
    command: ReadonlyArray<string> = [process.execPath]
  ) =>
    cell("package managers", name, async () => {
      const path = makeFolder(`manager-${name.replaceAll(/\W/g, "-")}`, { dependencies })
      await install(path)
      copyFileSync(join(served, "gdb.conf"), join(path, "gdb.conf"))
      writeFileSync(join(path, "first.js"), support.firstProgramInJavaScript())
      const [runner = "", ...args] = command
      const printed = await support.succeed(runner, [...args, "first.js"], path, env)
      ok(support.firstOutput.test(printed), printed)
      return "runs"
    })
  const env = { HOME: home, YARN_ENABLE_TELEMETRY: "0", YARN_ENABLE_IMMUTABLE_INSTALLS: "false" }
  const yarn4 = (linker: string) => async (path: string) => {
    writeFileSync(join(path, ".yarnrc.yml"), `nodeLinker: ${linker}\nenableGlobalCache: false\n`)
    writeFileSync(join(path, "yarn.lock"), "")
    await support.succeed(process.execPath, [await yarnBinary(), "install"], path, env)
  }
  const yarnBinary = async () =>
    join(await tool("yarn4", "@yarnpkg/cli-dist@4"), "node_modules/@yarnpkg/cli-dist/bin/yarn.js")
  await program("npm", (path) => support.succeed("npm", ["install", ...support.quiet], path))
  await program("Yarn 4, PnP", yarn4("pnp"), [process.execPath, await yarnBinary(), "node"])
  if (isQuick) return
  await program("Yarn 4, node_modules", yarn4("node-modules"))
  await program("Yarn 1", async (path) => {
    const yarn = join(await tool("yarn1", "yarn@1"), "node_modules/yarn/bin/yarn.js")
    await support.succeed(process.execPath, [yarn, "install", "--no-lockfile", "--non-interactive"], path, env)
  })
  await program("pnpm", async (path) => {
    const pnpm = join(await tool("pnpm", "pnpm@10"), "node_modules/pnpm/bin/pnpm.cjs")
    await support.succeed(process.execPath, [pnpm, "install", "--no-frozen-lockfile"], path, env)
  })
  const bun = await bunBinary()
  await program("Bun", (path) => support.succeed(bun, ["install"], path, env), [bun])
}

// Runtimes

const platform = `${process.platform}-${process.arch}`

const nodeBinary = async (version: string) => {
  const name = `node-${platform}`
  const path = await tool(`node-${version}`, `${name}@${version}`)
  return join(path, "node_modules", name, "bin", "node")
}

/** Runs a module of a Worker in workerd: the answers to requests that are made at the same time. */
const worker = async (
  served: string,
  entry: string,
  bindings: Readonly<Record<string, string>>,
  urls: ReadonlyArray<string>
): Promise<ReadonlyArray<string>> => {
  const { outputFiles } = await build({
    absWorkingDir: served,
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["worker"],
    external: ["cloudflare:*"],
    write: false,
    logLevel: "error"
  })
  const path = await tool("workerd", "miniflare@4")
  writeFileSync(join(path, "worker.mjs"), outputFiles[0]?.text ?? "")
  writeFileSync(
    join(path, "run.mjs"),
    `import { readFileSync } from "node:fs"
import { Miniflare } from "miniflare"
const [bindings, urls] = process.argv.slice(2).map((text) => JSON.parse(text))
const script = readFileSync("worker.mjs", "utf8")
const worker = new Miniflare({ modules: true, script, compatibilityDate: "2026-01-01", bindings })
const answers = await Promise.all(urls.map(async (url) => (await worker.dispatchFetch(url)).text()))
await worker.dispose()
console.log(JSON.stringify(answers))
`
  )
  const args = ["run.mjs", JSON.stringify(bindings), JSON.stringify(urls)]
  return JSON.parse((await support.succeed(process.execPath, args, path)).trim().split("\n").at(-1) ?? "")
}

const workers = async (served: string) => {
  await cell("runtimes", "workerd, FetchTransport", async () => {
    const bindings = { LIVE: nodesIn(served), DEAD: `127.0.0.1:${await deadPort()}` }
    const [answer = ""] = await worker(served, "worker.mjs", bindings, ["http://worker/"])
    return contractResult(answer)
  })
  const ten = Array.from({ length: 10 }, (_, i) => `http://worker/QUOTE${i}`)
  for (const [name, nodes] of [
    ["live", nodesIn(served)],
    ["dead", `127.0.0.1:${await deadPort()},127.0.0.1:${await deadPort()}`]
  ] as const) {
    await cell("runtimes", `workerd, ten requests at once to examples/edge-worker.ts, nodes ${name}`, async () => {
      copyFileSync(join(root, "examples/edge-worker.ts"), join(served, "edge-worker.ts"))
      const answers = await worker(served, "edge-worker.ts", { GHOSTDB_NODES: nodes }, ten)
      ok(
        answers.every((answer, i) => answer === `{"symbol":"QUOTE${i}","price":3107.3}`),
        answers.join("\n")
      )
      return "answers"
    })
    await cell("runtimes", `workerd, ten requests at once that share a client, nodes ${name}`, async () => {
      const failures = name === "live" ? [] : ["Refused", "Refused"]
      const answers = await worker(served, "shared.mjs", { NODES: nodes }, ten)
      ok(
        answers.every((answer) => answer === JSON.stringify({ value: 7, failures })),
        answers.join("\n")
      )
      return name === "live" ? "answers" : "each says that the nodes refuse"
    })
  }
}

const runtimes = async (served: string) => {
  const contract = (name: string, entry: "live" | "fetch", command: () => Promise<ReadonlyArray<string>>) =>
    cell("runtimes", `${name}, ${entry === "live" ? "GhostDBLive" : "FetchTransport"}`, async () => {
      const [binary = "", ...args] = await command()
      const version = (await support.succeed(binary, ["--version"], served)).split("\n")[0]?.replace(/^deno /, "")
      return `${await runContract(entry, served, binary, ...args)} (${version})`
    })
  const bun = async () => [await bunBinary()]
  const nodes = isQuick ? ["latest"] : ["20.15", "20", "22", "24", "latest"]
  for (const version of nodes) await contract(`Node ${version}`, "live", async () => [await nodeBinary(version)])
  await contract("Bun", "live", bun)
  await contract("Deno", "live", denoCommand)
  if (isQuick) return
  await contract("Node 20", "fetch", () => Promise.resolve([process.execPath]))
  await contract("Bun", "fetch", bun)
  await contract("Deno", "fetch", denoCommand)
  await workers(served)
}

// TypeScript

const typescript = async (tarball: string) => {
  const path = makeFolder("typescript", {})
  await installPeers(path, tarball, newest, "@types/node@20")
  copyFileSync(join(root, "test/package/contract.ts"), join(path, "contract.ts"))
  writeFileSync(join(path, "first.ts"), support.firstProgram())
  const resolutions = [
    ["nodenext", "nodenext"],
    ["node16", "node16"],
    ["esnext", "bundler"]
  ] as const
  for (const version of isQuick ? ["5.4"] : ["5.4", "5.5", "5.6", "5.7", "5.8", "5.9", "latest"]) {
    const compiler = await tool(`typescript-${version}`, `typescript@${version}`)
    for (const [module, moduleResolution] of resolutions) {
      for (const skipLibCheck of [true, false]) {
        const name = `TypeScript ${version} (${versionOf(compiler, "typescript")}), ${moduleResolution}, skipLibCheck ${skipLibCheck}`
        await cell("TypeScript", name, async () => {
          const options = { module, moduleResolution, skipLibCheck, target: "es2022", lib: ["es2023"], types: ["node"] }
          const strict = { strict: true, exactOptionalPropertyTypes: true, noEmit: true }
          writeFileSync(
            join(path, "tsconfig.json"),
            JSON.stringify({ compilerOptions: { ...options, ...strict }, files: ["contract.ts", "first.ts"] })
          )
          const tsc = join(compiler, "node_modules/.bin/tsc")
          const { stdout } = await support.run(tsc, ["--pretty", "false", "-p", "."], path)
          const errors = stdout.split("\n").filter((line) => /error TS/.test(line))
          // Declarations of other packages are theirs to mend; they are counted.
          const others = errors.filter((line) => /^node_modules\/(?!effect-ghostdb\/)/.test(line))
          ok(errors.length === others.length, errors.filter((line) => !others.includes(line)).join("\n"))
          return others.length === 0 ? "compiles" : `compiles; ${others.length} errors in packages of others`
        })
      }
      if (isQuick) break
    }
  }
}

// Peers

/** What each entry point says where Effect 4 is installed, on each runtime: what to install. */
const effect4 = async (tarball: string) => {
  const path = makeFolder("effect4", {})
  await installPeers(path, tarball, ["4", ...newest.slice(1)])
  const runtimes: { readonly [name: string]: () => Promise<ReadonlyArray<string>> } = {
    Node: () => Promise.resolve([process.execPath]),
    Bun: async () => [await bunBinary()],
    Deno: denoCommand
  }
  for (const [name, command] of Object.entries(runtimes)) {
    await cell("peers", `effect ${versionOf(path, "effect")} by mistake, ${name}`, async () => {
      const [binary = "", ...args] = await command()
      // Bun names the first module that it finds missing, whichever imports it.
      const names = name === "Bun" ? ["effect-ghostdb"] : support.entryPoints(path)
      for (const entry of names) {
        writeFileSync(join(path, "import.mjs"), `import ${JSON.stringify(entry)}\n`)
        const { stderr } = await support.run(binary, [...args, "import.mjs"], path)
        ok(/Cannot find module .*effect-ghostdb[/\\]dist[/\\]install-effect@3\.js/.test(stderr), `${entry}: ${stderr}`)
      }
      return `${names.length === 1 ? "the main entry point says" : `${names.length} entry points say`} what to install`
    })
  }
}

const peers = async (tarball: string, served: string) => {
  if (!isQuick) await effect4(tarball)
  for (const [name, versions] of Object.entries(peerSets)) {
    if (isQuick && name !== "lowest") continue
    await cell("peers", name, async () => {
      const path = makeFolder(`peers-${name}`, {})
      await installPeers(path, tarball, versions, "typescript@5.9", "@types/node@20")
      copyFileSync(join(served, "gdb.conf"), join(path, "gdb.conf"))
      await writeContract(path)
      const result = await runContract("live", path, process.execPath)
      const adapters = ["KeyValueStore", "Persistence", "Resolver", "NearCache", "GhostDBTest", "HttpClientTransport"]
      const imports = adapters.map((name) => `await import("effect-ghostdb/${name}")`).join(";")
      await support.succeed(process.execPath, ["--input-type=module", "--eval", imports], path)
      const installed = peerNames.map((name) => `${name} ${versionOf(path, name)}`)
      return `${result}: ${installed.join(", ")}`
    })
  }
}

try {
  mkdirSync(home)
  const { tarball } = await support.pack(folder, { build: values["no-build"] !== true })
  const served = makeFolder("served", {})
  await installPeers(served, tarball, newest)
  await writeContract(served)
  await support.serving(served, ["--dialect", "v2", "--port", "0"], async () => {
    const groups = {
      runtimes: () => runtimes(served),
      peers: () => peers(tarball, served),
      managers: () => managers(tarball, served),
      typescript: () => typescript(tarball)
    }
    const wanted = Object.entries(groups).flatMap(([name, run]) => (isWanted(name) ? [run] : []))
    if (isQuick) await Promise.all(wanted.map((run) => run()))
    else for (const run of wanted) await run()
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const groups = [...new Set(rows.map(({ group }) => group))]
for (const group of groups) {
  console.log(`\n| ${group} | ${new Date().toISOString().slice(0, 10)} |\n| --- | --- |`)
  for (const { name, ok, result } of rows.filter((row) => row.group === group)) {
    console.log(`| ${name} | ${ok ? result : `fails: ${result.split("\n")[0]}`} |`)
  }
}
const failed = rows.filter(({ ok }) => !ok).length
console.log(`\n${rows.length - failed} of ${rows.length} cells as they should be`)
process.exitCode = rows.length > 0 && failed === 0 ? 0 : 1
