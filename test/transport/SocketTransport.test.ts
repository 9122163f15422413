import { Buffer } from "node:buffer"
import { readFileSync } from "node:fs"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { describe, expect, it, vi } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Option, Redacted, Scope, TestClock } from "effect"
import { type Fault, GhostDBConfig, SocketTransport, Transport } from "effect-ghostdb"
import { defectOf } from "../support/exits.js"
import { echo, http, listen, type Server, silent, until } from "../support/RawServer.js"

const closing = "Connection: close\r\n"

const connect = (
  settings: Partial<Transport.TransportSettings> = {}
): Effect.Effect<Transport.Connections, never, Scope.Scope> =>
  Effect.flatMap(Transport.Transport, ({ connect }) => connect({ ...GhostDBConfig.defaults, ...settings })).pipe(
    Effect.provide(SocketTransport.layer)
  )

/** What comes of a post: the body of its reply or the reason of its failure. */
const outcome = (post: Effect.Effect<{ readonly body: string }, Fault>): Effect.Effect<string> =>
  Effect.match(post, { onSuccess: ({ body }) => body, onFailure: ({ reason }) => reason })

const all = (connections: Transport.Connections, server: Server, bodies: ReadonlyArray<string>, deadline?: number) =>
  Effect.all(
    bodies.map((body) => outcome(connections.post(server.address, "get", body, deadline))),
    { concurrency: "unbounded" }
  )

const numbers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

const bodiesOf = (server: Server, connection: number): ReadonlyArray<string> =>
  server.requests.filter((request) => request.connection === connection).map(({ body }) => body)

/** The writes to a port while the scope is open, and the most that a socket to it has held back after one. */
const writesTo = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const seen = { sizes: [] as Array<number>, mostHeldBack: 0 }
      const write = Net.Socket.prototype.write
      const spy = vi.spyOn(Net.Socket.prototype, "write").mockImplementation(function (
        this: Net.Socket,
        ...args: Parameters<typeof write>
      ) {
        const result = Reflect.apply(write, this, args)
        if (this.remotePort === port) {
          seen.sizes.push(Buffer.byteLength(String(args[0])))
          seen.mostHeldBack = Math.max(seen.mostHeldBack, this.writableLength)
        }
        return result
      })
      return { seen, restore: () => spy.mockRestore() }
    }),
    ({ restore }) => Effect.sync(restore)
  ).pipe(Effect.map(({ seen }) => seen))

const pem = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8")

const attemptTimeout = 1000

/** Past `attemptTimeout`, and past the delay of the sweep. */
const late = 1100

