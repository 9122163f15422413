/**
 * The client against the real servers, each in a network namespace of its own: `GHOSTDB_BINS=<folder> npm run test:real`,
 * where the folder holds `ghostdb-v1`, `ghostdb-v2` and `ghostdb-raft`. Says in a plain word what is missing, and passes
 * over it. Needs root and iproute2, on Linux.
 */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { accessSync, constants, readdirSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const versions = ["v1", "v2", "raft"] as const

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Why nothing can be run here; undefined where it can. */
const missing = (bins: string | undefined): string | undefined => {
  if (process.platform !== "linux") return "network namespaces need Linux"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  if (bins === undefined) return "GHOSTDB_BINS names no folder"
  try {
    execFileSync("ip", ["netns", "list"])
  } catch {
    return "there is no `ip netns` here (iproute2)"
  }
  return undefined
}

const run = async (bins: string, found: ReadonlyArray<string>): Promise<number> => {
  const namespace = `gdb${process.pid}`
  const ip = (...args: ReadonlyArray<string>) => execFileSync("ip", args)
  ip("netns", "add", namespace)
  try {
    ip("-n", namespace, "link", "set", "lo", "up")
    ip("-n", namespace, "link", "add", "nodes", "type", "bridge")
    ip("-n", namespace, "addr", "add", "192.0.2.254/24", "dev", "nodes")
    ip("-n", namespace, "link", "set", "nodes", "up")
    const vitest = createRequire(import.meta.url).resolve("vitest/vitest.mjs")
    const config = fileURLToPath(new URL("vitest.config.ts", import.meta.url))
    const child = spawn(
      "ip",
      ["netns", "exec", namespace, process.execPath, vitest, "run", "--config", config, ...process.argv.slice(2)],
      {
        stdio: "inherit",
        env: { ...process.env, GHOSTDB_BINS: bins, GHOSTDB_VERSIONS: found.join(","), GHOSTDB_NAMESPACE: namespace }
      }
    )
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal))
    const [code] = await once(child, "exit")
    return code ?? 1
  } finally {
    // Those of tests that had no time to end.
    for (const name of readdirSync("/var/run/netns").filter((name) => name.startsWith(`${namespace}n`))) {
      const pids = execFileSync("ip", ["netns", "pids", name], { encoding: "utf8" }).split("\n")
      for (const pid of pids) if (pid !== "") process.kill(Number(pid), "SIGKILL")
      ip("netns", "del", name)
    }
    ip("netns", "del", namespace)
  }
}

const bins = process.env.GHOSTDB_BINS
const problem = missing(bins)
const found = versions.filter((version) => bins !== undefined && isExecutable(join(bins, `ghostdb-${version}`)))
for (const version of versions) {
  if (problem === undefined && !found.includes(version)) console.log(`passed over: no ghostdb-${version} in ${bins}`)
}
if (problem !== undefined || bins === undefined) console.log(`passed over: ${problem}`)
else if (found.length === 0) console.log("passed over: no server to test against")
else process.exitCode = await run(bins, found)
