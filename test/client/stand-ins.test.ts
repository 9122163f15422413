import { describe, expect, it } from "@effect/vitest"
import { Effect, Option, Schedule, TestClock } from "effect"
import { GhostDB, NodeServer, TestCluster } from "effect-ghostdb"
import { clientOf, topologyNow } from "../support/clients.js"

const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`)
const putAll = (value: string) => Effect.forEach(keys, (key) => GhostDB.put(key, value), { discard: true })
const getAll = Effect.forEach(keys, GhostDB.get)
const is = (text: string) => Option.exists((value) => value === text)
const client = { revive: Schedule.spaced("100 millis"), replicas: 10 } as const

describe.concurrent("what a stand-in was given is deleted there when the owner is back", () => {
  for (const onRevival of ["keep", "flush"] as const) {
    it.effect(`at the owner's next outage no old value comes to light (onRevival: "${onRevival}")`, () =>
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        yield* putAll("first")
        yield* cluster.stop("node-2")
        yield* putAll("second")
        yield* cluster.start("node-2")
        yield* TestClock.adjust("1 second")
        expect((yield* topologyNow).dead).toEqual([])
        yield* putAll("third")
        yield* cluster.stop("node-2")
        const found = yield* getAll
        expect(found.filter(is("second"))).toEqual([])
        expect(found.some(Option.isNone)).toBe(true)
        expect(found.some(is("third"))).toBe(true)
      }).pipe(Effect.provide(TestCluster.layer({ client: { ...client, onRevival } })))
    )
  }

  it.scopedLive("over HTTP", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      const [, second] = servers
      yield* Effect.gen(function* () {
        yield* putAll("first")
        yield* second!.stop
        yield* putAll("second")
        const held = Effect.map(
          Effect.forEach(servers, ({ node }) => node.entries),
          (all) => all.flat().length
        )
        yield* second!.start()
        // What the stand-ins hold is deleted: less than all keys is left, as the owner has come back empty.
        yield* Effect.repeat(held, { until: (count) => count < keys.length, schedule: Schedule.spaced("10 millis") })
        yield* Effect.repeat(topologyNow, {
          until: ({ dead }) => dead.length === 0,
          schedule: Schedule.spaced("10 millis")
        })
        yield* putAll("third")
        yield* second!.stop
        expect((yield* getAll).filter(is("second"))).toEqual([])
      }).pipe(Effect.provide(clientOf(servers, client)))
    })
  )
})
