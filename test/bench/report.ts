/** From samples to tables, and to the ratios that must hold. */

import type { Sample } from "./load.js"
import type { BurstResult, MemoryResult, RingRow, StalledResult, StartupResult } from "./micro.js"

/** One contender in one scenario. */
export interface Row {
  readonly contender: string
  readonly label: string
  /** One for each round; empty where the contender is missing. */
  readonly samples: ReadonlyArray<Sample>
  /** What is missing, where something is. */
  readonly missing?: string
}

/** One scenario. */
export interface Result {
  readonly name: string
  readonly title: string
  readonly rows: ReadonlyArray<Row>
}

/** Everything that was measured. */
export interface Report {
  readonly results: ReadonlyArray<Result>
  readonly ring?: ReadonlyArray<RingRow>
  readonly memory?: MemoryResult
  readonly startup?: StartupResult
  readonly bursts?: ReadonlyArray<Burst>
  readonly stalled?: ReadonlyArray<Stalled>
}

/** A burst of puts, and where its nodes were. */
export interface Burst extends BurstResult {
  readonly nodes: string
}

/** So many puts to a node that does not read. */
export interface Stalled extends StalledResult {
  readonly puts: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2
}

/** The median of each measure. */
export const summary = ({ samples }: Row): Sample => {
  const of = (measure: keyof Sample) => median(samples.map((sample) => sample[measure]))
  return { opsPerSecond: of("opsPerSecond"), cpuMicros: of("cpuMicros"), p50: of("p50"), p99: of("p99") }
}

const between = (
  result: Result | undefined,
  contender: string,
  other: string,
  measure: keyof Sample,
  compare: (a: number, b: number) => number
): number | undefined => {
  const [a, b] = [contender, other].map((name) => result?.rows.find((row) => row.contender === name)?.samples ?? [])
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return undefined
  return median(a.map((sample, round) => compare(sample[measure], b[round]?.[measure] ?? Number.NaN)))
}

/** The median of the rounds' ratios, undefined where either has none. */
export const ratio = (
  result: Result | undefined,
  contender: string,
  to: string,
  measure: keyof Sample
): number | undefined => between(result, contender, to, measure, (a, b) => a / b)

/** The median of the rounds' differences, likewise. */
const difference = (result: Result | undefined, contender: string, from: string, measure: keyof Sample) =>
  between(result, contender, from, measure, (a, b) => a - b)

const megabytes = (bytes: number | undefined) => (bytes === undefined ? undefined : bytes / 1e6)

const grouped = (value: number) => Math.round(value).toLocaleString("en-US")
const shown = (value: number | undefined, digits: number) => (value === undefined ? "" : value.toFixed(digits))

