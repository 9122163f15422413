import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Either, FastCheck, Option, Schema } from "effect"
import { KeyError, NodesFile, NodesFileError, NoMoreServers, type Topology, WatchdogMetrics } from "effect-ghostdb"
import { inOrderOf, totalEntries } from "../../src/cli/connection.js"
import { type CliError, NegativeAnswer, outcome, Stopped, UsageError } from "../../src/cli/exit.js"
import { read, shapeOf } from "../../src/cli/line/arguments.js"
import * as values from "../../src/cli/line/values.js"
import * as output from "../../src/cli/terminal/output.js"
import { hitRate, rates, requests } from "../../src/cluster/Rates.js"

describe("the command line", () => {
  const connection = { nodes: Options.text("nodes"), tls: Options.boolean("tls") }
  const commands = new Map([
    ["get", shapeOf({ key: Args.text(), json: Options.boolean("json"), connection })],
    ["put", shapeOf({ key: Args.text(), ttl: Options.text("ttl"), json: Options.boolean("json"), connection })],
    ["flush", shapeOf({ yes: Options.boolean("yes") })]
  ])
  const args = (...words: ReadonlyArray<string>) => {
    const request = Either.getOrThrow(read(words, commands))
    return request._tag === "Run" ? request.args : request
  }
  const error = (...words: ReadonlyArray<string>) => Either.getOrThrow(Either.flip(read(words, commands))).message

  it("finds the options of a configuration, nested ones too", () => {
    assert.deepStrictEqual(commands.get("put"), {
      settings: new Set(["ttl", "nodes"]),
      flags: new Set(["json", "tls"])
    })
  })

  it("puts options before arguments, wherever they stand", () => {
    const expected = ["put", "--ttl", "5m", "--json", "true", "--", "k", "1"]
    assert.deepStrictEqual(args("put", "k", "1", "--ttl", "5m", "--json"), expected)
    assert.deepStrictEqual(args("--ttl=5m", "put", "--json", "k", "1"), expected)
    assert.deepStrictEqual(args("put", "--ttl", "9", "k", "--ttl", "5m", "--json=true", "1"), expected)
  })

  it("takes no argument for the value of a flag, and no negative number for an option", () => {
    assert.deepStrictEqual(args("get", "--json", "1"), ["get", "--json", "true", "--", "1"])
    assert.deepStrictEqual(args("put", "k", "-5"), ["put", "--", "k", "-5"])
    assert.deepStrictEqual(args("put", "k", "--ttl", "-1", "-"), ["put", "--ttl", "-1", "--", "k", "-"])
  })

  it("leaves alone what is behind --", () => {
    assert.deepStrictEqual(args("put", "--json", "--", "--ttl", "-h"), ["put", "--json", "true", "--", "--ttl", "-h"])
  })

  it("puts what every command has first", () => {
    assert.deepStrictEqual(args("get", "k", "--json", "--log-level", "debug"), [
      "get",
      "--log-level",
      "debug",
      "--json",
      "true",
      "--",
      "k"
    ])
    assert.deepStrictEqual(args("--completions", "bash"), ["--completions", "bash"])
  })

  it("knows help and version", () => {
    assert.deepStrictEqual(args(), { _tag: "Help", command: undefined, requested: false })
    for (const words of [["--help"], ["-h"], ["help"]]) {
      assert.deepStrictEqual(args(...words), { _tag: "Help", command: undefined, requested: true })
    }
    for (const words of [
      ["get", "--help"],
      ["get", "k", "-h"],
      ["help", "get"]
    ]) {
      assert.deepStrictEqual(args(...words), { _tag: "Help", command: "get", requested: true })
    }
    assert.deepStrictEqual(args("--version"), { _tag: "Version" })
  })

  const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
    [["gte", "k"], "unknown command gte (did you mean get?)"],
    [["nothing-near"], "unknown command nothing-near"],
    [["get", "k", "--jsn"], "unknown option --jsn (did you mean --json?)"],
    [["get", "-x"], "unknown option -x; -- goes before a value that begins with a hyphen"],
    [["get", "k", "--ttl", "5m"], "get has no option --ttl"],
    [["put", "k", "1", "--ttl"], "--ttl needs a value"],
    [["get", "k", "--json=maybe"], "--json takes no value"],
    [["get", "k", "--log-level", "loud"], "--log-level is one of all, trace, debug, info, warning, error, fatal, none"]
  ]
  for (const [words, message] of wrong) {
    it(`refuses ${words.join(" ")}`, () => assert.strictEqual(error(...words), message))
  }
})

