import * as Net from "node:net"
import type { TlsOptions } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Redacted, Schedule } from "effect"
import { type ClientOptions, GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { client, failureOf, reasonsOf } from "../support/scene.js"
import { pem, serverTls } from "../support/tls.js"

type ClientTls = NonNullable<ClientOptions["tls"]>

describe.concurrent("over TLS", () => {
  const tlsClient = (address: string, options: Partial<ClientOptions>) =>
    Layer.build(client([], { nodes: [address], protocol: "https", retry: Schedule.recurs(0), ...options }))
  const roundTrip = Effect.zipRight(GhostDB.put("key", "value"), GhostDB.get("key"))
  const served = Effect.fnUntraced(function* (tls: ClientTls, host = "127.0.0.1", options: TlsOptions = {}) {
    const node = yield* HostileServer.make({ ...serverTls, ...options })
    const context = yield* tlsClient(`${host}:${node.port}`, { tls })
    return { node, result: yield* Effect.either(Effect.provide(roundTrip, context)), context }
  })

  it.scopedLive("a node with a certificate of a trusted authority is served, by address and by name", () =>
    Effect.gen(function* () {
      for (const host of ["127.0.0.1", "localhost"]) {
        const { node, result } = yield* served({ ca: pem("ca.crt") }, host)
        assert.deepStrictEqual(result, Either.right(Option.some("value")))
        assert.strictEqual(node.connections().accepted, 1)
      }
    })
  )

  it.scopedLive("an untrusted one is down, and the detail says why", () =>
    Effect.gen(function* () {
      const { context, node, result } = yield* served({})
      const failure = Option.getOrThrow(Either.getLeft(result))
      assert.match(failure.message, /Unreachable \(\w*(CERT|LEAF|ISSUER)\w*\)/)
      assert.strictEqual((yield* Effect.provide(topologyNow, context)).dead.length, 1)
      assert.deepStrictEqual(node.requests, [])
    })
  )

  it.scopedLive("an untrusted one is served where rejectUnauthorized is off", () =>
    Effect.gen(function* () {
      const { result } = yield* served({ rejectUnauthorized: false })
      assert.deepStrictEqual(result, Either.right(Option.some("value")))
    })
  )

  it.scopedLive("servername is the name that the certificate must hold", () =>
    Effect.gen(function* () {
      const good = yield* served({ ca: pem("ca.crt"), servername: "ghostdb.test" })
      assert.deepStrictEqual(good.result, Either.right(Option.some("value")))
      const other = yield* served({ ca: pem("ca.crt"), servername: "other.test" })
      const failure = Option.getOrThrow(Either.getLeft(other.result))
      assert.include(failure.message, "Unreachable (ERR_TLS_CERT_ALTNAME_INVALID)")
    })
  )

  it.scopedLive("a client certificate is presented to a server that asks for one", () =>
    Effect.gen(function* () {
      const mutual = { ca: pem("ca.crt"), requestCert: true, rejectUnauthorized: true }
      const withIt = yield* served(
        { ca: pem("ca.crt"), cert: pem("client.crt"), key: Redacted.make(pem("client.key")) },
        "127.0.0.1",
        mutual
      )
      assert.deepStrictEqual(withIt.result, Either.right(Option.some("value")))
      const without = yield* served({ ca: pem("ca.crt") }, "127.0.0.1", mutual)
      assert.isTrue(Either.isLeft(without.result))
      assert.deepStrictEqual(without.node.requests, [])
    })
  )

  it.scopedLive("a server that does not shake hands is down, and ends by the attempt timeout", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const context = yield* tlsClient(node.address, { attemptTimeout: "200 millis", deadline: "1 hour" })
      const failure = yield* failureOf(GhostDB.get("key")).pipe(Effect.provide(context))
      assert.deepStrictEqual(reasonsOf(failure), [`${node.address} ConnectTimeout`])
    })
  )

  it.scopedLive("a server that speaks no TLS is down", () =>
    Effect.gen(function* () {
      const talk = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const server = Net.createServer((socket) => {
            socket.on("error", () => undefined)
            socket.resume()
            socket.end("220 smtp.example.com ESMTP\r\n")
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const bound = talk.address()
      const port = typeof bound === "object" && bound !== null ? bound.port : 0
      const context = yield* tlsClient(`127.0.0.1:${port}`, {})
      const failure = yield* failureOf(GhostDB.get("key")).pipe(Effect.provide(context))
      assert.deepStrictEqual(reasonsOf(failure), [`127.0.0.1:${port} Unreachable`])
    })
  )
})