/** Columns as wide as what they hold, the first to the left and the others to the right. */
const table = (lines: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  const cells = lines.map((line) =>
    widths.map((width, column) => (column === 0 ? (line[0] ?? "").padEnd(width) : (line[column] ?? "").padStart(width)))
  )
  const rule = widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`))
  return [cells[0] ?? [], rule, ...cells.slice(1)].map((line) => `| ${line.join(" | ")} |`).join("\n")
}

/** The table of a scenario, in Markdown: ratios to undici and to the plain client, or else to the first contender. */
export const resultTable = (result: Result): string => {
  const names = result.rows.map(({ contender }) => contender)
  const known = ["undici", "plain"].filter((name) => names.includes(name))
  const references = known.length > 0 ? known : names.slice(0, 1)
  const main = references[0] ?? ""
  return table([
    ["", "ops/s", "p50 µs", "p99 µs", "CPU µs/op", ...references.map((name) => `× ${name}`), `CPU ÷ ${main}`],
    ...result.rows.map((row) => {
      if (row.missing !== undefined) return [row.label, `missing: ${row.missing}`]
      const { cpuMicros, opsPerSecond, p50, p99 } = summary(row)
      const to = (name: string, measure: keyof Sample) => shown(ratio(result, row.contender, name, measure), 2)
      return [
        row.label,
        grouped(opsPerSecond),
        ...[p50, p99].map((micros) => shown(micros, micros < 10 ? 1 : 0)),
        shown(cpuMicros, cpuMicros < 10 ? 2 : 1),
        ...references.map((name) => to(name, "opsPerSecond")),
        to(main, "cpuMicros")
      ]
    })
  ])
}

/** A ratio or a number that must hold. */
export interface Check {
  readonly what: string
  readonly target: string
  /** Undefined where it was not measured. */
  readonly measured: number | undefined
  readonly met: boolean | undefined
}

/** What the project has promised. */
export const checks = ({ bursts = [], memory, results, ring }: Report): ReadonlyArray<Check> => {
  const find = (name: string) => results.find((result) => result.name === name)
  const atLeast = (what: string, target: number, measured: number | undefined): Check => ({
    what,
    target: `≥ ${target}`,
    measured,
    met: measured === undefined ? undefined : measured >= target
  })
  const atMost = (what: string, target: number, measured: number | undefined): Check => ({
    what,
    target: `≤ ${target}`,
    measured,
    met: measured === undefined ? undefined : measured <= target
  })
  const speed = (scenario: string, to: string) => ratio(find(scenario), "full", to, "opsPerSecond")
  const cpu = (scenario: string, to: string) => ratio(find(scenario), "full", to, "cpuMicros")
  const p50 = (scenario: string) => ratio(find(scenario), "full", "undici", "p50")
  const many = (scenario: string, measure: keyof Sample, to = "ioredis-pipeline") =>
    ratio(find(scenario), "get-many", to, measure)
  const largest = ring?.find(({ nodes, replicas }) => nodes === 1000 && replicas === 40)
  const manyOf = { get: "many", put: "put-many" } as const
  return [
    atLeast("get: throughput, of undici", 1.8, speed("get", "undici")),
    atLeast("get: throughput, of undici (goal)", 2.2, speed("get", "undici")),
    atMost("get: CPU per command, of undici", 0.55, cpu("get", "undici")),
    atLeast("get: throughput, of its codec by bare promises", 0.75, speed("get", "codec")),
    atLeast("get: throughput, of memjs", 0.9, speed("get", "memjs")),
    atLeast("get: throughput, of ioredis (goal)", 1, speed("get", "ioredis")),
    atLeast("get, 256 in flight: throughput, of undici", 1.9, speed("get-256-in-flight", "undici")),
    atLeast("put: throughput, of undici", 1.15, speed("put", "undici")),
    ...["get-10k", "get-100k", "put-10k", "put-100k"].map((name) =>
      atLeast(`${name}: throughput, of undici`, 1.1, speed(name, "undici"))
    ),
    atMost("get, 1 in flight: p50, of undici", 1, p50("get-1-in-flight")),
    atMost("get, 64 in flight: p50, of undici", 0.6, p50("get")),
    atMost("get: CPU per command, of the same without metrics", 1.05, cpu("telemetry", "full-no-metrics")),
    atMost("get: CPU per command, of the same without tracing support", 1.02, cpu("telemetry", "full-no-spans")),
    atLeast("get, canned: throughput, of the plain socket client (goal)", 0.6, speed("canned", "plain")),
    atLeast("get, canned: throughput, of ioredis (goal)", 1.1, speed("canned", "ioredis")),
    atLeast(
      "get, canned, 256 in flight: throughput, of the plain socket client (goal)",
      0.6,
      speed("canned-256", "plain")
    ),
    atLeast("get, canned, 256 in flight: throughput, of ioredis (goal)", 0.8, speed("canned-256", "ioredis")),
    ...(["get", "put"] as const).flatMap((command) => [
      atLeast(`${command}Many of 1,000: throughput, of ioredis' pipeline`, 1, many(manyOf[command], "opsPerSecond")),
      atMost(`${command}Many of 1,000: CPU per key, of ioredis' pipeline`, 1.2, many(manyOf[command], "cpuMicros")),
      atLeast(
        `${command}Many of 1,000, real server: throughput, of ioredis' pipeline`,
        0.55,
        many(`${manyOf[command]}-on-v2`, "opsPerSecond")
      )
    ]),
    atMost("getMany of 10: p50, of one get", 1.5, many("many-of-10", "p50", "get-alone")),
    atLeast(
      "getMany on 5 nodes: throughput, of one node",
      0.9,
      many("many-on-5-nodes", "opsPerSecond", "get-many-on-one")
    ),
    atMost(
      "Store.getMany of five fields: CPU µs per key above getMany",
      2,
      difference(find("store-get-many"), "store-get-many", "get-many", "cpuMicros")
    ),
    atMost("getMany of 100,000 keys: MB above the values", 100, megabytes(memory?.manyKeysBytes)),
    ...bursts.map(({ nodes, ratio }) => atMost(`20,000 puts at once, ${nodes}: time, of 64 at a time`, 1.5, ratio)),
    atMost("lookup in a ring of 1,000 nodes, 40 replicas, ns", 1000, largest?.lookupNanos),
    atLeast("embedded node: throughput, of node:http", 1, ratio(find("server"), "embedded", "http", "opsPerSecond"))
  ]
}