describe("requests and replies", () => {
  it.scoped("what is sent", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect({
        headers: { "X-Token": Redacted.make("s3cret"), "X-Name": Redacted.make("é") }
      })
      const reply = yield* connections.post(server.address, "put", '{"é":"日本語"}')
      expect(reply).toEqual({ status: 200, body: '{"é":"日本語"}' })
      const [request] = server.requests
      expect(
        Buffer.from(request?.head ?? "", "latin1")
          .toString()
          .split("\r\n")
      ).toEqual([
        "POST /put HTTP/1.1",
        `Host: ${server.address}`,
        "Content-Type: application/json",
        "X-Token: s3cret",
        "X-Name: é",
        "Content-Length: 18"
      ])
    })
  )

  it.scoped("a status other than 200 and an empty body are replies", () =>
    Effect.gen(function* () {
      const server = yield* listen(
        (_, socket) => void socket.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
      )
      const connections = yield* connect()
      expect(yield* connections.post(server.address, "nodeSize", "{}")).toEqual({ status: 404, body: "" })
    })
  )

  it.scoped("a thousand at once over one connection: each its own answer, in order", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      const bodies = numbers(1, 1000)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(server.requests.map(({ body }) => body)).toEqual(bodies)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("the requests of one tick are one write", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      yield* all(connections, server, ["first"])
      const writes = yield* writesTo(server.port)
      yield* all(connections, server, numbers(1, 100))
      expect(writes.sizes.length).toBe(1)
      yield* all(connections, server, numbers(1, 100))
      expect(writes.sizes.length).toBe(2)
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("the requests made while it connects are one write", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      const writes = yield* writesTo(server.port)
      yield* all(connections, server, numbers(1, 100))
      expect(writes.sizes.length).toBe(1)
    })
  )

  it.scoped.each([1, 3])("%i connections to a node, made when they are needed", (size) =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect({ connections: size })
      for (const body of numbers(1, 5)) expect(yield* all(connections, server, [body])).toEqual([body])
      expect(server.accepted()).toBe(1)
      const bodies = numbers(1, 300)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(server.accepted()).toBe(size)
      for (let connection = 1; connection <= size; connection++) {
        expect(bodiesOf(server, connection).length).toBeGreaterThanOrEqual(300 / size)
      }
    })
  )

  it.scoped("two nodes have connections of their own", () =>
    Effect.gen(function* () {
      const one = yield* listen((_, socket) => void socket.write(http("one")))
      const two = yield* listen((_, socket) => void socket.write(http("two")))
      const connections = yield* connect()
      const answers = yield* Effect.all([all(connections, one, numbers(1, 9)), all(connections, two, numbers(1, 9))], {
        concurrency: "unbounded"
      })
      expect(answers).toEqual([Array(9).fill("one"), Array(9).fill("two")])
      expect([one.accepted(), two.accepted()]).toEqual([1, 1])
    })
  )

  it.scoped.each(["[::1]", "localhost"])("the node %s", (host) =>
    Effect.gen(function* () {
      const server = yield* listen(echo, { host: host === "[::1]" ? "::1" : host })
      const connections = yield* connect({ port: server.port })
      for (const node of [host, `${host}:${server.port}`]) {
        expect(yield* connections.post(node, "get", "x")).toEqual({ status: 200, body: "x" })
      }
      for (const { head } of server.requests) expect(head).toContain(`\r\nHost: ${host}:${server.port}\r\n`)
    })
  )

  it.scoped("replies in many small pieces, and many replies in one", () =>
    Effect.gen(function* () {
      const pending: Array<string> = []
      const server = yield* listen((request, socket) => {
        pending.push(http(request.body))
        if (pending.length < 50) return
        const bytes = pending.splice(0).join("")
        const write = (at: number) => {
          if (at >= bytes.length) return
          socket.write(bytes.slice(at, at + 37), () => write(at + 37))
        }
        if (request.body === "50") write(0)
        else socket.write(bytes)
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 50))).toEqual(numbers(1, 50))
      expect(yield* all(connections, server, numbers(51, 100))).toEqual(numbers(51, 100))
    })
  )

  it.scoped("a reply over maxReplyBytes: its command fails, and no other", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect({ maxReplyBytes: 100 })
      const large = "x".repeat(101)
      const bodies = ["1", large, "2", "x".repeat(100), large, large, "3"]
      expect(yield* all(connections, server, bodies)).toEqual([
        "1",
        "ReplyTooLarge",
        "2",
        "x".repeat(100),
        "ReplyTooLarge",
        "ReplyTooLarge",
        "3"
      ])
      expect(yield* Effect.flip(connections.post(server.address, "get", large))).toEqual({
        reason: "ReplyTooLarge",
        detail: "a reply of more than 100 bytes"
      })
      expect(server.requests.length).toBe(bodies.length + 1)
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped.each([
    "Content-Length: 1000000000000\r\n\r\nx",
    `Transfer-Encoding: chunked\r\n\r\n65\r\n${"x".repeat(101)}\r\n`,
    `\r\n${"x".repeat(101)}`
  ])(
    "a large reply whose end is unknown or far, %j: those behind it fail with Reset, and the next is sent anew",
    (reply) =>
      Effect.gen(function* () {
        const server = yield* listen((request, socket) => {
          if (request.body === "large") socket.write(`HTTP/1.1 200 OK\r\n${reply}`)
          else echo(request, socket)
        })
        const connections = yield* connect({ maxReplyBytes: 100 })
        expect(yield* all(connections, server, ["1", "large", "2"])).toEqual(["1", "ReplyTooLarge", "Reset"])
        yield* until(() => server.sockets.size === 0)
        expect(yield* all(connections, server, ["3"])).toEqual(["3"])
      })
  )
})

describe("large requests", () => {
  it.scoped("a node that does not read for a while: what is written is bounded, and all of it arrives", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      yield* all(connections, server, ["first"])
      for (const socket of server.sockets) socket.pause()
      const writes = yield* writesTo(server.port)
      const bodies = numbers(1, 300).map((number) => number.padEnd(100_000, "x"))
      const fiber = yield* Effect.fork(all(connections, server, bodies))
      yield* until(() => writes.mostHeldBack > 0)
      for (const socket of server.sockets) socket.resume()
      expect((yield* Fiber.join(fiber)).every((body, i) => body === bodies[i])).toBe(true)
      expect(Math.max(...writes.sizes)).toBeLessThan(200_000)
      expect(writes.mostHeldBack).toBeLessThan(200_000)
    })
  )

  it.scoped("small requests by the ten thousand are written in pieces", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      yield* all(connections, server, ["first"])
      const writes = yield* writesTo(server.port)
      const bodies = numbers(1, 10_000)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(Math.max(...writes.sizes)).toBeLessThan(100_000)
      expect(writes.sizes.length).toBeLessThan(100)
    })
  )

  it.scoped("replies of many megabytes behind small ones", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => void socket.write(http("é".repeat(Number(request.body)))))
      const connections = yield* connect()
      const sizes = [1, 4_000_000, 2, 500_000, 0, 100_000]
      const bodies = yield* all(connections, server, sizes.map(String))
      expect(bodies.map((body) => body.length)).toEqual(sizes)
      expect(bodies.every((body) => /^é*$/.test(body))).toBe(true)
    })
  )
})

