/**
 * A stampede: many processes read one hot key whose value expires again and again. How often does its effect run?
 *
 * `npm run stampede -- --processes 20 --reads 1000 --seconds 12` (all processes together, a second). It fails where the lock
 * lets two processes run at one expiry, where a value is refreshed ahead and a lookup finds none all the same, and where a
 * read fails.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Console, Effect } from "effect"
import { NodeServer } from "effect-ghostdb"
import { build } from "esbuild"
import { effort, lifetime, type Order, type Report, type Scenario, scenarios } from "./scenarios.js"

const { values: args } = parseArgs({
  options: {
    processes: { type: "string", default: "20" },
    reads: { type: "string", default: "1000" },
    seconds: { type: "string", default: "12" }
  }
})
const processes = Number(args.processes)
const reads = Number(args.reads)
const seconds = Number(args.seconds)

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The reader as one file: twenty processes start it, and none of them is to compile it again. */
const reader = Effect.promise(async () => {
  const outfile = join(root, "build", "stampede", "reader.mjs")
  await build({
    entryPoints: [fileURLToPath(new URL("reader.ts", import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    tsconfig: join(root, "tsconfig.json"),
    logLevel: "error"
  })
  return outfile
})

const message = (child: ChildProcess) =>
  Effect.async<unknown>((resume) => {
    child.once("message", (message: unknown) => resume(Effect.succeed(message)))
  })

const start = (script: string, nodes: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [script, JSON.stringify(nodes)], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
    ),
    (child) => Effect.sync(() => child.kill())
  ).pipe(Effect.tap(message))

const ask = (child: ChildProcess, order: Order) =>
  Effect.zipRight(
    Effect.sync(() => child.send(order)),
    // What the reader sends, it has typed.
    message(child) as Effect.Effect<Report>
  )

/** How many runs began at each expiry: within half a lifetime of the first of them. */
const perExpiry = (runs: ReadonlyArray<number>): ReadonlyArray<number> => {
  const groups: Array<{ readonly start: number; size: number }> = []
  for (const run of runs.toSorted((a, b) => a - b)) {
    const last = groups.at(-1)
    if (last !== undefined && run - last.start < lifetime / 2) last.size++
    else groups.push({ start: run, size: 1 })
  }
  return groups.map(({ size }) => size)
}

const distribution = (sizes: ReadonlyArray<number>): string =>
  [...new Set(sizes)]
    .toSorted((a, b) => a - b)
    .map((size) => `${size} (${sizes.filter((other) => other === size).length}×)`)
    .join(", ")

/** Where it is refreshed ahead, a run has no expiry of its own: if it takes long, the next one may begin at once. */
const scenariosWithOneRun: ReadonlySet<Scenario> = new Set(["lock", "staleFor, lock"])

const measure = (children: ReadonlyArray<ChildProcess>, scenario: Scenario) =>
  Effect.gen(function* () {
    const [first] = children
    // The value is there before all begin.
    if (first !== undefined) {
      yield* ask(first, { scenario, perSecond: 20, until: (yield* Clock.currentTimeMillis) + 200 })
    }
    const until = (yield* Clock.currentTimeMillis) + seconds * 1000
    const order = { scenario, perSecond: reads / processes, until }
    const reports = yield* Effect.forEach(children, (child) => ask(child, order), { concurrency: "unbounded" })
    const sum = (count: (report: Report) => number) => reports.reduce((sum, report) => sum + count(report), 0)
    const sizes = perExpiry(reports.flatMap(({ runs }) => runs))
    const misses = sum(({ misses }) => misses)
    const failures = sum(({ failures }) => failures)
    const longest = Math.max(...reports.map(({ longest }) => longest))
    yield* Console.log(
      `| ${scenario} | ${sum(({ reads }) => reads)} | ${sizes.length} | ${distribution(sizes)} | ${misses} | ${longest} ms |`
    )
    const wrong = [
      ...(failures > 0 ? [`${failures} reads failed`] : []),
      ...(scenariosWithOneRun.has(scenario) && sizes.some((size) => size > 1)
        ? ["two processes ran at one expiry"]
        : []),
      ...(scenario === "refreshAhead" && misses > 0 ? [`${misses} lookups found no value`] : [])
    ]
    return wrong.map((what) => `${scenario}: ${what}`)
  })

const program = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 3 })
  const nodes = servers.map(({ address }) => address)
  const script = yield* reader
  const children = yield* Effect.forEach(Array.from({ length: processes }), () => start(script, nodes), {
    concurrency: 2
  })
  yield* Console.log(
    `${processes} processes, ${reads} reads a second of one key; a value lives ${lifetime} ms and takes ${effort} ms; ${seconds} s each\n`
  )
  yield* Console.log("| options | reads | expiries | runs at one expiry | misses | longest read |")
  yield* Console.log("| --- | ---: | ---: | --- | ---: | ---: |")
  // The keys of an object of constants are its type's.
  const wrong = yield* Effect.forEach(Object.keys(scenarios) as ReadonlyArray<Scenario>, (scenario) =>
    measure(children, scenario)
  )
  const problems = wrong.flat()
  if (problems.length === 0) return
  yield* Console.error(problems.join("\n"))
  process.exitCode = 1
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