describe("values", () => {
  const ok = <A>(parser: values.Parser<A>, text: string) => Either.getOrThrow(parser(text))
  const bad = <A>(parser: values.Parser<A>, ...texts: ReadonlyArray<string>) => {
    for (const text of texts) assert.isTrue(Either.isLeft(parser(text)), text)
  }

  it("reads times", () => {
    assert.deepStrictEqual(ok(values.duration, "300ms"), Duration.millis(300))
    assert.deepStrictEqual(ok(values.duration, "1.5"), Duration.millis(1500))
    assert.deepStrictEqual(ok(values.duration, "2h"), Duration.hours(2))
    bad(values.duration, "", "0", "0s", "-1", "5x", "5 m", "Infinity", "1e3")
  })

  it("reads lifetimes", () => {
    assert.deepStrictEqual(ok(values.ttl, "5m"), Duration.minutes(5))
    assert.deepStrictEqual(ok(values.ttl, "60"), Duration.seconds(60))
    assert.strictEqual(ok(values.ttl, "-1"), -1)
    bad(values.ttl, "", "0", "-2", "1.5", "99999999999999999", "never")
  })

  it("reads numbers, sizes and mixes", () => {
    assert.strictEqual(ok(values.whole(1, 10), "10"), 10)
    bad(values.whole(1, 10), "0", "11", "1.0", "", "ten")
    assert.deepStrictEqual(
      ["7", "4k", "1M"].map((text) => ok(values.size(2 ** 20), text)),
      [7, 4096, 1048576]
    )
    bad(values.size(2 ** 20), "", "k", "-1", "1g", "2m")
    assert.deepStrictEqual(ok(values.mix, "get=3,add=1"), { get: 3, put: 0, add: 1, delete: 0 })
    bad(values.mix, "", "get", "get=0", "take=1", "get=-1", "get=1,")
  })
})