describe("a node that closes its connections", () => {
  const lastReplies = {
    "with Connection: close": http("last", closing),
    "after chunks": `HTTP/1.1 200 OK\r\n${closing}Transfer-Encoding: chunked\r\n\r\n4\r\nlast\r\n0\r\n\r\n`,
    "as HTTP/1.0 does": "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nlast",
    "to end a body": "HTTP/1.1 200 OK\r\n\r\nlast"
  }

  it.scoped.each(Object.entries(lastReplies))("%s: the requests behind are sent again, once and in order", ([, last]) =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.connection > 1 || Number(request.body) < 3) echo(request, socket)
        else if (request.body === "3") socket.end(last)
      })
      const connections = yield* connect()
      const answers = yield* all(connections, server, numbers(1, 10))
      expect(answers).toEqual(["1", "2", "last", ...numbers(4, 10)])
      expect(bodiesOf(server, 1)).toEqual(numbers(1, 10))
      expect(bodiesOf(server, 2)).toEqual(numbers(4, 10))
      expect(server.accepted()).toBe(2)
      yield* until(() => server.sockets.size === 1)
    })
  )

  it.scoped("after each reply: one request at a time, until a connection has had two", () =>
    Effect.gen(function* () {
      let keep = false
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => {
        if (!keep) socket.end(http(request.body, closing))
        else if (request.body.startsWith("held")) held.push(() => socket.write(http(request.body)))
        else echo(request, socket)
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 6))).toEqual(numbers(1, 6))
      expect(server.accepted()).toBe(6)
      expect(bodiesOf(server, 1)).toEqual(numbers(1, 6))
      for (let connection = 2; connection <= 6; connection++) expect(bodiesOf(server, connection).length).toBe(1)

      keep = true
      const one = yield* Effect.fork(all(connections, server, ["held 1", "held 2"]))
      yield* until(() => held.length === 1)
      held.shift()?.()
      yield* until(() => held.length === 1)
      held.shift()?.()
      expect(yield* Fiber.join(one)).toEqual(["held 1", "held 2"])
      const many = yield* Effect.fork(
        all(
          connections,
          server,
          numbers(1, 20).map((number) => `held ${number}`)
        )
      )
      yield* until(() => held.length === 20)
      for (const answer of held) answer()
      yield* Fiber.join(many)
      expect(server.accepted()).toBe(7)
    })
  )

  it.scoped("an idle connection: the next request makes a new one", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      const close: ReadonlyArray<(socket: Net.Socket) => void> = [
        (socket) => socket.end(),
        (socket) => socket.resetAndDestroy(),
        (socket) => socket.write("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
      ]
      for (const end of close) {
        expect(yield* all(connections, server, ["x"])).toEqual(["x"])
        for (const socket of server.sockets) end(socket)
        yield* until(() => server.sockets.size === 0)
      }
      expect(yield* all(connections, server, ["x"])).toEqual(["x"])
      expect(server.accepted()).toBe(4)
    })
  )

  it.scoped("without a word: what was sent fails, what was not is sent elsewhere", () =>
    Effect.gen(function* () {
      // The first reply closes, so that the second connection has one request in flight and the others wait.
      const server = yield* listen((request, socket) => {
        if (request.connection === 1) socket.end(http(request.body, closing))
        else if (request.connection === 2) socket.end()
        else echo(request, socket)
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 5))).toEqual(["1", "Reset", "3", "4", "5"])
      expect(bodiesOf(server, 2)).toEqual(["2"])
      expect(server.requests.filter(({ body }) => body === "2").length).toBe(2)
    })
  )

  it.scoped.each(["before a reply", "within a head", "within a body"] as const)("%s: all in flight fail", (when) =>
    Effect.gen(function* () {
      const bytes = {
        "before a reply": "",
        "within a head": "HTTP/1.1 200",
        "within a body": http("whole").slice(0, -2)
      }
      const server = yield* listen((request, socket) => {
        if (request.connection > 1) echo(request, socket)
        else if (request.body === "2") socket.write(http("2"))
        else if (request.body === "3") socket.end(bytes[when])
        else if (request.body === "1") socket.write(http("1"))
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 5))).toEqual(["1", "2", "Reset", "Reset", "Reset"])
      expect(yield* all(connections, server, ["again"])).toEqual(["again"])
      expect(server.accepted()).toBe(2)
    })
  )

  it.scoped("while it has not read all requests: those in flight fail, the rest is sent elsewhere", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.connection > 1) echo(request, socket)
        else socket.pause().end()
      })
      const connections = yield* connect()
      const bodies = numbers(1, 300).map((number) => number.padEnd(100_000, "x"))
      const answers = yield* all(connections, server, bodies)
      const lost = answers.findIndex((answer) => answer !== "Reset")
      expect(lost).toBeGreaterThan(0)
      expect(answers.every((answer, i) => answer === (i < lost ? "Reset" : bodies[i]))).toBe(true)
      expect(server.accepted()).toBe(2)
    })
  )

  it.scoped("by a reset: all in flight fail", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body === "5") socket.resetAndDestroy()
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 5))).toEqual(Array(5).fill("Reset"))
    })
  )
})

