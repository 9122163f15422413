/** What the compiler refuses, and untyped code does all the same. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { Client, GhostDB, GhostDBConfig, GhostDBLive } from "effect-ghostdb"
import * as FakeTransport from "../support/FakeTransport.js"
import { recorder } from "../support/recorder.js"

/** What is logged as a client is made. */
const loggedWith = (options: object) => {
  const { layer, lines } = recorder()
  return Effect.void.pipe(
    Effect.provide(Client.layer({ nodes: ["10.0.0.1"], ...options })),
    Effect.provide(Layer.merge(FakeTransport.layer(FakeTransport.hit), layer)),
    Effect.map(() => lines.map(({ level, text }) => `${level} ${text}`))
  )
}

describe("misuse", () => {
  for (const [what, argument] of [
    ["undefined", undefined],
    ["an array", ["10.0.0.1"]],
    ["an object", { nodes: ["10.0.0.1"] }],
    ["a URL object", new URL("file:///gdb.conf")],
    ["a number", 7991]
  ] as const) {
    it.effect(`${what} in place of the nodes file is a defect that says what is expected`, () =>
      Effect.gen(function* () {
        const live: ReturnType<typeof GhostDBLive> = Reflect.apply(GhostDBLive, undefined, [argument])
        const exit = yield* Effect.exit(Effect.provide(GhostDB.ping, live))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        const text = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
        assert.match(text, /GhostDBLive takes the path or the URL of a nodes file, as a string/)
        assert.match(text, /Client\.layer\(\{ nodes \}\)/)
        assert.notMatch(text, /ParseError/)
      })
    )
  }

  it.effect("an option that there is not is a warning that names it", () =>
    Effect.gen(function* () {
      const lines = yield* loggedWith({ timeout: "1 second", attemptTimeout: "300 millis", retries: 3 })
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /^WARN .*timeout, retries/s)
    })
  )

  it.effect("every option that there is, and one that is undefined, goes without a word", () =>
    Effect.gen(function* () {
      const known = Object.keys(GhostDBConfig.defaults).map((name) => [name, undefined])
      assert.deepStrictEqual(
        yield* loggedWith({ ...Object.fromEntries(known), changes: undefined, other: undefined }),
        []
      )
    })
  )
})
