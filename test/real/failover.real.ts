import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import * as RealCluster from "./RealCluster.js"

for (const version of RealCluster.versions) {
  describe(`${version} servers`, () => {
    it.scopedLive("what is put is got, and a killed node's keys move on", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 3)
        const layer = Client.layer({ nodes: nodes.map(({ address }) => address) }).pipe(
          Layer.provide(SocketTransport.layer)
        )
        yield* Effect.gen(function* () {
          const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`)
          yield* Effect.forEach(keys, (key, i) => GhostDB.put(key, i), { concurrency: 16, discard: true })
          const values = yield* Effect.forEach(keys, GhostDB.get, { concurrency: 16 })
          assert.deepStrictEqual(
            values,
            keys.map((_, i) => Option.some(i))
          )
          yield* nodes[1]!.kill
          yield* Effect.forEach(keys, (key, i) => GhostDB.put(key, i + 1000), { concurrency: 16, discard: true })
          const after = yield* Effect.forEach(keys, GhostDB.get, { concurrency: 16 })
          assert.deepStrictEqual(
            after,
            keys.map((_, i) => Option.some(i + 1000))
          )
        }).pipe(Effect.provide(layer))
      })
    )
  })
}
