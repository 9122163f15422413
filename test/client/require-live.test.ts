import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Option } from "effect"
import { GhostDB, NoMoreServers } from "effect-ghostdb"
import * as HostileServer from "../support/HostileServer.js"
import { client, type Node, reasonsOf } from "../support/scene.js"

describe.concurrent("requireLive", () => {
  const nodes = Effect.all([HostileServer.make(), HostileServer.make()])
  const built = (nodes: ReadonlyArray<Node>, requireLive: boolean) =>
    client(nodes, { attemptTimeout: "300 millis" }).pipe(
      (layer) => (requireLive ? GhostDB.requireLive(layer) : layer),
      Layer.build,
      Effect.scoped,
      Effect.either
    )

  it.scopedLive("fails with a failure for each node when none answers", () =>
    Effect.gen(function* () {
      const [silent, refusing] = yield* nodes
      yield* silent.behave("accepts and never answers", "badly")
      yield* refusing.stop
      const failure = Option.getOrThrow(Either.getLeft(yield* built([silent, refusing], true)))
      assert.instanceOf(failure, NoMoreServers)
      assert.deepStrictEqual(failure instanceof NoMoreServers ? reasonsOf(failure) : [], [
        `${silent.address} AttemptTimeout`,
        `${refusing.address} Refused`
      ])
      yield* HostileServer.eventually("the connection is closed", () => silent.connections().open === 0)
    })
  )

  it.scopedLive("does not when one answers", () =>
    Effect.gen(function* () {
      const [sound, refusing] = yield* nodes
      yield* refusing.stop
      assert.isTrue(Either.isRight(yield* built([sound, refusing], true)))
    })
  )

  it.scopedLive("is off by default: building connects to no node", () =>
    Effect.gen(function* () {
      const [sound, refusing] = yield* nodes
      yield* refusing.stop
      assert.isTrue(Either.isRight(yield* built([sound, refusing], false)))
      assert.isTrue(Either.isRight(yield* Effect.either(Effect.scoped(Layer.build(client([sound, refusing]))))))
      assert.strictEqual(sound.connections().accepted, 0)
    })
  )
})
