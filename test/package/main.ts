/**
 * The package as its users get it: packed, installed in an empty folder by README's command, README's first program in
 * JavaScript and in TypeScript, and every command of `ghostdb` that ends by itself on nodes of each dialect; `npm run smoke`.
 */
import { deepStrictEqual, match, ok } from "node:assert/strict"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { root, snippets } from "../docs/snippets.js"

const folder = mkdtempSync(join(realpathSync(tmpdir()), "ghostdb-package-"))
const { GHOSTDB_NODES: _nodes, ...environment } = process.env

interface Ended {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

const run = (command: string, args: ReadonlyArray<string>, cwd = folder): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(command, args, { cwd, env: environment, timeout: 240_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr })
    )
  })

const succeed = async (command: string, args: ReadonlyArray<string>, cwd?: string): Promise<string> => {
  const { code, stderr, stdout } = await run(command, args, cwd)
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${stdout}\n${stderr}`)
  return stdout
}

const ghostdb = (...args: ReadonlyArray<string>) => run(join(folder, "node_modules", ".bin", "ghostdb"), args)

/** Asserts how a command ends and what it prints. */
const says = async (args: ReadonlyArray<string>, code: number, stdout: RegExp) => {
  const ended = await ghostdb(...args)
  const what = `ghostdb ${args.join(" ")}: ${JSON.stringify(ended)}`
  deepStrictEqual(ended.code, code, what)
  match(ended.stdout, stdout, what)
}

const pack = async () => {
  const packed = await succeed("npm", ["pack", "--json", "--pack-destination", folder], root)
  // The build prints what it does before.
  const [{ filename, files }] = JSON.parse(packed.slice(packed.search(/^\[/m)))
  const paths: ReadonlyArray<string> = files.map(({ path }: { readonly path: string }) => path)
  ok(paths.includes("dist/index.js") && paths.includes("README.md") && paths.includes("LICENSE"))
  deepStrictEqual(
    paths.filter((path) => !/^(dist|src|examples)\/|^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(path)),
    []
  )
  deepStrictEqual(
    paths.filter((path) => /test|spec|bench\/|fixture/i.test(path) && !/GhostDBTest\.|^examples\/test/.test(path)),
    []
  )
  return join(folder, filename)
}

const install = async (tarball: string) => {
  const readme = readFileSync(join(root, "README.md"), "utf8")
  const command = /^npm install effect-ghostdb (.*)$/m.exec(readme)?.[1]?.split(" ") ?? []
  ok(command.length === 3)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline"]
  await succeed("npm", ["install", ...quiet, tarball, ...command])
  await succeed("npm", ["install", ...quiet, "--save-dev", "typescript@5", "@types/node@20"])
}

/** README's first program, as it stands. */
const firstProgram = () => {
  const code = snippets.readme()[0]?.code ?? ""
  ok(code.includes("GhostDBLive("))
  return code
}

const programs = async () => {
  const code = firstProgram()
  // As JavaScript it has no types; that is all the difference.
  writeFileSync(join(folder, "first.js"), code.replaceAll("(symbol: string)", "(symbol)"))
  writeFileSync(join(folder, "typed.ts"), code)
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
    match(await succeed(process.execPath, [file]), /symbol: 'AMZN', price: 3107\.3/)
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
  await says(["ring", "key"], 0, /"key" is on 127\.0\.0\.1:\d+/)
  await says(["leader"], dialect === "raft" ? 0 : 1, dialect === "raft" ? /127\.0\.0\.1:\d+/ : /^$/)
  await says(["bench", "--seconds", "0.3", "--json"], 0, /"p99"|"p999"/i)
  await says(["delete", "key"], 0, /^REMOVED$/m)
  await says(["delete", "key"], 1, /^NOT_FOUND$/m)
  await says(["flush", "--yes"], 0, /^FLUSHED$/m)
  await says(["frobnicate"], 2, /^$/)
}

/** Embedded nodes, and the nodes file that names them, while `use` runs. */
const serving = async (dialect: string, use: () => Promise<void>) => {
  const bin = join(folder, "node_modules", ".bin", "ghostdb")
  const server: ChildProcess = spawn(bin, ["serve", "--dialect", dialect, "--port", "0"], {
    cwd: folder,
    env: environment,
    stdio: ["ignore", "ignore", "inherit"]
  })
  const ended = once(server, "exit")
  try {
    const file = join(folder, "gdb.conf")
    for (let i = 0; i < 200 && !existsSync(file); i++) await delay(50)
    ok(existsSync(file), "ghostdb serve has written no nodes file within ten seconds")
    await use()
    server.kill("SIGTERM")
    deepStrictEqual(await ended, [0, null])
    ok(!existsSync(file), "ghostdb serve has left its nodes file")
  } finally {
    if (server.exitCode === null && server.signalCode === null) server.kill("SIGKILL")
  }
}

try {
  const tarball = await pack()
  await install(tarball)
  console.log("packed and installed")
  await says(["--help"], 0, /serve/)
  await says(["get", "key"], 2, /^$/)
  for (const dialect of ["v1", "v2", "raft"]) {
    await serving(dialect, async () => {
      if (dialect === "v2") await programs()
      await commands(dialect)
    })
    console.log(`${dialect}: ok`)
  }
} finally {
  rmSync(folder, { recursive: true })
}