describe("malformed replies", () => {
  it.scoped("the request answered so fails with BadReply, those behind with Reset, and the next is sent anew", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body === "2") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n2")
        else echo(request, socket)
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, numbers(1, 4))).toEqual(["1", "BadReply", "Reset", "Reset"])
      yield* until(() => server.sockets.size === 0)
      expect(yield* all(connections, server, ["5"])).toEqual(["5"])
    })
  )

  it.scoped("a reply too many reaches nobody", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        socket.write(request.body === "twice" ? http("twice").repeat(2) : http(request.body))
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, ["twice"])).toEqual(["twice"])
      yield* until(() => server.sockets.size === 0)
      expect(yield* all(connections, server, ["next"])).toEqual(["next"])
      expect(server.accepted()).toBe(2)
    })
  )
})

describe("idleTimeout", () => {
  const idleTimeout = 10_000
  /** Settings, and how often the loss of a connection was told of. */
  const watched = (settings: Partial<Transport.TransportSettings> = {}) =>
    Effect.gen(function* () {
      const lost: Array<string> = []
      const { connect } = yield* Effect.provide(Transport.Transport, SocketTransport.layer)
      const connections = yield* connect({ ...GhostDBConfig.defaults, idleTimeout, ...settings }, (node) => {
        lost.push(node)
      })
      return { connections, lost }
    })

  it.scoped("closes what no request has used for that long; the next request makes a connection, and fails not", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const { connections, lost } = yield* watched({ connections: 2 })
      expect(yield* all(connections, server, numbers(1, 10))).toEqual(numbers(1, 10))
      expect(server.accepted()).toBe(2)
      yield* TestClock.adjust(idleTimeout - 1)
      expect(server.sockets.size).toBe(2)
      expect(lost).toEqual([])
      yield* TestClock.adjust(1)
      yield* until(() => server.sockets.size === 0)
      expect(lost).toEqual([server.address, server.address])
      for (let i = 1; i <= 3; i++) {
        expect(yield* all(connections, server, ["next"])).toEqual(["next"])
        expect(server.accepted()).toBe(2 + i)
        yield* TestClock.adjust(2 * idleTimeout)
        yield* until(() => server.sockets.size === 0)
      }
    })
  )

  it.scoped("a request now and then keeps the connection it uses, and no other", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* listen(echo), yield* listen(echo)]
      const { connections, lost } = yield* watched()
      yield* all(connections, other, ["once"])
      for (let i = 0; i < 30; i++) {
        yield* all(connections, one, ["again"])
        yield* TestClock.adjust(idleTimeout * 0.7)
      }
      expect(one.accepted()).toBe(1)
      yield* until(() => other.sockets.size === 0)
      expect(one.sockets.size).toBe(1)
      expect(lost).toEqual([other.address])
    })
  )

  it.scoped("a connection that waits for a reply is in use, however long", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => {
        held.push(() => socket.write(http(request.body)))
      })
      const { connections, lost } = yield* watched({ attemptTimeout: 20 * idleTimeout })
      const slow = yield* Effect.fork(all(connections, server, ["slow"]))
      yield* until(() => held.length === 1)
      yield* TestClock.adjust(10 * idleTimeout)
      expect(lost).toEqual([])
      for (const answer of held) answer()
      expect(yield* Fiber.join(slow)).toEqual(["slow"])
      yield* TestClock.adjust(2 * idleTimeout)
      yield* until(() => server.sockets.size === 0)
    })
  )

  it.scoped("one timer for all connections, and none while there is none", () =>
    Effect.gen(function* () {
      const servers = [yield* listen(echo), yield* listen(echo), yield* listen(echo)]
      const { connections } = yield* watched()
      expect(Chunk.size(yield* TestClock.sleeps())).toBe(0)
      for (const server of servers) yield* all(connections, server, ["1"])
      // That of the attempts ends by itself.
      yield* TestClock.adjust(late)
      yield* until(() => true)
      expect(Chunk.size(yield* TestClock.sleeps())).toBe(1)
      yield* TestClock.adjust(idleTimeout)
      for (const server of servers) yield* until(() => server.sockets.size === 0)
      expect(Chunk.size(yield* TestClock.sleeps())).toBe(0)
    })
  )

  it.scoped("infinite: connections stay open", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const { connections, lost } = yield* watched({ idleTimeout: Number.POSITIVE_INFINITY })
      yield* all(connections, server, ["1"])
      yield* TestClock.adjust("365 days")
      expect(yield* all(connections, server, ["2"])).toEqual(["2"])
      expect(server.accepted()).toBe(1)
      expect(lost).toEqual([])
    })
  )
})

