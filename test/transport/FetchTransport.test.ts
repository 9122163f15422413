import { describe, expect, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { Client, type Fault, FetchTransport, GhostDB, GhostDBConfig, NodeServer, Transport } from "effect-ghostdb"
import * as Clocks from "../support/Clocks.js"
import { echo, http, listen, silent, until } from "../support/RawServer.js"

const attemptTimeout = 1000

const connect = (
  options: FetchTransport.FetchTransportOptions = {},
  settings: Partial<Transport.TransportSettings> = {}
) =>
  Effect.flatMap(Transport.Transport, ({ connect }) =>
    connect({ ...GhostDBConfig.defaults, attemptTimeout, ...settings })
  ).pipe(Effect.provide(FetchTransport.layerWith(options)))

const inMillis = (millis: number) => Effect.map(Clock.currentTimeNanos, (now) => Number(now) / 1e6 + millis)

describe("FetchTransport", () => {
  it.scoped("sends as many requests as may be under way; the others wait in order, and are not encoded before", () =>
    Effect.gen(function* () {
      const held: Array<() => void> = []
      const server = yield* listen((request, socket) => void held.push(() => socket.write(http(request.body))))
      const { post } = yield* connect({ concurrency: 2 })
      const encoded: Array<string> = []
      const all = yield* Effect.fork(
        Effect.forEach(
          ["1", "2", "3", "4", "5"],
          (body) =>
            post(server.address, "get", () => {
              encoded.push(body)
              return body
            }),
          { concurrency: "unbounded" }
        )
      )
      yield* until(() => held.length === 2)
      expect(encoded).toEqual(["1", "2"])
      while (encoded.length < 5) {
        const before = encoded.length
        held.shift()?.()
        yield* until(() => encoded.length > before)
        expect(encoded.length).toBe(before + 1)
        yield* until(() => server.requests.length === encoded.length)
      }
      expect(encoded).toEqual(["1", "2", "3", "4", "5"])
      for (const answer of held) answer()
      expect((yield* Fiber.join(all)).map(({ body }) => body)).toEqual(encoded)
    })
  )

  it.scoped("what asks whether the node is alive does not wait for those before it", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const { post } = yield* connect({ concurrency: 1 })
      for (const body of ["1", "2"]) yield* Effect.fork(post(server.address, "get", body))
      yield* until(() => server.requests.length === 1)
      yield* Effect.fork(post(server.address, "ping", "urgent", undefined, { urgent: true }))
      yield* until(() => server.requests.length === 2)
      expect(server.requests.map(({ body }) => body)).toEqual(["1", "urgent"])
    })
  )

  it.scoped("a request that has waited until its deadline is not sent", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const { post } = yield* connect({ concurrency: 1 }, { attemptTimeout: 60_000 })
      const first = yield* Effect.fork(Effect.flip(post(server.address, "get", "1", yield* inMillis(2000))))
      yield* until(() => server.requests.length === 1)
      const second = yield* Effect.fork(Effect.flip(post(server.address, "get", "2", yield* inMillis(500))))
      yield* TestClock.adjust(500)
      expect((yield* Fiber.join(second)).reason).toBe("QueueTimeout")
      yield* TestClock.adjust(1500)
      expect((yield* Fiber.join(first)).reason).toBe("Deadline")
      expect(server.requests.map(({ body }) => body)).toEqual(["1"])
    })
  )

  it.scoped("the deadline ends a request that cannot be interrupted, and frees its turn", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body !== "lost") socket.write(http(request.body))
      })
      const { post } = yield* connect({ concurrency: 1 })
      const lost = post(server.address, "get", "lost", yield* inMillis(300))
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(lost)))
      yield* until(() => server.requests.length === 1)
      yield* TestClock.adjust(300)
      expect((yield* Fiber.join(fiber)).reason).toBe("Deadline")
      expect(yield* post(server.address, "get", "next")).toEqual({ status: 200, body: "next" })
    })
  )

  it.scoped("an interrupted request gives its turn to the next, also one that waited", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.body !== "lost") socket.write(http(request.body))
      })
      const { post } = yield* connect({ concurrency: 1 })
      const lost = yield* Effect.fork(post(server.address, "get", "lost"))
      yield* until(() => server.requests.length === 1)
      const waits = yield* Effect.fork(post(server.address, "get", "waits"))
      const next = yield* Effect.fork(post(server.address, "get", "next"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waits)
      yield* Fiber.interrupt(lost)
      expect(yield* Fiber.join(next)).toEqual({ status: 200, body: "next" })
      expect(server.requests.map(({ body }) => body)).toEqual(["lost", "next"])
    })
  )

  it.scoped("a body that cannot be made is a defect, one that withholds itself is not sent; both free their turn", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const { post } = yield* connect({ concurrency: 1 })
      const failing = post(server.address, "put", () => {
        throw new Error("no JSON")
      })
      const exit = yield* Effect.exit(failing)
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      yield* post(server.address, "put", () => undefined)
      expect(server.requests).toEqual([])
      expect(yield* post(server.address, "put", "sent")).toEqual({ status: 200, body: "sent" })
    })
  )

  it.scoped("a node that is released: what is under way or waits fails with Reset, later requests are served", () =>
    Effect.gen(function* () {
      let isClosed = false
      const server = yield* listen((request, socket) => {
        if (request.body === "again") socket.write(http(request.body))
        else socket.on("close", () => (isClosed = true))
      })
      const { post, release } = yield* connect({ concurrency: 1 })
      const both = yield* Effect.fork(
        Effect.forEach(["1", "2"], (body) => Effect.flip(post(server.address, "get", body)), {
          concurrency: "unbounded"
        })
      )
      yield* until(() => server.requests.length === 1)
      yield* release(server.address)
      expect((yield* Fiber.join(both)).map(({ reason }) => reason)).toEqual(["Reset", "Reset"])
      expect((yield* post(server.address, "get", "again")).body).toBe("again")
      yield* until(() => isClosed)
    })
  )

  it.live("a process that is blocked right after it has sent holds nothing against the node", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const { post } = yield* connect({}, { attemptTimeout: 400 })
      const fiber = yield* Effect.fork(Effect.forEach(["1", "2"], (body) => post(server.address, "add", body)))
      yield* Effect.yieldNow()
      const blockedSince = performance.now()
      while (performance.now() - blockedSince < 600);
      expect((yield* Fiber.join(fiber)).map(({ body }) => body)).toEqual(["1", "2"])
      expect(server.requests.length).toBe(2)
    }).pipe(Effect.scoped)
  )

  it.scoped("a fetch of the user's own, by which the runtime reaches what it can", () =>
    Effect.gen(function* () {
      const urls: Array<string> = []
      const { post } = yield* connect({
        fetch: async (input) => {
          urls.push(String(input))
          return new Response("own")
        }
      })
      expect(yield* post("[::1]", "get", "{}")).toEqual({ status: 200, body: "own" })
      expect(urls).toEqual(["http://[::1]:7991/get"])
    })
  )

  it.scoped.each<[message: string, fault: Fault]>([
    ["tcp connect error: Connection refused (os error 111)", { reason: "Refused", detail: "Connection refused" }],
    ["dns error: no such name", { reason: "UnknownHost", detail: "dns error" }],
    ["tcp connect error: No route to host", { reason: "Unreachable", detail: "No route to host" }],
    ["Network connection lost.", { reason: "Reset", detail: "fetch failed" }]
  ])("a runtime that gives no codes: %s", ([message, fault]) =>
    Effect.gen(function* () {
      const { post } = yield* connect({
        fetch: () => Promise.reject(new TypeError("fetch failed", { cause: new Error(message) }))
      })
      expect(yield* Effect.flip(post("node", "get", "{}"))).toEqual(fault)
    })
  )

  it.scoped.each<[what: string, opened: () => Promise<unknown>, reason: Fault["reason"]]>([
    ["there is none", () => Promise.reject(new Error("cannot connect to the specified address")), "Refused"],
    ["there is one", () => Promise.resolve({}), "Reset"]
  ])("a runtime that does not say why fetch failed, but has connections: %s", ([, opened, reason]) =>
    Effect.gen(function* () {
      const tried: Array<string> = []
      const { post } = yield* connect({
        fetch: () => Promise.reject(new Error("Network connection lost.")),
        connect: ({ hostname, port }) => {
          tried.push(`${hostname} ${port}`)
          return { opened: opened(), close: () => Promise.resolve() }
        }
      })
      expect((yield* Effect.flip(post("10.0.0.1", "get", "{}"))).reason).toBe(reason)
      expect(tried).toEqual(["10.0.0.1 7991"])
    })
  )

  it.scoped("callers that are isolated: one that is gone leaves its turn to others", () =>
    Effect.gen(function* () {
      let now = 0
      const clock = yield* Effect.clock
      // A request that a Worker has cancelled: neither its fetch nor its timer ends it.
      const stopped = Clocks.make({
        wall: () => clock.unsafeCurrentTimeMillis(),
        monotonic: () => BigInt(now) * 1_000_000n,
        sleep: () => Effect.never
      })
      const fetch: typeof globalThis.fetch = async (_, init) =>
        init?.body === "lost" ? new Promise(() => {}) : new Response("served")
      const { post } = yield* Effect.withClock(
        connect({ fetch, concurrency: 1, isolatesCallers: true }, { attemptTimeout }),
        stopped
      )
      yield* Effect.fork(post("node", "get", "lost", 5000))
      yield* Effect.yieldNow()
      const waiting = yield* Effect.fork(post("node", "get", "waits", 60_000))
      yield* Effect.yieldNow()
      now = 3 * attemptTimeout
      expect((yield* post("node", "get", "next", 60_000)).body).toBe("served")
      expect((yield* Fiber.join(waiting)).body).toBe("served")
    })
  )

  it.scopedLive("many more commands than are sent at once: all are served", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      const nodes = servers.map(({ address }) => address)
      const keys = Array.from({ length: 1000 }, (_, i) => `key:${i}`)
      const results = yield* Effect.forEach(keys, (key) => GhostDB.put(key, key, 60), {
        concurrency: "unbounded"
      }).pipe(
        Effect.provide(
          Layer.provide(
            Client.layer({ nodes, deadline: "60 seconds", attemptTimeout: "20 seconds" }),
            FetchTransport.layer
          )
        )
      )
      expect(new Set(results)).toEqual(new Set(["STORED"]))
    })
  )
})
