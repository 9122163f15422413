import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { wrap } from "../../src/cli/line/help.js"
import { firstInexact } from "../../src/cli/line/numbers.js"
import * as HostileServer from "../support/HostileServer.js"
import * as RawServer from "../support/RawServer.js"
import { cliFor, cluster, expectEnd, live } from "./scene.js"
import { runHere } from "./support.js"

describe("numbers that a server cannot hold", () => {
  const inexact = [
    "9007199254740993",
    "[1, -9007199254740993]",
    '{"a": 1e400}',
    "0.1234567890123456789",
    '{"1": 123456789012345678901}'
  ]
  const exact = [
    "9007199254740992",
    "1.50",
    "1e3",
    "-0",
    "0.1",
    "100000000000000000000",
    '"9007199254740993"',
    '{"9007199254740993": "\\"1e999"}',
    "1E-7"
  ]
  for (const text of inexact) it(`${text} is found`, () => assert.isDefined(firstInexact(text)))
  for (const text of exact) it(`${text} is none`, () => assert.isUndefined(firstInexact(text)))

  it.prop("what JavaScript writes is exact", [FastCheck.jsonValue()], ([value]) => {
    assert.isUndefined(firstInexact(JSON.stringify(value)))
  })

  live("put refuses them, unless they are text", () =>
    Effect.gen(function* () {
      const { ghostdb } = yield* cluster({ nodes: 1 })
      const id = "9007199254740993"
      expectEnd(
        2,
        "",
        `ghostdb: the number ${id} would be stored as 9007199254740992: put it in quotes, or use --string\n`
      )(yield* ghostdb(["put", "id", id]))
      expectEnd(0, "STORED\n", "")(yield* ghostdb(["put", "id", id, "--string"]))
      expectEnd(0, `"${id}"\n`, "")(yield* ghostdb(["get", "id"]))
    })
  )
})

describe("help", () => {
  it.prop(
    "wraps between words",
    [FastCheck.array(FastCheck.stringMatching(/^[a-z]{1,12}$/), { minLength: 1 })],
    ([words]) => {
      const lines = wrap(words.join(" "), 20)
      assert.deepStrictEqual(lines.join(" ").split(" "), words)
      for (const line of lines) assert.isAtMost(line.length, 20)
    }
  )

  for (const columns of [40, 80, 200]) {
    live(`of every command fits ${columns} columns`, () =>
      Effect.gen(function* () {
        const { stdout } = yield* runHere(["--help"], { columns, env: { NO_COLOR: "1" } })
        const names = [...stdout.matchAll(/^ {2}([a-z]+)(?: [A-Z[\] ]+)?(?: {2}|$)/gm)].map(([, name = ""]) => name)
        assert.includeMembers(names, ["get", "top", "bench"])
        for (const name of names) {
          const { stdout } = yield* runHere([name, "--help"], { columns, env: { NO_COLOR: "1" } })
          const examples = stdout.indexOf("\nExamples\n")
          for (const line of stdout.slice(0, examples).split("\n").slice(1)) assert.isAtMost(line.length, columns, line)
        }
      })
    )
  }
})

describe("words of other clients", () => {
  for (const [word, name] of [
    ["set", "put"],
    ["del", "delete"],
    ["FLUSHALL", "flush"]
  ] as const) {
    live(`${word} is ${name}`, () =>
      Effect.gen(function* () {
        expectEnd(
          2,
          "",
          `ghostdb: unknown command ${word} (it is called ${name} here)\n`
        )(yield* cliFor("unused").ghostdb([word, "k"]))
      })
    )
  }
})

describe("flush", () => {
  live("names the nodes that did not, and why", () =>
    Effect.gen(function* () {
      const stubborn = yield* RawServer.listen(({ command }, socket) => {
        const message = command === "flush" ? "ERR_FLUSH" : "Pong!"
        const gobj = '{"Key":"","Value":null,"TTL":-1}'
        socket.write(HostileServer.http(`{"Gobj":${gobj},"Status":1,"Message":"${message}","Error":""}`))
      })
      const { addresses, servers } = yield* cluster({ nodes: 2 })
      yield* servers[1]!.stop
      const nodes = [...addresses, stubborn.address].join(",")
      const { code, stderr, stdout } = yield* cliFor("unused").ghostdb(["flush", "--yes", "--nodes", nodes])
      assert.deepStrictEqual([code, stdout], [1, "ERR_FLUSH\n"])
      assert.strictEqual(
        stderr,
        `ghostdb: not flushed: ${addresses[1]} (connection refused: nothing listens there), ${stubborn.address} (answers ERR_FLUSH)\n`
      )
    })
  )
})
