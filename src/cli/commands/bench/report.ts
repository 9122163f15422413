/** What a load has come to, as a table, as JSON, as CSV, and as an HDR histogram. Pure. */
import type { Fault } from "../../../model/GhostDBError.js"
import { faultText } from "../../terminal/faults.js"
import {
  type Cell,
  type Column,
  count,
  escapeControls,
  latency,
  type Paint,
  percent,
  rate,
  table
} from "../../terminal/output.js"
import { type Measured, type Tally, usedOperations } from "./measure.js"

/** What is reported besides the numbers. */
export interface Circumstances {
  readonly live: ReadonlyArray<string>
  /** Nodes that do not answer at the end, and why, as far as the load has used them. */
  readonly dead: ReadonlyArray<{ readonly node: string; readonly fault: Fault | undefined }>
  /** Nodes that were dead at some time of the load. */
  readonly died: ReadonlySet<string>
  readonly inFlight: number
  readonly connections: number
  readonly rate: number | undefined
  readonly valueSize: number
  readonly keys: number
  readonly distribution: string
  readonly warmupSeconds: number
  /** The signal that ended it early. */
  readonly signal: string | undefined
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000

const hitRate = ({ byOperation: { get } }: Measured): number =>
  get.answers === 0 ? Number.NaN : get.hits / get.answers

const percentiles = [50, 90, 99, 99.9, 100] as const

const millis = ({ latencies }: Tally, share: number) =>
  latencies.count === 0 ? null : rounded(latencies.percentile(share) / 1e6)

const tallyJson = (tally: Tally, seconds: number) => ({
  operations: tally.answers,
  errors: tally.errors,
  opsPerSecond: rounded(tally.answers / seconds),
  latencyMillis: {
    p50: millis(tally, 50),
    p90: millis(tally, 90),
    p99: millis(tally, 99),
    p999: millis(tally, 99.9),
    max: millis(tally, 100)
  }
})

/** The report as one JSON document. */
export const json = (measured: Measured, { dead, died, live, signal, ...rest }: Circumstances) => {
  const { all, byOperation, cpuSeconds, failedAttempts, failovers, seconds, unsent } = measured
  const hits = hitRate(measured)
  return {
    ...rest,
    rate: rest.rate ?? null,
    seconds: rounded(seconds),
    endedBy: signal ?? null,
    hitRate: Number.isNaN(hits) ? null : rounded(hits),
    ...tallyJson(all, seconds),
    byOperation: Object.fromEntries(
      usedOperations(measured).map((name) => [name, tallyJson(byOperation[name], seconds)])
    ),
    unsent,
    failedAttempts,
    failovers,
    cpuSeconds: rounded(cpuSeconds),
    nodes: {
      live,
      dead: dead.map(({ fault, node }) => ({ node, reason: fault?.reason ?? null })),
      died: [...died]
    }
  }
}

/** The report as CSV: a line for each command and one for all, latencies in milliseconds. */
export const csv = (measured: Measured): string => {
  const { all, byOperation, seconds } = measured
  const line = (name: string, tally: Tally) =>
    [
      name,
      tally.answers,
      tally.errors,
      rounded(tally.answers / seconds),
      ...percentiles.map((share) => millis(tally, share) ?? "")
    ].join(",")
  return [
    "command,operations,errors,ops_per_second,p50_ms,p90_ms,p99_ms,p999_ms,max_ms",
    ...usedOperations(measured).map((name) => line(name, byOperation[name])),
    line("all", all)
  ].join("\n")
}

/**
 * The latencies as the percentile distribution that HdrHistogram's tools write and plot (`.hgrm`), in milliseconds: five
 * steps each time that the distance to 100 % halves.
 */
export const histogram = ({ all: { latencies } }: Measured): string => {
  const steps: Array<number> = []
  for (let share = 0, halvings = 0; latencies.count > 0 && (100 - share) / 100 > 1 / (latencies.count * 2); ) {
    steps.push(share)
    halvings = Math.floor(Math.log2(100 / (100 - share)))
    share += 100 / 2 ** (halvings + 1) / 5
  }
  const line = (share: number) => {
    const value = latencies.percentile(Math.max(share, 1e-9)) / 1e6
    const below = share === 100 ? "inf" : (1 / (1 - share / 100)).toFixed(2)
    const total = Math.round((latencies.count * share) / 100)
    return `${value.toFixed(3).padStart(12)} ${(share / 100).toFixed(12)} ${String(total).padStart(10)} ${below.padStart(14)}`
  }
  const lines = latencies.count === 0 ? [] : [...steps, 100].map(line)
  return [
    `${"Value".padStart(12)} ${"Percentile".padStart(14)} ${"TotalCount".padStart(10)} ${"1/(1-Percentile)".padStart(14)}`,
    "",
    ...lines,
    `#[Mean    = ${(latencies.mean / 1e6).toFixed(3).padStart(12)}, StdDeviation   = ${(latencies.stddev / 1e6).toFixed(3).padStart(12)}]`,
    `#[Max     = ${(latencies.max / 1e6).toFixed(3).padStart(12)}, Total count    = ${String(latencies.count).padStart(12)}]`,
    "#[Buckets =           42, SubBuckets     =         2048]",
    ""
  ].join("\n")
}

const row = (name: string, tally: Tally, seconds: number): ReadonlyArray<Cell> => [
  name,
  count(tally.answers),
  rate(tally.answers / seconds),
  ...percentiles.map((share) => (tally.latencies.count === 0 ? "-" : latency(tally.latencies.percentile(share)))),
  tally.errors === 0 ? "0" : { text: count(tally.errors), style: "red" }
]

const columns: ReadonlyArray<Column> = [
  { title: "COMMAND" },
  ...["COUNT", "OPS/S", "P50", "P90", "P99", "P999", "MAX", "ERRORS"].map((title) => ({
    title,
    align: "right" as const
  }))
]

/** The report as lines for a reader. */
export const lines = (measured: Measured, circumstances: Circumstances, paint: Paint): ReadonlyArray<string> => {
  const { all, byOperation, cpuSeconds, failedAttempts, failovers, seconds, unsent } = measured
  const { connections, dead, died, distribution, inFlight, keys, live, signal, valueSize, warmupSeconds } =
    circumstances
  const used = usedOperations(measured)
  const hits = hitRate(measured)
  const perCommand = all.answers === 0 ? "" : `, ${((cpuSeconds / all.answers) * 1e6).toFixed(1)} µs a command`
  return [
    ...table(
      columns,
      [
        ...used.map((name) => row(name, byOperation[name], seconds)),
        ...(used.length > 1 ? [row("all", all, seconds)] : [])
      ],
      paint
    ),
    `${seconds.toFixed(1)} s${signal === undefined ? "" : ` until ${signal}`}${
      warmupSeconds === 0 ? "" : ` after ${warmupSeconds} s of warm-up`
    }, ${inFlight} in flight on ${connections} connection${connections === 1 ? "" : "s"} a node${
      circumstances.rate === undefined ? "" : `, ${count(circumstances.rate)} commands a second wanted`
    }, values of ${valueSize} bytes, ${keys} keys (${distribution})${
      Number.isNaN(hits) ? "" : `, ${percent(hits)} of gets hit`
    }`,
    `client: ${percent(cpuSeconds / (seconds + warmupSeconds))} of a CPU${perCommand}`,
    `nodes: ${live.length} of ${live.length + dead.length} live; ${count(failedAttempts)} failed attempts, ${count(failovers)} failovers`,
    ...dead.map(({ fault, node }) =>
      paint("red", `dead: ${escapeControls(node)}, ${fault === undefined ? "does not answer" : faultText(fault)}`)
    ),
    ...[...died]
      .filter((node) => dead.every((one) => one.node !== node))
      .map((node) => paint("yellow", `was dead for a while: ${escapeControls(node)}`)),
    ...(unsent === 0
      ? []
      : [paint("yellow", `${count(unsent)} commands could not start in time: the rate is too high for it`)])
  ]
}
