import { FetchHttpClient, HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { GhostDBConfig, HttpClientTransport, Transport } from "effect-ghostdb"
import { echo, http, listen, until } from "../support/RawServer.js"

const clients = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layer
}

const connect = Effect.flatMap(Transport.Transport, ({ connect }) =>
  connect({ ...GhostDBConfig.defaults, maxReplyBytes: 100 })
)

describe.each(Object.entries(clients))("HttpClientTransport over %s", (_, client) => {
  const layer = HttpClientTransport.layer.pipe(Layer.provide(client))

  it.scoped("what is left of a reply that is too large is not waited for", () =>
    Effect.gen(function* () {
      const server = yield* listen((_, socket) => void socket.write(http("x".repeat(1_000_000))))
      const { post } = yield* connect
      for (let i = 0; i < 5; i++) {
        expect((yield* Effect.flip(post(server.address, "get", "{}"))).reason).toBe("ReplyTooLarge")
      }
      yield* until(() => server.sockets.size === 0)
    }).pipe(Effect.provide(layer))
  )

  it.scoped("an interrupted post ends its request and no other", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const closed: Array<string> = []
      const server = yield* listen((request, socket) => {
        socket.on("close", () => closed.push(request.body))
        held.push(() => socket.write(http(request.body)))
      })
      const { post } = yield* connect
      const [first, second] = yield* Effect.all([
        Effect.fork(post(server.address, "get", "1")),
        Effect.fork(post(server.address, "get", "2"))
      ])
      yield* until(() => held.length === 2)
      yield* Fiber.interrupt(first)
      yield* until(() => closed.length > 0)
      expect(closed).toEqual(["1"])
      for (const answer of held) answer()
      expect(yield* Fiber.join(second)).toEqual({ status: 200, body: "2" })
    }).pipe(Effect.provide(layer))
  )

  it.scoped("a client that refuses replies by their status", () =>
    Effect.gen(function* () {
      const strict = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, HttpClient.filterStatusOk))
      const server = yield* listen((_, socket) => {
        socket.write("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
      })
      const found = yield* Effect.flatMap(connect, ({ post }) => Effect.flip(post(server.address, "get", "{}"))).pipe(
        Effect.provide(HttpClientTransport.layer.pipe(Layer.provide(strict), Layer.provide(client)))
      )
      expect(found).toEqual({ reason: "BadReply", detail: "StatusCode" })
    })
  )
})

it.scoped("options of fetch given to the layer are kept", () =>
  Effect.gen(function* () {
    const server = yield* listen(echo)
    const init = Layer.succeed(FetchHttpClient.RequestInit, { headers: { "x-init": "kept" } })
    const layer = HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer), Layer.provide(init))
    const transport = yield* Transport.Transport.pipe(Effect.provide(layer))
    const { post } = yield* transport.connect(GhostDBConfig.defaults)
    yield* post(server.address, "get", "{}")
    expect(server.requests[0]?.head).toMatch(/^x-init: kept$/im)
  })
)