describe("time limits", () => {
  it.scoped("no reply: the attempt ends, and the connection takes no more requests", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body !== "slow") echo(request, socket)
      })
      const connections = yield* connect({ attemptTimeout })
      const slow = yield* Effect.fork(Effect.flip(connections.post(server.address, "get", "slow")))
      yield* until(() => server.requests.length === 1)
      yield* TestClock.adjust(attemptTimeout - 1)
      expect(Option.isNone(yield* Fiber.poll(slow))).toBe(true)
      yield* TestClock.adjust(late - attemptTimeout)
      expect(yield* Fiber.join(slow)).toEqual({ reason: "AttemptTimeout", detail: "no reply in 1000 ms" })
      yield* until(() => server.sockets.size === 0)
      expect(yield* all(connections, server, ["fast"])).toEqual(["fast"])
      expect(server.accepted()).toBe(2)
    })
  )

  it.scoped("an answer that comes late reaches nobody, and those behind it the right ones", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => {
        if (request.connection === 1) held.push(() => socket.write(http(request.body)))
        else echo(request, socket)
      })
      const connections = yield* connect({ attemptTimeout })
      const early = yield* Effect.fork(all(connections, server, ["1", "2"]))
      yield* until(() => held.length === 2)
      yield* TestClock.adjust(attemptTimeout / 2)
      const later = yield* Effect.fork(all(connections, server, ["3", "4"]))
      yield* until(() => held.length === 4)
      yield* TestClock.adjust(late - attemptTimeout / 2)
      expect(yield* Fiber.join(early)).toEqual(["AttemptTimeout", "AttemptTimeout"])
      expect(yield* all(connections, server, ["5"])).toEqual(["5"])
      expect(server.accepted()).toBe(2)
      for (const answer of held) answer()
      expect(yield* Fiber.join(later)).toEqual(["3", "4"])
      // The connection without a future is closed once nobody waits for anything on it.
      yield* until(() => server.sockets.size === 1)
      expect(yield* all(connections, server, ["6"])).toEqual(["6"])
      expect(server.accepted()).toBe(2)
    })
  )

  it.scoped("the requests behind a late one end in their own time", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const connections = yield* connect({ attemptTimeout })
      const first = yield* Effect.fork(all(connections, server, ["1"]))
      yield* until(() => server.requests.length === 1)
      yield* TestClock.adjust(attemptTimeout / 2)
      const second = yield* Effect.fork(all(connections, server, ["2"]))
      yield* until(() => server.requests.length === 2)
      yield* TestClock.adjust(late - attemptTimeout / 2)
      expect(yield* Fiber.join(first)).toEqual(["AttemptTimeout"])
      expect(Option.isNone(yield* Fiber.poll(second))).toBe(true)
      expect(server.sockets.size).toBe(1)
      yield* TestClock.adjust(attemptTimeout / 2)
      expect(yield* Fiber.join(second)).toEqual(["AttemptTimeout"])
      yield* until(() => server.sockets.size === 0)
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("a late last reply: the requests behind it are sent again", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => {
        if (request.connection > 1) echo(request, socket)
        else held.push(() => socket.end(http(request.body, closing)))
      })
      const connections = yield* connect({ attemptTimeout })
      const early = yield* Effect.fork(all(connections, server, ["1"]))
      yield* until(() => held.length === 1)
      yield* TestClock.adjust(attemptTimeout / 2)
      const later = yield* Effect.fork(all(connections, server, ["2", "3"]))
      yield* until(() => held.length === 3)
      yield* TestClock.adjust(late - attemptTimeout / 2)
      expect(yield* Fiber.join(early)).toEqual(["AttemptTimeout"])
      held[0]?.()
      expect(yield* Fiber.join(later)).toEqual(["2", "3"])
      expect(bodiesOf(server, 2)).toEqual(["2", "3"])
    })
  )

  it.scoped("what has not been sent in time is never sent", () =>
    Effect.gen(function* () {
      // The first reply closes, so that the second connection has one request in flight and the others wait.
      const server = yield* listen((request, socket) => {
        if (request.connection === 1) socket.end(http(request.body, closing))
        else if (request.connection > 2) echo(request, socket)
      })
      const connections = yield* connect({ attemptTimeout })
      expect(yield* all(connections, server, ["1"])).toEqual(["1"])
      const early = yield* Effect.fork(all(connections, server, ["2", "3", "4"], attemptTimeout))
      yield* until(() => server.requests.length === 2)
      yield* TestClock.adjust(attemptTimeout / 2)
      const later = yield* Effect.fork(all(connections, server, ["5", "6"]))
      yield* TestClock.adjust(late - attemptTimeout / 2)
      expect((yield* Fiber.join(early)).slice(1)).toEqual(["QueueTimeout", "QueueTimeout"])
      expect(yield* Fiber.join(later)).toEqual(["5", "6"])
      expect(server.requests.map(({ body }) => body)).toEqual(["1", "2", "5", "6"])
    })
  )

  it.scoped("a connection that is not made in time", () =>
    Effect.gen(function* () {
      // It accepts, and never says a word of TLS.
      const server = yield* listen(silent)
      const connections = yield* connect({ attemptTimeout, protocol: "https" })
      const first = yield* Effect.fork(Effect.flip(connections.post(server.address, "get", "1")))
      yield* until(() => server.accepted() === 1)
      yield* TestClock.adjust(attemptTimeout / 2)
      const second = yield* Effect.fork(Effect.flip(connections.post(server.address, "get", "2")))
      yield* TestClock.adjust(late - attemptTimeout / 2)
      const fault = { reason: "ConnectTimeout", detail: "no connection in 1000 ms" }
      expect(yield* Fiber.join(first)).toEqual(fault)
      expect(yield* Fiber.join(second)).toEqual(fault)
      yield* until(() => server.sockets.size === 0)
    })
  )

  it.scoped("a connection made for a request that has waited already has its own time", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const node = yield* listen(
        (request, socket) => {
          if (request.connection > 1) echo(request, socket)
          else held.push(() => socket.end(http(request.body, closing)))
        },
        { tls: { cert: pem("server.crt"), key: pem("server.key") } }
      )
      // What stands before the node lets the first connection through at once, the second one when it is told to.
      const through = (socket: Net.Socket) => {
        const onward = Net.connect(node.port, "127.0.0.1").on("error", () => socket.destroy())
        socket.pipe(onward).pipe(socket)
      }
      let second: Net.Socket | undefined
      const front = yield* listen(silent, {
        onConnection: (socket) => {
          socket.pause().removeAllListeners("data")
          if (front.accepted() === 1) through(socket)
          else second = socket
        }
      })
      const connections = yield* connect({ attemptTimeout, protocol: "https", tls: { ca: pem("ca.crt") } })
      const early = yield* Effect.fork(all(connections, front, ["1", "2"], attemptTimeout))
      yield* until(() => held.length === 2)
      yield* TestClock.adjust(900)
      held[0]?.()
      yield* until(() => second !== undefined)
      yield* TestClock.adjust(50)
      const later = yield* Effect.fork(all(connections, front, ["3"]))
      yield* TestClock.adjust(late - 950)
      expect(yield* Fiber.join(early)).toEqual(["1", "Deadline"])
      yield* TestClock.adjust(700)
      expect(Option.isNone(yield* Fiber.poll(later))).toBe(true)
      if (second !== undefined) through(second)
      expect(yield* Fiber.join(later)).toEqual(["3"])
      // The request whose time was up before the connection was made has not been sent on it.
      expect(node.requests.map(({ body }) => body)).toEqual(["1", "2", "3"])
    })
  )

  it.scoped("no timer while nothing is in flight", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body !== "slow") echo(request, socket)
      })
      const connections = yield* connect({ attemptTimeout, idleTimeout: Number.POSITIVE_INFINITY })
      expect(Chunk.toArray(yield* TestClock.sleeps())).toEqual([])
      for (const body of ["fast", "slow"]) {
        const fiber = yield* Effect.fork(all(connections, server, [body]))
        yield* until(() => server.requests.at(-1)?.body === body)
        expect(Chunk.size(yield* TestClock.sleeps())).toBe(1)
        yield* TestClock.adjust(late)
        yield* Fiber.join(fiber)
        while (Chunk.size(yield* TestClock.sleeps()) > 0) {
          yield* TestClock.adjust(late)
          yield* until(() => true)
        }
        yield* TestClock.adjust("1 hour")
        expect(Chunk.toArray(yield* TestClock.sleeps())).toEqual([])
      }
    })
  )
})

