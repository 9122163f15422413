/** What every transport does, whatever carries its requests. */
import { Buffer } from "node:buffer"
import { describe, expect, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, type Layer, Option, Redacted, TestClock } from "effect"
import { type Fault, GhostDBConfig, Transport } from "effect-ghostdb"
import { withheld } from "../../src/model/Exchange.js"
import * as Caller from "../../src/transport/Caller.js"
import * as Exchange from "../../src/transport/Exchange.js"
import { echo, http, listen, type Serve, silent, until } from "../support/RawServer.js"

const attemptTimeout = 1000

/** A whole reply, its body in chunks. */
const chunked = (...parts: ReadonlyArray<Uint8Array>): Buffer =>
  Buffer.concat([
    Buffer.from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ...parts.flatMap((part) => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]),
    Buffer.from("0\r\n\r\n")
  ])

export const contract = (name: string, layer: Layer.Layer<Transport.Transport>) =>
  describe.concurrent(`contract: ${name}`, () => {
    const connect = (settings: Partial<Transport.TransportSettings> = {}) =>
      Effect.flatMap(Transport.Transport, ({ connect }) =>
        connect({ ...GhostDBConfig.defaults, attemptTimeout, ...settings })
      )

    const fault = (serve: Serve, settings: Partial<Transport.TransportSettings> = {}) =>
      Effect.gen(function* () {
        const server = yield* listen(serve)
        const { post } = yield* connect(settings)
        return yield* Effect.flip(post(server.address, "get", "{}"))
      })

    it.scoped("a reply, and what is sent for it", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo)
        const { post, release } = yield* connect({ headers: { "X-Token": Redacted.make("s3cret") } })
        expect(yield* post(server.address, "put", '{"é":"日本語"}')).toEqual({ status: 200, body: '{"é":"日本語"}' })
        const [request] = server.requests
        expect(request?.command).toBe("put")
        expect(request?.body).toBe('{"é":"日本語"}')
        expect(request?.head).toMatch(new RegExp(`^host: ${server.address}$`, "im"))
        expect(request?.head).toMatch(/^content-type: application\/json$/im)
        expect(request?.head).toMatch(/^content-length: 18$/im)
        expect(request?.head).toMatch(/^x-token: s3cret$/im)
        yield* release(server.address)
        expect(yield* post(server.address, "get", "again")).toEqual({ status: 200, body: "again" })
      }).pipe(Effect.provide(layer))
    )

    it.scoped("many at once: each its own answer", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo)
        const { post } = yield* connect()
        const bodies = Array.from({ length: 100 }, (_, i) => `body ${i}`)
        const replies = yield* Effect.forEach(bodies, (body) => post(server.address, "get", body), {
          concurrency: "unbounded"
        })
        expect(replies.map(({ body }) => body)).toEqual(bodies)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a port by default, and IPv6", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo, { host: "::1" })
        const { post } = yield* connect({ port: server.port })
        expect(yield* post("[::1]", "get", "x")).toEqual({ status: 200, body: "x" })
      }).pipe(Effect.provide(layer))
    )

    it.scoped("characters cut in two by chunks", () =>
      Effect.gen(function* () {
        const bytes = Buffer.from("é日本語😀".repeat(100))
        const parts = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(i * 7, i * 7 + 7))
        const server = yield* listen((_, socket) => void socket.write(chunked(...parts)))
        const { post } = yield* connect()
        expect((yield* post(server.address, "get", "{}")).body).toBe(bytes.toString())
      }).pipe(Effect.provide(layer))
    )

    it.scoped("replies without a body", () =>
      Effect.gen(function* () {
        const replies = ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        const server = yield* listen((_, socket) => void socket.write(replies.shift() ?? ""))
        const { post } = yield* connect()
        expect(yield* post(server.address, "get", "{}")).toEqual({ status: 204, body: "" })
        expect(yield* post(server.address, "get", "{}")).toEqual({ status: 404, body: "" })
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a redirect is the answer, and is not followed", () =>
      Effect.gen(function* () {
        const server = yield* listen((_, socket) => {
          socket.write("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 4\r\n\r\nmove")
        })
        const { post } = yield* connect()
        expect(yield* post(server.address, "get", "{}")).toEqual({ status: 302, body: "move" })
        expect(server.requests.length).toBe(1)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a port where nobody listens", () =>
      Effect.gen(function* () {
        const port = yield* Effect.scoped(Effect.map(listen(echo), ({ port }) => port))
        const { post } = yield* connect()
        const expected: Fault = { reason: "Refused", detail: "ECONNREFUSED" }
        expect(yield* Effect.flip(post(`127.0.0.1:${port}`, "get", "{}"))).toEqual(expected)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a name that nobody has", () =>
      Effect.gen(function* () {
        const { post } = yield* connect()
        expect((yield* Effect.flip(post("ghostdb.invalid", "get", "{}"))).reason).toBe("UnknownHost")
      }).pipe(Effect.provide(layer))
    )

    it.scoped.each([
      ["no reply at all", silent],
      ["half of one", (_, socket) => void socket.write(http("whole").slice(0, -2))]
    ] satisfies ReadonlyArray<readonly [string, Serve]>)("%s within attemptTimeout", ([, serve]) =>
      Effect.gen(function* () {
        const server = yield* listen(serve)
        const { post } = yield* connect()
        const fiber = yield* Effect.fork(Effect.flip(post(server.address, "get", "{}")))
        yield* until(() => server.requests.length === 1)
        yield* TestClock.adjust(attemptTimeout)
        expect(yield* Fiber.join(fiber)).toEqual({ reason: "AttemptTimeout", detail: "no reply in 1000 ms" })
        yield* until(() => server.sockets.size === 0)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("the deadline ends a post that cannot be interrupted", () =>
      Effect.gen(function* () {
        const server = yield* listen(silent)
        const { post } = yield* connect({ attemptTimeout: 60_000 })
        const now = Number(yield* Clock.currentTimeNanos) / 1e6
        const fiber = yield* Effect.fork(
          Effect.flip(Effect.uninterruptible(post(server.address, "get", "{}", now + 2000)))
        )
        yield* until(() => server.requests.length === 1)
        yield* TestClock.adjust(2000)
        expect((yield* Fiber.join(fiber)).reason).toBe("Deadline")
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a body that is made late: sent, withheld, or a defect", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo)
        const { post } = yield* connect()
        expect(yield* post(server.address, "get", () => "made")).toEqual({ status: 200, body: "made" })
        expect(yield* post(server.address, "get", () => undefined)).toBe(withheld)
        const exit = yield* Effect.exit(
          post(server.address, "get", () => {
            throw new RangeError("no body")
          })
        )
        expect(Exit.isFailure(exit) && Cause.dieOption(exit.cause)).toEqual(Option.some(new RangeError("no body")))
        expect(server.requests.map(({ body }) => body)).toEqual(["made"])
      }).pipe(Effect.provide(layer))
    )

    it.scoped("an exchange goes on with what is made of its reply, or of its failure", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo)
        const connections = yield* connect()
        const exchange = (command: Transport.Exchange<string, string>) =>
          Caller.withCaller((_, caller) =>
            Exchange.of(connections)(server.address, "get", command, Number.POSITIVE_INFINITY, caller)
          )
        const command: Transport.Exchange<string, string> = {
          body: () => "made",
          onReply: ({ body }) => Effect.map(Effect.yieldNow(), () => `reply ${body}`),
          onFault: ({ reason }) => Effect.fail(reason)
        }
        expect(yield* exchange(command)).toBe("reply made")
        expect(yield* exchange({ ...command, body: () => undefined })).toBe("reply ")
        expect(yield* Effect.flip(exchange({ ...command, onReply: () => Effect.fail("read") }))).toBe("read")
        const defect = new RangeError("no reply")
        const exit = yield* Effect.exit(
          exchange({
            ...command,
            onReply: () => {
              throw defect
            }
          })
        )
        expect(exit).toEqual(Exit.die(defect))
        const port = yield* Effect.scoped(Effect.map(listen(echo), ({ port }) => port))
        const nowhere = Caller.withCaller((_, caller) =>
          Exchange.of(connections)(`127.0.0.1:${port}`, "get", command, Number.POSITIVE_INFINITY, caller)
        )
        expect(yield* Effect.flip(nowhere)).toBe("Refused")
        expect(server.requests.map(({ body }) => body)).toEqual(["made", "made", "made"])
      }).pipe(Effect.provide(layer))
    )

    it.scoped("an exchange that is interrupted does not read its reply", () =>
      Effect.gen(function* () {
        const held: Array<() => void> = []
        const server = yield* listen((request, socket) => void held.push(() => socket.write(http(request.body))))
        const connections = yield* connect()
        const read: Array<string> = []
        const exchange = (name: string) =>
          Caller.withCaller((_, caller) =>
            Exchange.of(connections)<void, Fault>(
              server.address,
              "get",
              {
                body: () => name,
                onReply: ({ body }) => {
                  read.push(body)
                  return Effect.void
                },
                onFault: Effect.fail
              },
              Number.POSITIVE_INFINITY,
              caller
            )
          )
        const first = yield* Effect.fork(exchange("1"))
        const second = yield* Effect.fork(exchange("2"))
        yield* until(() => held.length === 2)
        yield* Fiber.interrupt(first)
        for (const answer of held) answer()
        yield* Fiber.join(second)
        expect(read).toEqual(["2"])
      }).pipe(Effect.provide(layer))
    )

    it.scoped("bytes are sent as they are", () =>
      Effect.gen(function* () {
        const server = yield* listen(echo)
        const { post } = yield* connect()
        const text = "é日本語😀".repeat(10_000)
        expect((yield* post(server.address, "put", new TextEncoder().encode(text))).body).toBe(text)
      }).pipe(Effect.provide(layer))
    )

    it.scoped(
      "a node that is interrupted or released: what is under way fails with Reset, later requests are served",
      () =>
        Effect.gen(function* () {
          let answers = false
          const server = yield* listen((request, socket) =>
            answers ? void socket.write(http(request.body)) : undefined
          )
          const { interrupt, post, release } = yield* connect()
          for (const end of [interrupt, release]) {
            answers = false
            const before = server.requests.length
            const fiber = yield* Effect.fork(Effect.flip(post(server.address, "get", "1")))
            yield* until(() => server.requests.length > before)
            yield* end(server.address)
            expect((yield* Fiber.join(fiber)).reason).toBe("Reset")
            answers = true
            expect(yield* post(server.address, "get", "2")).toEqual({ status: 200, body: "2" })
          }
        }).pipe(Effect.provide(layer))
    )

    it.scoped("an interrupted post leaves the others their answers", () =>
      Effect.gen(function* () {
        const held: Array<() => void> = []
        const server = yield* listen((request, socket) => void held.push(() => socket.write(http(request.body))))
        const { post } = yield* connect()
        const [first, second] = yield* Effect.all([
          Effect.fork(post(server.address, "get", "1")),
          Effect.fork(post(server.address, "get", "2"))
        ])
        yield* until(() => held.length === 2)
        yield* Fiber.interrupt(first)
        for (const answer of held) answer()
        expect(yield* Fiber.join(second)).toEqual({ status: 200, body: "2" })
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a reply over maxReplyBytes, with a length and in chunks", () =>
      Effect.gen(function* () {
        const expected: Fault = { reason: "ReplyTooLarge", detail: "a reply of more than 100 bytes" }
        const part = Buffer.alloc(60, "x")
        expect(yield* fault((_, socket) => void socket.write(http("x".repeat(101))), { maxReplyBytes: 100 })).toEqual(
          expected
        )
        expect(yield* fault((_, socket) => void socket.write(chunked(part, part)), { maxReplyBytes: 100 })).toEqual(
          expected
        )
        const server = yield* listen((_, socket) => void socket.write(http("x".repeat(100))))
        const { post } = yield* connect({ maxReplyBytes: 100 })
        expect((yield* post(server.address, "get", "{}")).body.length).toBe(100)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("a connection that breaks before or within the reply", () =>
      Effect.gen(function* () {
        expect((yield* fault((_, socket) => void socket.end())).reason).toBe("Reset")
        expect((yield* fault((_, socket) => void socket.resetAndDestroy())).reason).toBe("Reset")
        expect((yield* fault((_, socket) => void socket.end(http("whole").slice(0, -2)))).reason).toBe("Reset")
      }).pipe(Effect.provide(layer))
    )

    it.scoped("what is no HTTP breaks the connection", () =>
      Effect.gen(function* () {
        const replies = ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
        for (const reply of replies) {
          expect(["Reset", "BadReply"]).toContain((yield* fault((_, socket) => void socket.end(reply))).reason)
        }
      }).pipe(Effect.provide(layer))
    )
  })
