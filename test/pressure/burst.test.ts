import type * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { Client, GhostDB, type GhostDBOptions, NodeServer, SocketTransport } from "effect-ghostdb"
import { clientOf, topologyNow } from "../support/clients.js"
import { http, listen, type Server, until } from "../support/RawServer.js"
import { overTls, serverTls } from "../support/tls.js"

// The machine may be slow: the default deadline of 5 s would be about that, and not about what is tested.
const options = { deadline: "1 minute" } satisfies GhostDBOptions

const answer = (command: string): string =>
  command === "ping"
    ? '{"Gobj":{"Key":"","Value":"","TTL":0},"Status":1,"Message":"Pong!","Error":""}'
    : '{"Gobj":{"Key":"","Value":"v","TTL":-1},"Status":200,"Message":"OK","Error":""}'

const clientFor = (server: Server) =>
  Client.layer({ ...options, nodes: [server.address] }).pipe(Layer.provide(SocketTransport.layer), Layer.orDie)

const gets = (count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => `key-${i}`),
    (key) => GhostDB.get(key),
    { concurrency: "unbounded" }
  )

/** All answered, and the node live. */
const served = (server: Server, count: number) =>
  Effect.gen(function* () {
    const values = yield* gets(count)
    expect(values).toEqual(Array(count).fill(Option.some("v")))
    expect((yield* topologyNow).dead).toEqual([])
  }).pipe(Effect.provide(clientFor(server)))

const getsOf = (server: Server) => server.requests.filter(({ command }) => command === "get").length

describe("a burst", () => {
  it.scopedLive("20,000 puts at once on three embedded nodes: none fails, and every node stays live", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      const program = Effect.gen(function* () {
        const value = "x".repeat(1024)
        const results = yield* Effect.forEach(
          Array.from({ length: 20_000 }, (_, i) => `key-${i}`),
          (key) => GhostDB.put(key, value),
          { concurrency: "unbounded" }
        )
        expect(results.every((result) => result === "STORED")).toBe(true)
        expect((yield* topologyNow).dead).toEqual([])
      })
      yield* Effect.provide(program, clientOf(servers, options))
    })
  )

  // The node's second is the test clock's, so that the default deadline does not depend on the machine's speed.
  it.scoped.each([
    { form: "by one caller", callers: 1, tls: false },
    { form: "by two callers", callers: 2, tls: false },
    { form: "over TLS", callers: 1, tls: true }
  ])("2,000 gets $form of a node that answers 1,000 a second: all are answered, one request each", ({ callers, tls }) =>
    Effect.gen(function* () {
      const count = 2000
      const held: Array<() => void> = []
      const server = yield* listen(
        ({ command }, socket) => {
          const reply = () => void socket.write(http(answer(command)))
          if (command === "ping") reply()
          else held.push(reply)
        },
        tls ? { tls: serverTls } : {}
      )
      let ended = 0
      const burst = Effect.forEach(
        Array.from({ length: count / callers }, (_, i) => `key-${i}`),
        (key) =>
          Effect.ensuring(
            GhostDB.get(key),
            Effect.sync(() => void ended++)
          ),
        { concurrency: "unbounded" }
      )
      const program = Effect.gen(function* () {
        const fiber = yield* Effect.fork(Effect.replicateEffect(burst, callers, { concurrency: "unbounded" }))
        for (let answered = 0; ended < count; ) {
          const due = Math.min(50, count - ended)
          yield* until(() => held.length >= Math.min(due, count - ended))
          const replies = held.splice(0, due)
          answered += replies.length
          for (const reply of replies) reply()
          yield* until(() => ended >= answered)
          yield* TestClock.adjust("50 millis")
        }
        const values = yield* Fiber.join(fiber)
        expect(values.flat()).toEqual(Array(count).fill(Option.some("v")))
        expect((yield* topologyNow).dead).toEqual([])
        expect(getsOf(server)).toBe(count)
      })
      const client = Client.layer({ nodes: [server.address], ...(tls ? overTls : {}) })
      yield* Effect.provide(program, client.pipe(Layer.provide(SocketTransport.layer), Layer.orDie))
    })
  )
})

describe("a node that closes a connection after so many requests", () => {
  const limited = (most: number, last: (socket: Net.Socket, body: string) => void) => {
    const counts = new Map<number, number>()
    return listen(({ command, connection }, socket) => {
      const count = (counts.get(connection) ?? 0) + 1
      counts.set(connection, count)
      if (count < most) socket.write(http(answer(command)))
      else if (count === most) last(socket, answer(command))
    })
  }

  it.scopedLive("without a word after 100: 1,000 gets are answered", () =>
    Effect.gen(function* () {
      const server = yield* limited(100, (socket, body) => void socket.end(http(body)))
      yield* served(server, 1000)
      expect(getsOf(server)).toBeLessThan(2000)
    })
  )

  it.scopedLive("announced after 10: 500 gets are answered", () =>
    Effect.gen(function* () {
      const server = yield* limited(10, (socket, body) => void socket.end(http(body, "Connection: close\r\n")))
      yield* served(server, 500)
      expect(getsOf(server)).toBeLessThan(1000)
    })
  )
})
