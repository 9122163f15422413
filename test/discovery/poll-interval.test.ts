import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Option, Queue, Stream, TestClock } from "effect"
import { GhostDB, GhostDBLive, type GhostDBOptions } from "effect-ghostdb"
import { listen } from "./listen.js"

/** A URL of nodes on loopback, and how often it was asked. */
const nodesUrl = Effect.gen(function* () {
  const asked = yield* Queue.unbounded<void>()
  const state = { content: "10.0.0.1" }
  const host = yield* listen((_, response) => {
    response.end(state.content)
    asked.unsafeOffer(undefined)
  })
  return { url: `http://${host}/nodes`, asked, state }
})

describe("pollInterval", () => {
  for (const [options, interval] of [
    [{}, 30_000],
    [{ pollInterval: "5 seconds" }, 5000],
    [{ pollInterval: "250 millis" }, 250]
  ] as ReadonlyArray<readonly [GhostDBOptions, number]>) {
    it.scoped(`GhostDBLive(url, ${JSON.stringify(options)}) asks the URL every ${interval} ms`, () =>
      Effect.gen(function* () {
        const { asked, state, url } = yield* nodesUrl
        yield* Effect.gen(function* () {
          yield* Queue.take(asked)
          for (let round = 0; round < 3; round++) {
            yield* TestClock.adjust(interval - 1)
            assert.strictEqual(yield* Queue.size(asked), 0)
            yield* TestClock.adjust(1)
            yield* Queue.take(asked)
          }
          state.content = "10.0.0.1\n10.0.0.2"
          const both = GhostDB.topology.pipe(
            Stream.filter(({ live }) => live.length === 2),
            Stream.runHead
          )
          yield* Effect.raceFirst(both, Effect.forever(TestClock.adjust(interval)))
        }).pipe(Effect.provide(GhostDBLive(url, options)))
      })
    )
  }

  it.effect("that is not longer than 0 is a defect, before anything is read", () =>
    Effect.gen(function* () {
      const exit = yield* GhostDB.ping.pipe(
        Effect.provide(GhostDBLive("/no/such/file", { pollInterval: "0 millis" })),
        Effect.exit
      )
      assert.match(
        String(Option.getOrUndefined(Option.flatMap(Exit.causeOption(exit), (cause) => Cause.dieOption(cause)))),
        /pollInterval must be a Duration or its text, .* longer than 0/
      )
    })
  )
})
