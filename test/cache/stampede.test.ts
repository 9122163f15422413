/** Several processes read one hot key over HTTP; `npm run stampede` does so with twenty real ones. */
import { describe, expect, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Layer, Schema } from "effect"
import { GhostDB, NodeServer } from "effect-ghostdb"
import { all } from "../support/cache.js"
import { clientOf } from "../support/clients.js"

const lifetime = 150
const brief = GhostDB.forSchema(Schema.Number, { prefix: "brief:", ttl: `${lifetime} millis`, expiry: "exact" })
const long = GhostDB.forSchema(Schema.Number, { prefix: "long:", ttl: "1 hour", expiry: "exact" })

/** Clients with nothing in common but their nodes. */
const processes = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 3 })
  const contexts = yield* Effect.forEach([1, 2, 3, 4, 5], () => Layer.build(clientOf(servers)))
  return contexts.map(
    (context) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(effect, context)
  )
})

describe("five processes over HTTP, ten readers each", () => {
  it.scopedLive("with a lock a run begins only when the value of the one before has expired", () =>
    Effect.gen(function* () {
      const runs: Array<{ readonly from: number; readonly to: number }> = []
      const load = Effect.gen(function* () {
        const from = yield* Clock.currentTimeMillis
        yield* Effect.sleep("10 millis")
        const to = yield* Clock.currentTimeMillis
        return runs.push({ from, to })
      })
      const reader = Effect.gen(function* () {
        while (runs.length < 4) {
          yield* brief.getOrElse("hot", load, { lock: { lease: "1 minute", wait: "1 minute" } })
          yield* Effect.sleep("5 millis")
        }
      })
      yield* Effect.forEach(
        yield* processes,
        (process) =>
          process(
            Effect.all(
              Array.from({ length: 10 }, () => reader),
              all
            )
          ),
        all
      )
      for (const [at, { from }] of runs.slice(1).entries()) {
        expect(from).toBeGreaterThanOrEqual((runs[at]?.to ?? 0) + lifetime)
      }
    })
  )

  it.scopedLive("with refreshAhead alone no caller waits for the effect, and each process runs it once at a time", () =>
    Effect.gen(function* () {
      const each = yield* processes
      yield* each[0]!(long.getOrElse("hot", Effect.delay(Effect.succeed(1), "5 millis"), { refreshAhead: true }))
      const gate = yield* Deferred.make<void>()
      let runs = 0
      const load = Effect.suspend(() => Effect.as(Deferred.await(gate), ++runs + 1))
      // A beta so large that each read is ahead of the end.
      const read = long.getOrElse("hot", load, { refreshAhead: 1e9 })
      for (const _ of [1, 2, 3]) {
        const values = yield* Effect.forEach(
          each,
          (process) =>
            process(
              Effect.all(
                Array.from({ length: 10 }, () => read),
                all
              )
            ),
          all
        )
        expect(new Set(values.flat())).toEqual(new Set([1]))
      }
      expect(runs).toBe(5)
      yield* Deferred.succeed(gate, undefined)
    })
  )
})
