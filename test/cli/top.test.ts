import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { initial, type Key, type Model, pressed } from "../../src/cli/commands/top/model.js"
import { view } from "../../src/cli/commands/top/view.js"
import { takeSnapshot } from "../../src/cli/takeSnapshot.js"
import * as output from "../../src/cli/terminal/output.js"
import * as MonitorState from "../../src/cluster/MonitorState.js"
import * as RawServer from "../support/RawServer.js"
import { cliFor, cluster, expectEnd, live } from "./scene.js"

const now = Date.UTC(2026, 0, 1)
const fault = { reason: "Refused", detail: "" } as const
const addresses = (count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}`)

/** All nodes live but for the one given, each with ten round trips. */
const stateOf = (nodes: ReadonlyArray<string>, dead?: string) => {
  let state = MonitorState.make(nodes, now - 60_000)
  for (let i = 0; i < 10; i++) {
    for (const [at, node] of nodes.entries()) {
      const pong = { dialect: "v2", millis: at === 3 ? 80 : 1 } as const
      state =
        node === dead && i > 0
          ? MonitorState.unanswered(state, node, fault, now - 10_000)
          : MonitorState.answered(state, node, pong, now - 10_000)
      if (node !== dead) state = MonitorState.counted(state, node, Option.some(1234), now)
    }
  }
  return state
}

const plain = output.painter(false)
const key = (name: string, character?: string): Key => ({ name, character })
const press = (model: Model, keys: ReadonlyArray<Key>, rows = 50) =>
  keys.reduce((model, key) => {
    const next = pressed(model, key, rows)
    assert.notStrictEqual(next, "quit")
    return next === "quit" ? model : next
  }, model)

describe.concurrent("the view of top", () => {
  const nodes = addresses(50)
  const taken = takeSnapshot(stateOf(nodes, "10.0.0.40"), now)
  const draw = (columns: number, rows: number, model = initial, paint = plain) =>
    view(taken, model, "gdb\u001b.conf", { columns, rows }, paint)

  it("has the dead first, then the slow, then the others as they are", () => {
    const lines = draw(100, 24)
    assert.match(lines[0] ?? "", /^ghostdb top {2}gdb\\u001b\.conf {2}\d\d:\d\d:\d\d$/)
    assert.match(lines[1] ?? "", /^49 of 50 live {2}60,466 entries {2}- req\/s {2}1\.00 ms/)
    assert.match(lines[4] ?? "", /^10\.0\.0\.40 +dead 10s Refused /)
    assert.match(lines[5] ?? "", /^10\.0\.0\.4 +slow v2 +80\.00 ms /)
    assert.match(lines[6] ?? "", /^10\.0\.0\.1 +live v2 +1\.00 ms /)
    assert.match(lines.at(-3) ?? "", /^0 above, 33 below of 50 ↓$/)
  })

  it("is never larger than the terminal, and leaves out whole columns", () => {
    for (const columns of [1, 40, 60, 80, 100, 200]) {
      for (const rows of [1, 4, 7, 24, 60]) {
        for (const page of ["nodes", "detail", "events", "help"] as const) {
          const lines = draw(columns, rows, { ...initial, page }, output.painter(true))
          assert.isAtMost(lines.length, rows)
          for (const line of lines) assert.isAtMost([...line.replace(/\u001b\[\d*m/g, "")].length, columns)
        }
      }
    }
    const titles = (columns: number) => draw(columns, 24)[3]?.trim().split(/ {2,}/).slice(2) ?? []
    assert.deepStrictEqual(titles(40), ["TIME"])
    assert.deepStrictEqual(titles(60), ["TIME", "ENTRIES", "REQ/S", "AGE"])
    assert.deepStrictEqual(titles(200), ["TIME", "P99", "ENTRIES", "REQ/S", "HIT", "HEAP", "AGE", "ROUND TRIP"])
    // A figure of a row never stands without the row's age.
    for (let columns = 30; columns < 120; columns++) {
      const shown = titles(columns)
      assert.strictEqual(shown.includes("REQ/S"), shown.includes("AGE"))
    }
  })

  it("has one scale for all trends", () => {
    const trends = draw(120, 60).map((line) => /([▁▂▃▄▅▆▇█]+)$/.exec(line)?.[1])
    assert.match(trends[5] ?? "", /^█+$/)
    assert.match(trends[6] ?? "", /^▁+$/)
  })

  it("scrolls, sorts, filters, pauses, and shows a node, what has happened, and the keys", () => {
    const down = press(initial, [key("end")])
    assert.match(draw(100, 24, down).at(-4) ?? "", /^10\.0\.0\.50 /)
    const byNode = press(initial, [key("s", "s")])
    assert.match(draw(100, 24, byNode)[4] ?? "", /^10\.0\.0\.1 /)
    const filtered = press(initial, [key("/", "/"), key("4", "4"), key("0", "0"), key("return")])
    assert.deepStrictEqual([filtered.filter, filtered.typing], ["40", false])
    assert.strictEqual(draw(100, 24, filtered).length, 3 + 2 + 2)
    const detail = draw(100, 40, press(filtered, [key("return")])).join("\n")
    assert.match(detail, /why +connection refused/)
    assert.match(detail, /pings +10, 9 lost/)
    assert.match(draw(100, 24, press(initial, [key("e", "e")])).join("\n"), /dead {2}10\.0\.0\.40 {2}Refused/)
    assert.match(draw(100, 24, press(initial, [key("?", "?")])).join("\n"), /write one every 5 minutes/)
    assert.isTrue(press(initial, [key("space", " ")]).paused)
    assert.strictEqual(pressed(initial, key("q", "q"), 1), "quit")
    assert.strictEqual(pressed(press(initial, [key("e", "e")]), key("escape"), 1) === "quit", false)
  })
})

describe.concurrent("what a monitor knows", () => {
  it("keeps events, and bounded histories", () => {
    let state = MonitorState.make(["a", "b"], 0)
    for (let i = 0; i < 1000; i++) {
      state = MonitorState.ticked(MonitorState.answered(state, "a", { dialect: "v2", millis: 1 }, i), i)
      state = MonitorState.unanswered(state, "a", fault, i)
    }
    assert.isAtMost(state.events.length, MonitorState.maxEvents)
    assert.isAtMost(state.nodes.get("a")?.roundTrips.length ?? 0, MonitorState.history)
    assert.isAtMost(state.totals.length, MonitorState.history)
    const reloaded = MonitorState.reloaded(state, ["a", "c"], 2000)
    assert.deepStrictEqual(
      reloaded.events.slice(-2).map(({ kind, node }) => [kind, node]),
      [
        ["joined", "c"],
        ["left", "b"]
      ]
    )
    assert.strictEqual(reloaded.nodes.get("a"), state.nodes.get("a"))
  })

  it("asks for rows when the next one can be there, and soon again where it is late", () => {
    const minute = 60_000
    const row = (at: number) => ({ Timestamp: new Date(at).toISOString() })
    const read = (state: MonitorState.MonitorState, at: ReadonlyArray<number>, now: number) =>
      // Of a row, only the time matters here.
      MonitorState.rowsRead(state, "a", { snitch: at.map(row) as never, watchdog: [] }, now)
    const first = read(MonitorState.make(["a"], 0), [], 0)
    assert.isFalse(MonitorState.wantsRows(first, "a", 1000))
    assert.isTrue(MonitorState.wantsRows(first, "a", 5000))
    const two = read(first, [0, 5 * minute], 6 * minute)
    assert.isFalse(MonitorState.wantsRows(two, "a", 9 * minute))
    assert.isTrue(MonitorState.wantsRows(two, "a", 10 * minute))
    const late = read(two, [0, 5 * minute], 10 * minute)
    assert.isTrue(MonitorState.wantsRows(late, "a", 10.5 * minute))
  })
})

describe.concurrent("top without a terminal", () => {
  live("--once prints every node of 50, a frozen one among them; --json has the same", () =>
    Effect.gen(function* () {
      const { addresses } = yield* cluster({ nodes: 49, metricsInterval: "100 millis" })
      const frozen = yield* RawServer.listen(() => undefined)
      const nodes = [...addresses, frozen.address].join(",")
      const { ghostdb, json } = cliFor(nodes)
      const { code, stderr, stdout } = yield* ghostdb(["top", "--once", "--timeout", "2s"])
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.match(stdout, /^49 of 50 live /m)
      const lines = stdout.split("\n")
      assert.match(lines[4] ?? "", new RegExp(`^${frozen.address} +dead \\d+s AttemptTimeout`))
      for (const address of addresses) assert.match(stdout, new RegExp(`^${address} +(live|slow) v2`, "m"))
      const { document } = yield* json(["top", "--once", "--timeout", "2s"])
      const { nodes: taken } = document as {
        readonly nodes: ReadonlyArray<{ readonly status: string; readonly entries: number }>
      }
      assert.strictEqual(taken.filter(({ entries, status }) => status !== "dead" && entries === 0).length, 49)
    })
  )

  live("needs one, or to be told what to print", () =>
    Effect.gen(function* () {
      expectEnd(
        2,
        "",
        "ghostdb: top is for a terminal: elsewhere there are --once and --json\n"
      )(yield* cliFor("127.0.0.1:1").ghostdb(["top"]))
    })
  )
})