export const checkTable = (checks: ReadonlyArray<Check>): string =>
  table([
    ["must show", "target", "measured", "met"],
    ...checks.map(({ measured, met, target, what }) => [
      what,
      target,
      shown(measured, measured !== undefined && measured >= 100 ? 0 : 2),
      met === undefined ? "not measured" : met ? "yes" : "NO"
    ])
  ])

export const ringTable = (rows: ReadonlyArray<RingRow>): string =>
  table([
    ["nodes × replicas", "lookup ns", "without the Option", "make ms"],
    ...rows.map(({ lookupNanos, makeMillis, nodes, ownerNanos, replicas }) => [
      `${grouped(nodes)} × ${replicas}`,
      shown(lookupNanos, 0),
      shown(ownerNanos, 0),
      shown(makeMillis, 1)
    ])
  ])

export const memoryTable = (memory: MemoryResult): string => {
  const kib = (bytes: number) => `${shown(bytes / 1024, 1)} KiB`
  return table([
    ["memory", ""],
    ["an idle client", kib(memory.idleClientBytes)],
    ["an idle client with a connection", kib(memory.connectedClientBytes)],
    ["10,000 gets in flight", kib(memory.commandsInFlightBytes)],
    ["10,000 of undici's requests in flight", kib(memory.undiciInFlightBytes)],
    ["getMany of 100,000 keys at its peak, above the values", kib(memory.manyKeysBytes)]
  ])
}

export const startupTable = (startup: StartupResult): string =>
  table([
    ["start-up, ms", ""],
    ["import of effect", shown(startup.importEffectMillis, 0)],
    ["import of effect-ghostdb, after it", shown(startup.importMillis, 0)],
    ["GhostDBLive, the first one", shown(startup.firstLayerMillis, 1)],
    ["the first get, connecting and handshake included", shown(startup.firstGetMillis, 1)],
    ["GhostDBLive, later ones, built and closed", shown(startup.layerMillis, 2)]
  ])

export const burstTable = (bursts: ReadonlyArray<Burst>): string =>
  table([
    ["20,000 puts of 1 KiB at once", "failures", "dead nodes", "time ÷ 64 at a time", "Effect alone"],
    ...bursts.map(({ bareRatio, dead, failures, nodes, ratio }) => [
      nodes,
      grouped(failures),
      grouped(dead),
      shown(ratio, 2),
      shown(bareRatio, 2)
    ])
  ])

export const stalledTable = (rows: ReadonlyArray<Stalled>): string =>
  table([
    [
      "puts of 10 KiB to a node that does not read, in a heap of 2 GB",
      "answered",
      "until all have ended, s",
      "at its peak, above the values, MB"
    ],
    ...rows.map(({ answered, bytesAboveValues, puts, seconds }) => [
      grouped(puts),
      grouped(answered),
      shown(seconds, 1),
      shown(megabytes(bytesAboveValues), 0)
    ])
  ])
