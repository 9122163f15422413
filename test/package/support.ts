/** The package as its users get it: packed, installed, and run against nodes that it serves itself. */
import { deepStrictEqual, ok } from "node:assert/strict"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { setTimeout as delay } from "node:timers/promises"
import { root, snippets } from "../docs/snippets.js"

/** A new folder outside of the project, so that nothing is resolved from here. */
export const temporary = (name: string): string => mkdtempSync(join(realpathSync(tmpdir()), `ghostdb-${name}-`))

const { GHOSTDB_NODES: _nodes, NODE_OPTIONS: _options, ...environment } = process.env

export interface Ended {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, for four minutes at most. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  cwd: string,
  env: Readonly<Record<string, string>> = {}
): Promise<Ended> =>
  new Promise((resolve) => {
    const options = { cwd, env: { ...environment, ...env }, timeout: 240_000, maxBuffer: 16 * 1024 * 1024 }
    execFile(command, args, options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr })
    )
  })

/** {@link run}, whose standard output it is; anything but success is an error. */
export const succeed = async (
  command: string,
  args: ReadonlyArray<string>,
  cwd: string,
  env?: Readonly<Record<string, string>>
): Promise<string> => {
  const { code, stderr, stdout } = await run(command, args, cwd, env)
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${stdout}\n${stderr}`)
  return stdout
}

/** Packs the project into a folder, built anew unless `build` is false: the tarball's path, and the files in it. */
export const pack = async (
  folder: string,
  { build = true } = {}
): Promise<{ readonly tarball: string; readonly paths: ReadonlyArray<string> }> => {
  const scripts = build ? [] : ["--ignore-scripts"]
  const packed = await succeed("npm", ["pack", "--json", ...scripts, "--pack-destination", folder], root)
  // The build prints what it does before.
  const [{ filename, files }] = JSON.parse(packed.slice(packed.search(/^\[/m)))
  return {
    tarball: join(folder, filename),
    paths: files.map(({ path }: { readonly path: string }) => path)
  }
}

/** Options of npm for folders that are thrown away. */
export const quiet = ["--no-audit", "--no-fund", "--prefer-offline"]

/** The packages beside this one that README's command installs. */
export const peersOfReadme = (): ReadonlyArray<string> => {
  const command = /^npm install effect-ghostdb (.*)$/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1]
  const peers = command?.split(" ") ?? []
  ok(peers.length === 3)
  return peers
}

/** What can be imported from the package that is installed in a folder. */
export const entryPoints = (folder: string): ReadonlyArray<string> => {
  const manifest = JSON.parse(readFileSync(join(folder, "node_modules", "effect-ghostdb", "package.json"), "utf8"))
  const names = Object.keys(manifest.exports).filter((name) => !name.endsWith(".json"))
  ok(names.length > 20)
  return names.map((name) => name.replace(".", "effect-ghostdb"))
}

/** README's first program, as it stands. */
export const firstProgram = (): string => {
  const code = snippets.readme()[0]?.code ?? ""
  ok(code.includes("GhostDBLive("))
  return code
}

/** {@link firstProgram} in JavaScript: it has no types; that is all the difference. */
export const firstProgramInJavaScript = (): string => firstProgram().replaceAll("(symbol: string)", "(symbol)")

/** The options of `ghostdb serve` in the compose file: on loopback, on a free port, with its nodes file here. */
export const composeOptions = (): ReadonlyArray<string> => {
  const compose = readFileSync(join(root, "examples", "compose.yaml"), "utf8")
  const command = /^ {2}command: npx --yes --package effect-ghostdb ghostdb serve (.*)$/m.exec(compose)?.[1] ?? ""
  const here = new Map([
    ["--host", "127.0.0.1"],
    ["--port", "0"],
    ["--file", "gdb.conf"]
  ])
  const words = command.split(" ")
  for (const option of here.keys()) ok(words.includes(option))
  return words.map((word, i) => here.get(words[i - 1] ?? "") ?? word)
}

/** What {@link firstProgram} prints. */
export const firstOutput = /price: 3107\.3/

/**
 * Embedded nodes of the package that is installed in a folder, and the nodes file there that names them, while `use` runs.
 */
export const serving = async (
  folder: string,
  options: ReadonlyArray<string>,
  use: () => Promise<void>
): Promise<void> => {
  const bin = join(folder, "node_modules", ".bin", "ghostdb")
  const server: ChildProcess = spawn(bin, ["serve", ...options], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "ignore", "inherit"]
  })
  const ended = once(server, "exit")
  try {
    const file = join(folder, "gdb.conf")
    for (let i = 0; i < 600 && !existsSync(file); i++) await delay(50)
    ok(existsSync(file), "ghostdb serve has written no nodes file within thirty seconds")
    await use()
    server.kill("SIGTERM")
    deepStrictEqual(await ended, [0, null])
    ok(!existsSync(file), "ghostdb serve has left its nodes file")
  } finally {
    if (server.exitCode === null && server.signalCode === null) server.kill("SIGKILL")
  }
}