describe("interruption", () => {
  it.scoped("an interrupted post leaves the others their answers, and the connection", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => {
        if (request.body === "now") echo(request, socket)
        else held.push(() => socket.write(http(request.body)))
      })
      const connections = yield* connect({ attemptTimeout })
      const fibers = yield* Effect.forEach(numbers(1, 9), (body) =>
        Effect.fork(connections.post(server.address, "get", body))
      )
      yield* until(() => held.length === 9)
      for (const i of [0, 3, 4, 8]) expect(Exit.isInterrupted(yield* Fiber.interrupt(fibers[i]!))).toBe(true)
      for (const answer of held) answer()
      for (const i of [1, 2, 5, 6, 7]) {
        expect(yield* Fiber.join(fibers[i]!)).toEqual({ status: 200, body: String(i + 1) })
      }
      expect(yield* all(connections, server, ["now"])).toEqual(["now"])
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("a post interrupted while it connects", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      const first = yield* Effect.fork(connections.post(server.address, "get", "1"))
      const second = yield* Effect.fork(connections.post(server.address, "get", "2"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      expect(yield* Fiber.join(second)).toEqual({ status: 200, body: "2" })
    })
  )
})

describe("release and close", () => {
  it.scoped("release closes the connections to one node and fails what is in flight on them", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (!request.body.startsWith("held")) echo(request, socket)
      })
      const other = yield* listen(echo)
      const connections = yield* connect({ connections: 2 })
      expect(yield* all(connections, other, ["other"])).toEqual(["other"])
      const held = yield* Effect.fork(all(connections, server, ["held 1", "held 2", "held 3"]))
      yield* until(() => server.requests.length === 3)
      yield* connections.release(server.address)
      expect(yield* Fiber.join(held)).toEqual(["Reset", "Reset", "Reset"])
      yield* until(() => server.sockets.size === 0)
      expect(other.sockets.size).toBe(1)
      expect(yield* all(connections, other, ["other"])).toEqual(["other"])
      expect(yield* all(connections, server, ["again"])).toEqual(["again"])
      expect(server.accepted()).toBe(3)
    })
  )

  it.scoped("release fails what waits for its turn as well", () =>
    Effect.gen(function* () {
      // The first reply closes, so that the second connection has one request in flight and the others wait.
      const server = yield* listen((request, socket) => {
        if (request.connection === 1) socket.end(http(request.body, closing))
      })
      const connections = yield* connect()
      expect(yield* all(connections, server, ["1"])).toEqual(["1"])
      const waiting = yield* Effect.fork(all(connections, server, numbers(2, 5)))
      yield* until(() => server.requests.length === 2)
      yield* connections.release(server.address)
      expect(yield* Fiber.join(waiting)).toEqual(Array(4).fill("Reset"))
      yield* until(() => server.sockets.size === 0)
      expect(server.accepted()).toBe(2)
    })
  )

  it.scoped("release of a node without connections, and while it connects", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      yield* connections.release(server.address)
      const post = outcome(connections.post(server.address, "get", "x"))
      const fibers = yield* Effect.all([Effect.fork(post), Effect.fork(post), Effect.fork(post)])
      yield* Effect.yieldNow()
      yield* connections.release(server.address)
      expect(yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))).toEqual(["Reset", "Reset", "Reset"])
    })
  )

  it.scoped("the end of the scope closes all connections, fails what is in flight, and refuses more", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (!request.body.startsWith("held")) echo(request, socket)
      })
      const other = yield* listen(echo)
      const scope = yield* Scope.make()
      const connections = yield* Scope.extend(connect(), scope)
      yield* all(connections, other, ["other"])
      const held = yield* Effect.fork(all(connections, server, ["held 1", "held 2", "held 3"]))
      yield* until(() => server.requests.length === 3)
      yield* Scope.close(scope, Exit.void)
      expect(yield* Fiber.join(held)).toEqual(["Reset", "Reset", "Reset"])
      yield* until(() => server.sockets.size + other.sockets.size === 0)
      expect(yield* all(connections, server, ["more"])).toEqual(["Reset"])
      expect(server.accepted()).toBe(1)
      yield* TestClock.adjust("1 hour")
      expect(Chunk.toArray(yield* TestClock.sleeps())).toEqual([])
    })
  )
})

