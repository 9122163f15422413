/**
 * The benchmark: `npm run bench`. It starts what it needs by itself, and ends it.
 *
 *   --quick       one short round of everything, to see that it runs
 *   --only NAME   one scenario, or `server`, `ring`, `memory`, `startup`, `burst`, `stalled`; can be given several times
 *   --rounds N    rounds of each generation of processes, default 5
 *   --millis N    length of a round, default 300
 *   --json        the report as JSON on standard output
 *
 * Every contender is a process of its own, so that the garbage of one is not another's pause; they take turns in short
 * rounds, and ratios are medians of the rounds' ratios. CPU time is the client process's, garbage collection included.
 * What runs is the JavaScript that `tsc` emits.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { cpus, loadavg, tmpdir, type } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Array as Arr, Console, Effect, Option, Schema, Scope } from "effect"
import { compiled } from "./compile.js"
import { type Contender, type ContenderName, contenders } from "./contenders.js"
import { type Load, Sample } from "./load.js"
import * as Micro from "./micro.js"
import { type ProcessError, script, version } from "./processes.js"
import * as Report from "./report.js"
import { headline, type Scenario, scenarios } from "./scenarios.js"
import * as Servers from "./servers.js"

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    millis: { type: "string" },
    json: { type: "boolean", default: false }
  }
})
const rounds = Number(args.rounds ?? (args.quick ? 1 : 5))
const millis = Number(args.millis ?? (args.quick ? 100 : 300))
/** CPU time of each contender before its rounds. */
const warmUpMillis = args.quick ? 50 : 1000

/** Of a real server, where there is one. */
const v2Binary = process.env.GHOSTDB_BINS === undefined ? undefined : join(process.env.GHOSTDB_BINS, "ghostdb-v2")

const names = [...scenarios.map(({ name }) => name), "server", "ring", "memory", "startup", "burst", "stalled"]
const wanted = (name: string) => args.only.length === 0 || args.only.includes(name)

/** With `--json`, standard output is the report's alone. */
const print = args.json ? Console.error : Console.log

const { resolve } = createRequire(import.meta.url)
const isInstalled = (name: string): boolean => {
  try {
    resolve(name)
    return true
  } catch {
    return false
  }
}

const decodeSample = Schema.decodeUnknownSync(Sample)

/** What has been measured of one contender up to now. */
interface Row extends Report.Row {
  readonly contender: ContenderName
  readonly samples: Array<Sample>
}

