import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { SnitchMetrics, WatchdogMetrics } from "effect-ghostdb"
import { exposition } from "../../src/cli/commands/prometheus.js"
import { cluster, expectEnd, live } from "./scene.js"

const snitch = new SnitchMetrics({
  ...zeros(SnitchMetrics.fields),
  Timestamp: "2026-01-01T00:00:00Z",
  HeapAlloc: 5,
  PauseTotalNs: 2e9
})
const watchdog = new WatchdogMetrics({
  ...zeros(WatchdogMetrics.fields),
  Timestamp: "2026-01-01T00:00:00Z",
  GetRequests: 7
})

function zeros<F extends object>(fields: F): { readonly [K in keyof F]: never } {
  return Object.fromEntries(Object.keys(fields).map((name) => [name, 0])) as never
}

/** What `promtool check metrics` wants of names and types. */
const lint = (text: string) => {
  const families = new Map<string, { readonly type: string; readonly help: string }>()
  let help = ""
  for (const line of text.split("\n")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line) ?? []
    if (kind === "HELP") help = rest
    else if (kind === "TYPE") {
      assert.isFalse(families.has(name), `${name} once`)
      families.set(name, { type: rest, help })
      assert.strictEqual(rest === "counter", name.endsWith("_total"), `${name}: counters end in _total`)
      assert.notMatch(
        name,
        /_(ms|millis|nanos|kib|mib|count|sum|bucket|info)(_|$)|[A-Z]|gauge|counter/,
        "base units, no suffix of other types"
      )
    } else {
      const [, sample = "", value = ""] = /^([\w:]+)\{node="(?:[^"\\\n]|\\["\\n])*"\} (\S+)$/.exec(line) ?? []
      assert.isTrue(families.has(sample), line)
      assert.isFalse(Number.isNaN(Number(value)), line)
    }
  }
  for (const [name, { help }] of families) assert.notStrictEqual(help, "", name)
  return families
}

describe("metrics --prometheus", () => {
  it("is text that Prometheus reads, with base units and the type of each", () => {
    const text = exposition([
      { node: '10.0.0.1"\\', rows: { snitch: [snitch], watchdog: [watchdog], entries: 3 } },
      { node: "10.0.0.2", rows: undefined }
    ])
    const families = lint(text)
    assert.include(text, 'ghostdb_up{node="10.0.0.1\\"\\\\"} 1\nghostdb_up{node="10.0.0.2"} 0\n')
    assert.include(text, 'ghostdb_gc_pause_seconds_total{node="10.0.0.1\\"\\\\"} 2\n'.trimEnd())
    assert.include(text, "ghostdb_row_timestamp_seconds{node=")
    assert.strictEqual(families.get("ghostdb_requests_total")?.type, "counter")
  })

  it("has all that the dashboard in the package asks for", () => {
    const dashboard = readFileSync(new URL("../../src/cli/grafana-dashboard.json", import.meta.url), "utf8")
    const families = lint(exposition([{ node: "a", rows: { snitch: [snitch], watchdog: [watchdog], entries: 3 } }]))
    const used = new Set(dashboard.match(/ghostdb_[a-z_]+/g))
    assert.isAbove(used.size, 5)
    for (const name of used) assert.isTrue(families.has(name), name)
  })

  live("is what the command writes; --last is a line for each node, --node leaves out the others", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb } = yield* cluster({ metricsInterval: "100 millis" })
      yield* Effect.repeat(ghostdb(["metrics", "--prometheus"]), {
        until: ({ stdout }) => stdout.split("ghostdb_goroutines{").length === 4,
        schedule: Schedule.spaced("50 millis")
      })
      const { code, stdout } = yield* ghostdb(["metrics", "--prometheus"])
      assert.strictEqual(code, 0)
      lint(stdout.trimEnd())
      const last = yield* ghostdb(["metrics", "--last", "--node", `${addresses[0]},${addresses[2]}`])
      const lines = last.stdout.trimEnd().split("\n")
      assert.deepStrictEqual(
        lines.map((line) => line.split(" ")[0]),
        ["NODE", addresses[0], addresses[2]]
      )
      assert.match(lines[1] ?? "", / \d+s ago /)
      expectEnd(
        2,
        "",
        "ghostdb: --node 10.9.9.9: it is not among the nodes\n"
      )(yield* ghostdb(["metrics", "--node", "10.9.9.9"]))
    })
  )
})