describe("no connection", () => {
  it.scoped("a port where nobody listens", () =>
    Effect.gen(function* () {
      const port = yield* Effect.scoped(Effect.map(listen(echo), ({ port }) => port))
      const connections = yield* connect()
      const node = `127.0.0.1:${port}`
      const faults = yield* Effect.all(
        numbers(1, 3).map((body) => Effect.flip(connections.post(node, "get", body))),
        { concurrency: "unbounded" }
      )
      expect(faults).toEqual(Array(3).fill({ reason: "Refused", detail: "ECONNREFUSED" }))
    })
  )

  it.scoped("a name that nobody has", () =>
    Effect.gen(function* () {
      const connections = yield* connect()
      const fault = yield* Effect.flip(connections.post("ghostdb.invalid", "get", "{}"))
      expect(fault.reason).toBe("UnknownHost")
    })
  )

  it.scoped("a node that comes back", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* Scope.extend(listen(echo), scope)
      const connections = yield* connect()
      expect(yield* all(connections, server, ["x"])).toEqual(["x"])
      yield* Scope.close(scope, Exit.void)
      // Whether the end of the connection has been noticed before it is used is a matter of luck.
      expect(["Reset", "Refused"]).toContain((yield* all(connections, server, ["x"]))[0])
      expect(yield* all(connections, server, ["x"])).toEqual(["Refused"])
      const again = Net.createServer((socket) => socket.on("data", () => socket.write(http("back"))))
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void again.listen(server.port, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => void again.close())
      )
      expect(yield* all(connections, server, ["x"])).toEqual(["back"])
    })
  )
})

