import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import * as FakeTransport from "../support/FakeTransport.js"
import { http, listen } from "../support/RawServer.js"

/** Nothing else runs in this process for so many milliseconds. */
const block = (millis: number) => {
  const until = performance.now() + millis
  while (performance.now() < until) {}
}

describe("a process that is blocked", () => {
  it.scopedLive("does not call a node dead whose answer to the first ping has arrived meanwhile", () =>
    Effect.gen(function* () {
      let isFirst = true
      const server = yield* listen(({ command }, socket) => {
        socket.write(http(FakeTransport.reply(command === "ping" ? "Pong!" : "OK").body))
        if (isFirst) block(600)
        isFirst = false
      })
      const layer = Layer.provide(
        Client.layer({ nodes: [server.address], attemptTimeout: "100 millis", deadline: "100 millis" }),
        SocketTransport.layer
      )
      yield* Effect.gen(function* () {
        const deaths: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(yield* Effect.map(GhostDB, ({ topology }) => topology), ({ dead }) =>
            Effect.sync(() => {
              for (const { failure } of dead) deaths.push(failure.reason)
            })
          )
        )
        yield* Effect.exit(GhostDB.get("key"))
        yield* GhostDB.get("key").pipe(Effect.retry({ times: 20 }))
        assert.deepStrictEqual(deaths, [])
        assert.strictEqual(server.accepted(), 1)
      }).pipe(Effect.provide(layer))
    })
  )
})