const program = Effect.gen(function* () {
  const unknown = args.only.find((name) => !names.includes(name))
  if (unknown !== undefined) {
    process.exitCode = 1
    return yield* Console.error(`no scenario ${unknown}; there are ${names.join(", ")}`)
  }

  const scope = yield* Effect.scope
  const directory = yield* compiled
  const compiledScript = (name: string) => join(directory, "test", "bench", `${name}.js`)
  const temporary = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "effect-ghostdb-bench-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  /** Started when first needed, and once. */
  const lazily = <A>(acquire: Effect.Effect<A, ProcessError, Scope.Scope>) =>
    Effect.cached(Scope.extend(acquire, scope))

  const versions = yield* Effect.all({
    nginx: version("nginx", "-v"),
    redis: version("redis-server", "--version"),
    memcached: version("memcached", "--version")
  })
  const canned = yield* lazily(Servers.canned(compiledScript("server")))
  const nodes = {
    nginx: Option.isSome(versions.nginx) ? yield* lazily(Servers.nginx(temporary)) : canned,
    canned,
    v2: yield* lazily(Servers.v2(v2Binary ?? "", temporary)),
    embedded: yield* lazily(
      Effect.map(
        Servers.one(compiledScript("server"), "embedded"),
        ({ node }): Servers.Nodes => ({ take: () => [node] })
      )
    )
  }
  const peers = { redis: yield* lazily(Servers.redis), memcached: yield* lazily(Servers.memcached) }
  const missing = ({ peer }: Contender): string | undefined => {
    if (peer === undefined) return undefined
    if (Option.isNone(versions[peer.server])) return peer.server
    return isInstalled(peer.package) ? undefined : peer.package
  }

  const startClient = (load: Load) =>
    Effect.tap(script(compiledScript("client"), [JSON.stringify(load), String(warmUpMillis)]), ({ receive }) => receive)

  /** The rounds of one generation of processes, which take turns. */
  const takeTurns = <A>(contenders: ReadonlyArray<A>, turn: (contender: A) => Effect.Effect<void, ProcessError>) =>
    Effect.gen(function* () {
      for (let round = 0; round < rounds; round++) {
        // None is always the one that comes after the same other.
        yield* Effect.forEach(round % 2 === 0 ? contenders : Arr.reverse(contenders), turn, { discard: true })
      }
    })

  const runGeneration = (scenario: Scenario, rows: ReadonlyArray<Row>) =>
    Effect.gen(function* () {
      const { batch = 1, bytes, command, inFlight } = scenario
      const to = (yield* nodes[scenario.on]).take(bytes, scenario.nodes)
      const running = yield* Effect.forEach(
        rows.filter((row) => row.missing === undefined),
        ({ contender, samples }) =>
          Effect.gen(function* () {
            const { peer }: Contender = contenders[contender]
            const peerPort = peer === undefined ? 0 : yield* peers[peer.server]
            const client = yield* startClient({ contender, command, batch, bytes, inFlight, nodes: to, peerPort })
            return { samples, client }
          })
      )
      yield* takeTurns(running, ({ client, samples }) =>
        Effect.map(client.ask(millis), (sample) => void samples.push(decodeSample(sample)))
      )
    }).pipe(Effect.scoped)

  const runScenario = (scenario: Scenario) =>
    Effect.gen(function* () {
      const rows = scenario.contenders.map((contender): Row => {
        const lacks = missing(contenders[contender])
        const { label } = contenders[contender]
        return { contender, label, samples: [], ...(lacks === undefined ? {} : { missing: lacks }) }
      })
      yield* Effect.replicateEffect(runGeneration(scenario, rows), args.quick ? 1 : (scenario.generations ?? 1))
      const result: Report.Result = { name: scenario.name, title: scenario.title, rows }
      yield* print(`\n${result.title} (${result.name})\n\n${Report.resultTable(result)}`)
      return result
    })

  /** The servers take turns under the same client; the CPU time is theirs. */
  const runServers = Effect.gen(function* () {
    const rows = [
      { contender: "http", label: "node:http and a Map", samples: Arr.empty<Sample>() },
      { contender: "embedded", label: "the embedded node", samples: Arr.empty<Sample>() }
    ] as const
    const generation = Effect.gen(function* () {
      const running = yield* Effect.forEach(rows, ({ contender, samples }) =>
        Effect.gen(function* () {
          const server = yield* Servers.one(compiledScript("server"), contender)
          const { bytes, command, inFlight } = headline
          const load = { contender: "plain", command, batch: 1, bytes, inFlight, nodes: [server.node], peerPort: 0 }
          return { samples, server, client: yield* startClient(load) }
        })
      )
      yield* takeTurns(running, ({ client, samples, server }) =>
        Effect.gen(function* () {
          const before = yield* server.cpu
          const startedAt = performance.now()
          const sample = decodeSample(yield* client.ask(millis))
          const seconds = (performance.now() - startedAt) / 1000
          const used = (yield* server.cpu) - before
          samples.push({ ...sample, cpuMicros: used / (sample.opsPerSecond * seconds) })
        })
      )
    }).pipe(Effect.scoped)
    yield* Effect.replicateEffect(generation, args.quick ? 1 : 3)
    const result: Report.Result = {
      name: "server",
      title: "servers: get, 40 B, 64 in flight; the CPU time is the server's",
      rows
    }
    yield* print(`\n${result.title} (${result.name})\n\n${Report.resultTable(result)}`)
    return result
  })

  const once = <A, I>(schema: Schema.Schema<A, I>, name: string, args: ReadonlyArray<string>, flags?: Array<string>) =>
    script(compiledScript(name), args, flags).pipe(
      Effect.flatMap(({ receive }) => receive),
      Effect.flatMap((message) => Effect.orDie(Schema.decodeUnknown(schema)(message))),
      Effect.scoped
    )
  const oneNode = Effect.map(nodes.nginx, (nodes) => nodes.take(headline.bytes, 1)[0] ?? "")

  const runMemory = Effect.gen(function* () {
    const silent = yield* Servers.one(compiledScript("server"), "silent")
    return yield* once(Micro.MemoryResult, "memory", [yield* oneNode, silent.node], ["--expose-gc"])
  }).pipe(Effect.scoped)

  const runStartup = Effect.gen(function* () {
    const nodesFile = join(temporary, "gdb.conf")
    const node = yield* oneNode
    yield* Effect.promise(() => writeFile(nodesFile, `${node}\n`))
    const all = yield* Effect.replicateEffect(once(Micro.StartupResult, "startup", [nodesFile]), rounds)
    const of = (name: keyof Micro.StartupResult) => Report.median(all.map((result) => result[name]))
    return {
      importEffectMillis: of("importEffectMillis"),
      importMillis: of("importMillis"),
      firstLayerMillis: of("firstLayerMillis"),
      firstGetMillis: of("firstGetMillis"),
      layerMillis: of("layerMillis")
    }
  })

  const runStalled = Effect.forEach([20_000, 100_000], (puts) =>
    Effect.map(
      once(Micro.StalledResult, "stalled", [String(puts)], ["--expose-gc", "--max-old-space-size=2048"]),
      (result) => ({ puts, ...result })
    )
  )

  /** The nodes in processes of their own, and in the client's. */
  const runBurst = Effect.gen(function* () {
    const separate = yield* Effect.replicateEffect(Servers.one(compiledScript("server"), "embedded"), 3)
    const nodes = separate.map(({ node }) => node)
    const burst = (nodes: ReadonlyArray<string>) => once(Micro.BurstResult, "burst", nodes, ["--expose-gc"])
    return [
      { nodes: "nodes in other processes", ...(yield* burst(nodes)) },
      { nodes: "nodes in the same process", ...(yield* burst([])) }
    ]
  }).pipe(Effect.scoped)

  const machine = {
    date: new Date().toISOString().slice(0, 10),
    cpu: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
    system: type(),
    node: process.version,
    servers: Object.values(versions).flatMap(Option.toArray),
    loadBefore: loadavg()[0] ?? 0
  }
  yield* print(
    `effect-ghostdb benchmark, ${machine.date}, ${machine.cpu}, ${machine.system}, Node.js ${machine.node}\n` +
      `${rounds} rounds of ${millis} ms; load average before ${machine.loadBefore.toFixed(2)}`
  )
  for (const [name, found] of Object.entries(versions)) {
    yield* print(Option.getOrElse(found, () => `${name}: missing`))
  }
  if (v2Binary === undefined) yield* print("GHOSTDB_BINS is not set: no real server is measured")
  if (Option.isNone(versions.nginx))
    yield* print("nginx is missing: a socket server with canned replies takes its place")

  const results = yield* Effect.forEach(
    scenarios.filter(({ name, on }) => wanted(name) && (on !== "v2" || v2Binary !== undefined)),
    runScenario
  )
  const server = wanted("server") ? [yield* runServers] : []
  const ring = wanted("ring") ? yield* once(Micro.RingResult, "ring", []) : undefined
  if (ring !== undefined) yield* print(`\nring lookups (ring)\n\n${Report.ringTable(ring)}`)
  const memory = wanted("memory") ? yield* runMemory : undefined
  if (memory !== undefined) yield* print(`\n${Report.memoryTable(memory)}`)
  const startup = wanted("startup") ? yield* runStartup : undefined
  if (startup !== undefined) yield* print(`\n${Report.startupTable(startup)}`)
  const bursts = wanted("burst") ? yield* runBurst : undefined
  if (bursts !== undefined) yield* print(`\n${Report.burstTable(bursts)}`)
  const stalled = wanted("stalled") ? yield* runStalled : undefined
  if (stalled !== undefined) yield* print(`\n${Report.stalledTable(stalled)}`)

  const report: Report.Report = {
    results: [...results, ...server],
    ...(ring === undefined ? {} : { ring }),
    ...(memory === undefined ? {} : { memory }),
    ...(startup === undefined ? {} : { startup }),
    ...(bursts === undefined ? {} : { bursts }),
    ...(stalled === undefined ? {} : { stalled })
  }
  const checks = Report.checks(report)
  yield* print(`\n${Report.checkTable(checks)}\n\nload average after ${(loadavg()[0] ?? 0).toFixed(2)}`)
  if (args.json) {
    const rows = report.results.map((result) => ({
      ...result,
      rows: result.rows.map((row) => ({ ...row, median: Report.summary(row) }))
    }))
    yield* Console.log(JSON.stringify({ ...machine, rounds, millis, ...report, results: rows, checks }, undefined, 2))
  }
}).pipe(Effect.scoped)

NodeRuntime.runMain(program)