describe("TLS", () => {
  const server = { cert: pem("server.crt"), key: pem("server.key") }
  const ca = pem("ca.crt")

  it.scoped("pipelined, verified by a given authority", () =>
    Effect.gen(function* () {
      const node = yield* listen(echo, { tls: server })
      for (const tls of [{ ca }, { ca: [ca] }, { rejectUnauthorized: false }, { ca, servername: "ghostdb.test" }]) {
        const connections = yield* connect({ protocol: "https", tls })
        const bodies = numbers(1, 200)
        expect(yield* all(connections, node, bodies)).toEqual(bodies)
      }
      expect(node.accepted()).toBe(4)
    })
  )

  it.scoped("a host name is the name that the certificate must hold, and is told to the server", () =>
    Effect.gen(function* () {
      const names: Array<string | boolean | null> = []
      const node = yield* listen(echo, {
        tls: server,
        host: "localhost",
        onConnection: (socket) => {
          if (socket instanceof Tls.TLSSocket) names.push(socket.servername)
        }
      })
      const connections = yield* connect({ protocol: "https", tls: { ca } })
      expect(yield* all(connections, node, ["x"])).toEqual(["x"])
      yield* all(yield* connect({ protocol: "https", tls: { ca, servername: "ghostdb.test" } }), node, ["x"])
      expect(names).toEqual(["localhost", "ghostdb.test"])
    })
  )

  it.scoped("a certificate of the client's own", () =>
    Effect.gen(function* () {
      const node = yield* listen(echo, { tls: { ...server, ca, requestCert: true, rejectUnauthorized: true } })
      const key = Redacted.make(pem("client.key"))
      const connections = yield* connect({ protocol: "https", tls: { ca, cert: pem("client.crt"), key } })
      expect(yield* all(connections, node, ["x"])).toEqual(["x"])
    })
  )

  it.scoped("a certificate that cannot be verified, one for another name, and a server without TLS", () =>
    Effect.gen(function* () {
      const node = yield* listen(echo, { tls: server })
      const plain = yield* listen(echo, {
        onConnection: (socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")
      })
      const fault = (target: Server, tls: Transport.TransportSettings["tls"]) =>
        Effect.flatMap(connect({ protocol: "https", tls }), ({ post }) => Effect.flip(post(target.address, "get", "x")))
      expect(yield* fault(node, {})).toEqual({ reason: "Unreachable", detail: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })
      expect(yield* fault(node, { ca, servername: "other.test" })).toEqual({
        reason: "Unreachable",
        detail: "ERR_TLS_CERT_ALTNAME_INVALID"
      })
      expect((yield* fault(plain, { ca })).reason).toBe("Unreachable")
      const shy = yield* listen(echo, { onConnection: (socket) => void socket.end() })
      expect((yield* fault(shy, { ca })).reason).toBe("Unreachable")
    })
  )

  it.scoped("a key that is none is a defect before anything is sent", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(connect({ protocol: "https", tls: { key: Redacted.make("no key") } }))
      expect(defectOf(exit)).not.toBe("")
    })
  )
})

describe("everything at once", () => {
  it.scopedLive.each([1, 3])("no mixed answers over %i connections, whatever happens to them", (size) =>
    Effect.gen(function* () {
      let count = 0
      // What is written next waits for what was written before: each connection answers in order.
      const server = yield* listen((request, socket) => {
        const kind = ++count % 997
        if (kind === 0) socket.end(http(request.body, closing))
        else if (kind === 300) socket.end(http(request.body).slice(0, -1))
        else if (kind === 600) socket.write("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
        else if (kind % 100 === 7) {
          const bytes = Buffer.from(
            `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${request.body.length.toString(16)}\r\n${request.body}\r\n0\r\n\r\n`
          )
          for (const [i] of bytes.entries()) if (i % 10 === 0) socket.write(bytes.subarray(i, i + 10))
        } else echo(request, socket)
      })
      const connections = yield* connect({ connections: size, attemptTimeout: 10_000 })
      let answered = 0
      let failed = 0
      let mixed = 0
      const one = (n: number) => {
        const body = `{"n":${n},"p":"${"x".repeat(n % 300)}"}`
        const post = connections.post(server.address, "get", body).pipe(
          Effect.match({
            onSuccess: (reply) => {
              answered++
              if (reply.body !== body) mixed++
            },
            onFailure: () => void failed++
          })
        )
        return n % 50 === 0 ? Effect.race(post, Effect.yieldNow()) : post
      }
      const total = 10_000
      yield* Effect.forEach(
        Array.from({ length: total }, (_, n) => n),
        one,
        { concurrency: 64, discard: true }
      )
      expect(mixed).toBe(0)
      expect(answered).toBeGreaterThan(total * 0.8)
      expect(failed).toBeGreaterThan(0)
      // A connection that is full stays open for a moment, to see whether the node closes it.
      yield* until(() => server.sockets.size <= size)
    })
  )
})
