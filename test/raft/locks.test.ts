import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema, TestClock } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"
import { inMemory, keys, ruling } from "../support/raft.js"

describe('locks with readFrom: "any", while followers lag', () => {
  it.effect("are given back at once, and those who come later find the value", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const store = GhostDB.forSchema(Schema.String, { prefix: "value:" })
      const runs: Array<string> = []
      const getAll = Effect.forEach(keys, (key) =>
        store.getOrElse(
          key,
          Effect.sync(() => {
            runs.push(key)
            return key
          }),
          { lock: true }
        )
      )
      yield* getAll
      yield* TestClock.adjust("1 second")
      const leader = yield* Effect.flatten(Effect.map(ruling, cluster.node))
      const held = (yield* leader.entries).map(({ key }) => key)
      expect(held.length).toBe(keys.length)
      expect(held.filter((key) => key.startsWith("lock:"))).toEqual([])
      const other = yield* cluster.client({ readFrom: "any" })
      yield* Effect.provideService(getAll, GhostDB, other)
      expect(runs.length).toBe(keys.length)
    }).pipe(Effect.scoped, Effect.provide(inMemory({ replicationDelay: "1 hour", client: { readFrom: "any" } })))
  )
})