describe("output", () => {
  const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

  it.prop("nothing that a terminal obeys gets through", [FastCheck.fullUnicodeString()], ([text]) => {
    assert.notMatch(output.escapeControls(text), control)
    assert.notMatch(output.escapeControlsInLines(text).replace(/[\n\t]/g, ""), control)
  })

  it.prop(
    "what is printed as JSON is JSON of the same value",
    [FastCheck.jsonValue(), FastCheck.fullUnicodeString()],
    ([value, text]) => {
      const printed = output.toJson({ value, text, escape: "\u001b[2J\u009b\u202e" })
      assert.notMatch(printed, control)
      assert.strictEqual(
        JSON.stringify(JSON.parse(printed)),
        JSON.stringify(JSON.parse(JSON.stringify({ value, text, escape: "\u001b[2J\u009b\u202e" })))
      )
    }
  )

  it("has colours on a terminal, unless NO_COLOR is set", () => {
    const terminal = { isTTY: true, write: () => undefined }
    assert.isTrue(output.hasColour(terminal, { TERM: "xterm" }))
    assert.isTrue(output.hasColour(terminal, { TERM: "xterm", NO_COLOR: "" }))
    assert.isFalse(output.hasColour(terminal, { TERM: "xterm", NO_COLOR: "1" }))
    assert.isFalse(output.hasColour(terminal, { TERM: "dumb" }))
    assert.isFalse(output.hasColour({ write: () => undefined }, { TERM: "xterm" }))
  })

  it("draws tables", () => {
    const columns = [{ title: "NODE" }, { title: "N", align: "right" }] as const
    assert.deepStrictEqual(
      output.table(
        columns,
        [
          ["a", "1"],
          [{ text: "bcdef", style: "red" }, "100"]
        ],
        output.painter(false)
      ),
      ["NODE     N", "a        1", "bcdef  100"]
    )
    assert.deepStrictEqual(output.table(columns, [[{ text: "x", style: "red" }, ""]], output.painter(true)), [
      "\u001b[1mNODE\u001b[0m  \u001b[1mN\u001b[0m",
      "\u001b[31mx\u001b[0m"
    ])
  })

  it("draws bars and sparklines", () => {
    assert.strictEqual(output.bar(0.5, 4), "██  ")
    assert.strictEqual(output.bar(2, 2), "██")
    assert.strictEqual(output.bar(1 / 16, 2), "▏ ")
    assert.strictEqual(output.sparkline([9, 0, 1, 2, Number.NaN, 7], 5), "▁▂▃ █")
    assert.strictEqual(output.sparkline([100, 101, 107], 9, { from: "least" }), "▁▂█")
    assert.strictEqual(output.sparkline([0, 0], 9), "▁▁")
    assert.strictEqual(output.sparkline([1, 2], 0), "")
  })

  it("writes numbers with units", () => {
    assert.deepStrictEqual([0, 1023, 1536, 3 * 2 ** 30].map(output.bytes), ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"])
    assert.deepStrictEqual([0, 1.25, 1234567].map(output.rate), ["0", "1.3", "1,234,567"])
    assert.deepStrictEqual([900, 61_000, 3_700_000, 90_000_000].map(output.span), ["0s", "1m 1s", "1h 1m", "1d 1h"])
    assert.deepStrictEqual([1500, 2.5e6, 3e9].map(output.latency), ["2 µs", "2.50 ms", "3s"])
    assert.deepStrictEqual(
      [output.count(undefined), output.percent(Number.NaN), output.percent(0.9311)],
      ["-", "-", "93.1%"]
    )
  })
})

describe("exit codes", () => {
  const failures = [{ node: "10.0.0.1", reason: "Refused", detail: "connection\nrefused \u001b[31m" }] as const
  const cases: ReadonlyArray<readonly [CliError, number, string | undefined]> = [
    [new NegativeAnswer({ message: "" }), 1, undefined],
    [new NegativeAnswer({ message: "no value" }), 1, "ghostdb: no value"],
    [new UsageError({ message: "no" }), 2, "ghostdb: no"],
    [new KeyError({ key: "", reason: "Empty" }), 2, "ghostdb: GhostDB v1 servers refuse the empty key"],
    [new NodesFileError({ file: "a.conf", reason: "no node in it" }), 2, "ghostdb: a.conf: no node in it"],
    [
      new NoMoreServers({ failures }),
      3,
      "ghostdb: no GhostDB node served the command: 10.0.0.1 Refused (connection refused \\u001b[31m)"
    ],
    [new Stopped({ signal: "SIGTERM" }), 143, undefined]
  ]
  for (const [error, code, line] of cases) {
    it(`${error._tag}: ${code}`, () => assert.deepStrictEqual(outcome(Cause.fail(error)), { code, line }))
  }

  it("a defect is one line that says how to see more", () => {
    const { code, line } = outcome(Cause.die(new TypeError("x is not\n  a function")))
    assert.strictEqual(code, 70)
    assert.strictEqual(line, "ghostdb: bug: TypeError: x is not a function (--log-level debug tells where)")
  })
})

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString().replace(".000", "")

/** A row in which what is not given is 0. */
const watchdog = (second: number, counts: Partial<WatchdogMetrics>) =>
  Schema.decodeUnknownSync(WatchdogMetrics)({ ...counts, Timestamp: at(second) })

describe("rates", () => {
  it("are of the time between two rows, and survive a restart and rows of the same second", () => {
    const rows = [
      watchdog(0, { GetRequests: 100 }),
      watchdog(10, { GetRequests: 150 }),
      watchdog(10, { GetRequests: 155 }),
      watchdog(20, { GetRequests: 30 })
    ]
    assert.deepStrictEqual(rates(rows, requests), [5, 3])
    assert.deepStrictEqual(rates(rows.slice(0, 1), requests), [])
  })

  it("prefer the server's total where it keeps one", () => {
    assert.strictEqual(requests(watchdog(0, { TotalRequests: 9, GetRequests: 5 })), 9)
  })

  it("give the hit rate of the last interval, where there was a get", () => {
    const rows = [
      watchdog(0, {}),
      watchdog(1, { GetRequests: 10, CacheMiss: 1 }),
      watchdog(2, { GetRequests: 30, CacheMiss: 6 })
    ]
    assert.strictEqual(hitRate(rows), 0.75)
    assert.isNaN(hitRate([...rows, watchdog(3, { GetRequests: 30, CacheMiss: 6 })]))
    assert.isNaN(hitRate([]))
  })
})

describe("what is known of the cluster", () => {
  it("a URL is shown without the secrets in it, a path as it is", () => {
    assert.strictEqual(
      NodesFile.redact("https://user:password@config.example/gdb.conf?token=1#x"),
      "https://config.example/gdb.conf"
    )
    assert.strictEqual(NodesFile.redact("./gdb.conf"), "./gdb.conf")
  })

  it("the members of a raft cluster all hold the same entries", () => {
    const topology: Topology = { live: [], dead: [], placement: "ring", leader: Option.none() }
    assert.strictEqual(totalEntries(topology, [3, 4]), 7)
    assert.strictEqual(totalEntries({ ...topology, placement: "replicated" }, [3, 3]), 3)
  })

  it("nodes stand in the order of the nodes file, new ones last", () => {
    const nodes = ["d", "c", "a", "b"].map((node) => ({ node }))
    assert.deepStrictEqual(
      inOrderOf(["a", "b", "c"])(nodes).map(({ node }) => node),
      ["a", "b", "c", "d"]
    )
  })
})
