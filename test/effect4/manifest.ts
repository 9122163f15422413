/** The package.json of the second package. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./paths.js"

const main = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** The version that is installed here. */
const installed = (name: string): string =>
  JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version

/** The suites that run on Effect 4. The others of the main line are translated, and are run one by one until they are here. */
const suites = [
  "test/silent-changes",
  "test/protocol",
  "test/ring",
  "test/http",
  "test/adapters",
  "test/server",
  "test/discovery/parse",
  "test/discovery/poll-interval",
  "test/model/GhostDBError",
  "test/cache/cache-aside",
  "test/cache/fail-open",
  "test/cache/get-or-else-many",
  "test/cache/many-decorated",
  "test/cache/many-fibers",
  "test/cache/own-writes",
  "test/cache/per-client",
  "test/cache/refresh",
  "test/cache/stampede",
  "test/cache/store",
  "test/cache/traces",
  "test/cluster/ClusterState",
  "test/cluster/Deadlines",
  "test/cluster/reload",
  "test/raft/commands",
  "test/raft/leader-address",
  "test/raft/leader-stopped-under-load",
  "test/raft/leader.test",
  "test/raft/leadership.test",
  "test/raft/locks",
  "test/raft/mixed-cluster",
  "test/raft/replication",
  "test/client/Progress",
  "test/client/blocked",
  "test/client/deadlines",
  "test/client/failover",
  "test/client/hostile-nodes",
  "test/client/in-flight",
  "test/client/interruption",
  "test/client/isolated-callers",
  "test/client/misuse",
  "test/client/oversized",
  "test/client/probe",
  "test/client/require-live",
  "test/client/revival",
  "test/client/secrets",
  "test/client/service",
  "test/client/stand-ins",
  "test/client/suspicion",
  "test/client/telemetry",
  "test/transport/FetchTransport",
  "test/transport/flow-control",
  "test/transport/tls",
  "test/pressure/burst",
  "test/pressure/cost",
  "test/pressure/deadline",
  "test/pressure/verdicts",
  "test/simulation"
]

/** The version of Effect that the sources are compiled against and tested with. */
const effect = "4.1.0"

/** What the build and the tests need. Those that do not know of Effect are the main line's. */
export const dependencies: Readonly<Record<string, string>> = {
  effect,
  "@effect/platform-node": effect,
  ...Object.fromEntries(
    ["@types/node", "esbuild", "fast-check", "tsx", "typescript", "vitest"].map((name) => [name, installed(name)])
  )
}

/** The main line's version. */
export const mainVersion: string = main.version

/** One major version above the main line's, which says that it is the same but for its Effect. */
const [major = 0, ...rest] = mainVersion.split(".")

/** The modules themselves: the main line's entries say to install Effect 3. */
const exports = Object.fromEntries(
  Object.entries<string | { readonly types: string }>(main.exports).map(([name, target]) => [
    name,
    typeof target === "string" ? target : { types: target.types, default: target.types.replace(/\.d\.ts$/, ".js") }
  ])
)

/** The main line's package.json with the peers of Effect 4. */
export const manifest = {
  name: main.name,
  version: [Number(major) + 1, ...rest].join("."),
  description: main.description,
  type: main.type,
  license: main.license,
  sideEffects: main.sideEffects,
  engines: main.engines,
  keywords: main.keywords,
  publishConfig: main.publishConfig,
  bin: main.bin,
  exports,
  files: main.files,
  scripts: { test: `vitest run ${suites.join(" ")}` },
  peerDependencies: { effect: `^${effect}`, "@effect/platform-node": `^${effect}` },
  peerDependenciesMeta: { "@effect/platform-node": { optional: true } },
  devDependencies: dependencies
}
