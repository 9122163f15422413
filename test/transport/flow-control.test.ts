import { execFile } from "node:child_process"
import * as Net from "node:net"
import { promisify } from "node:util"
import { describe, expect, it, vi } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Option, Schedule, type Scope, TestClock } from "effect"
import { type Fault, GhostDBConfig, SocketTransport, Transport } from "effect-ghostdb"
import { withheld } from "../../src/model/Exchange.js"
import { bundle, fixture } from "../support/program.js"
import { echo, http, listen, type Server, silent, until } from "../support/RawServer.js"

const closing = "Connection: close\r\n"

const connect = (
  settings: Partial<Transport.TransportSettings> = {}
): Effect.Effect<Transport.Connections, never, Scope.Scope> =>
  Effect.flatMap(Transport.Transport, ({ connect }) => connect({ ...GhostDBConfig.defaults, ...settings })).pipe(
    Effect.provide(SocketTransport.layer)
  )

const outcome = (post: Effect.Effect<{ readonly body: string }, Fault>): Effect.Effect<string> =>
  Effect.match(post, { onSuccess: ({ body }) => body, onFailure: ({ reason }) => reason })

const numbers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

const all = (connections: Transport.Connections, server: Server, bodies: ReadonlyArray<string>, deadline?: number) =>
  Effect.forEach(bodies, (body) => outcome(connections.post(server.address, "get", body, deadline)), {
    concurrency: "unbounded"
  })

/** Answers that the test gives one by one, in the order of the requests. */
const byHand = () => {
  const held: Array<() => void> = []
  return {
    held,
    serve: (request: { body: string }, socket: Net.Socket) => void held.push(() => socket.write(http(request.body)))
  }
}

/** Milliseconds of the monotonic clock, so many from now. */
const fromNow = (millis: number) => Effect.map(Clock.currentTimeNanos, (now) => Number(now) / 1e6 + millis)

const tally = (outcomes: ReadonlyArray<string>) => {
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

describe("more requests than a node takes at once", () => {
  it.scoped("`pipelining` are in flight; the others wait in order, and their bodies are not made", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      const connections = yield* connect({ pipelining: 8 })
      const made: Array<string> = []
      const fiber = yield* Effect.fork(
        Effect.forEach(
          numbers(1, 50),
          (body) =>
            outcome(
              connections.post(server.address, "get", () => {
                made.push(body)
                return body
              })
            ),
          { concurrency: "unbounded" }
        )
      )
      yield* until(() => held.length === 8)
      expect(made).toEqual(numbers(1, 8))
      let answered = 0
      while (answered < 50) {
        expect(held.length - answered).toBeLessThanOrEqual(8)
        held[answered]?.()
        answered++
        yield* until(() => held.length > answered || answered === 50)
      }
      expect(yield* Fiber.join(fiber)).toEqual(numbers(1, 50))
      expect(server.requests.map(({ body }) => body)).toEqual(numbers(1, 50))
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("an urgent one is written before those that wait", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      const connections = yield* connect({ pipelining: 1 })
      const fiber = yield* Effect.fork(all(connections, server, numbers(1, 5)))
      yield* until(() => held.length === 1)
      const urgent = yield* Effect.fork(
        outcome(connections.post(server.address, "ping", "urgent", undefined, { urgent: true }))
      )
      yield* Effect.yieldNow()
      for (let i = 0; i < 6; i++) {
        yield* until(() => held.length > i)
        held[i]?.()
      }
      expect(yield* Fiber.join(urgent)).toBe("urgent")
      expect(yield* Fiber.join(fiber)).toEqual(numbers(1, 5))
      expect(server.requests.map(({ body }) => body)).toEqual(["1", "urgent", "2", "3", "4", "5"])
    })
  )

  it.scopedLive("a server that is slower than its clients: all are answered, one request each", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      yield* Effect.sync(() => held.splice(0, 10).forEach((answer) => answer())).pipe(
        Effect.repeat(Schedule.spaced("10 millis")),
        Effect.forkScoped
      )
      const connections = yield* connect({ attemptTimeout: 500 })
      const bodies = numbers(1, 2000)
      expect(yield* all(connections, server, bodies, yield* fromNow(25_000))).toEqual(bodies)
      expect(server.requests.length).toBe(2000)
      expect(server.accepted()).toBe(1)
    })
  )

  it.scoped("a large request does not keep small ones from their turn, nor they it", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => void socket.write(http(String(request.body.length))))
      const connections = yield* connect({ pipelining: 4 })
      const bodies = numbers(1, 40).map((number) => (Number(number) % 4 === 0 ? "x".repeat(1_000_000) : number))
      expect(yield* all(connections, server, bodies)).toEqual(bodies.map(({ length }) => String(length)))
      expect(server.requests.map(({ body }) => body.length)).toEqual(bodies.map(({ length }) => length))
    })
  )

  it.scopedLive("a node that stops reading: every command ends at its deadline, and few bodies are made", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent, { onConnection: (socket) => void socket.pause() })
      const connections = yield* connect({ attemptTimeout: 400 })
      let made = 0
      const value = "x".repeat(10_240)
      const deadline = yield* fromNow(1500)
      const ends = yield* Effect.forEach(
        numbers(1, 20_000),
        (number) =>
          outcome(
            connections.post(
              server.address,
              "put",
              () => {
                made++
                return number + value
              },
              deadline
            )
          ),
        { concurrency: "unbounded" }
      )
      const counts = tally(ends)
      expect(
        Object.keys(counts).filter((reason) => !/^(AttemptTimeout|QueueTimeout|Deadline|Overloaded)$/.test(reason))
      ).toEqual([])
      expect(made).toBeLessThan(4000)
    })
  )
})

describe("the clock of an attempt", () => {
  it.scoped("it starts when the request is written, and a connection with replies is alive", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      const connections = yield* connect({ attemptTimeout: 1000, pipelining: 2 })
      const fiber = yield* Effect.fork(all(connections, server, numbers(1, 6)))
      for (let i = 0; i < 6; i++) {
        yield* until(() => held.length > i)
        yield* TestClock.adjust(900)
        held[i]?.()
      }
      expect(yield* Fiber.join(fiber)).toEqual(numbers(1, 6))
      expect(server.requests.length).toBe(6)
    })
  )

  it.scoped("a large reply that keeps coming is no late one; drops of one are", () =>
    Effect.gen(function* () {
      const parts: Array<() => void> = []
      const large = http("x".repeat(400_000))
      const server = yield* listen((request, socket) => {
        const size = request.body === "large" ? 100_000 : 10
        for (let at = 0; at < large.length; at += size) parts.push(() => socket.write(large.slice(at, at + size)))
      })
      const connections = yield* connect({ attemptTimeout: 1000 })
      const fiber = yield* Effect.fork(all(connections, server, ["large"]))
      yield* until(() => parts.length > 0)
      while (parts.length > 0) {
        const read = [...server.sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0)
        parts.shift()?.()
        yield* until(() =>
          [...server.sockets].every((socket) => socket.bytesWritten > read && socket.writableLength === 0)
        )
        yield* TestClock.adjust(900)
      }
      expect((yield* Fiber.join(fiber))[0]?.length).toBe(400_000)
      const drops = yield* Effect.fork(all(connections, server, ["drops"]))
      yield* until(() => parts.length > 0)
      for (let i = 0; i < 3; i++) {
        parts.shift()?.()
        yield* TestClock.adjust(500)
      }
      expect(yield* Fiber.join(drops)).toEqual(["AttemptTimeout"])
    })
  )

  it.scopedLive("an event loop that was blocked is not held against the node", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect({ attemptTimeout: 200 })
      yield* all(connections, server, ["first"])
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.fork(all(connections, server, [`add ${i}`]))
        yield* Effect.yieldNow()
        const start = performance.now()
        while (performance.now() - start < 300) Math.random()
        expect(yield* Fiber.join(fiber)).toEqual([`add ${i}`])
      }
      expect(server.requests.length).toBe(4)
      expect(server.accepted()).toBe(1)
    })
  )
})

/** Keeps the process busy, so many milliseconds of each turn of its event loop, until the scope closes. */
const busy = (millis: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const state = { ends: false }
      const block = () => {
        if (state.ends) return
        const start = performance.now()
        while (performance.now() - start < millis) Math.random()
        setImmediate(block)
      }
      block()
      return state
    }),
    (state) =>
      Effect.sync(() => {
        state.ends = true
      })
  )

describe("a process that is short of CPU time", () => {
  it.scopedLive("gives each attempt some turns of its event loop, however long each takes", () =>
    Effect.gen(function* () {
      /** The server is a part of the same process, and answers after so many turns. */
      const turns = 12
      const server = yield* listen((request, socket) => {
        const answer = (left: number): void => {
          if (left === 0) echo(request, socket)
          else setImmediate(() => answer(left - 1))
        }
        answer(turns)
      })
      const connections = yield* connect({ attemptTimeout: 400 })
      yield* all(connections, server, ["first"])
      yield* busy(50)
      for (const body of numbers(1, 3)) expect(yield* all(connections, server, [body])).toEqual([body])
      expect(server.accepted()).toBe(1)
      expect(server.requests.length).toBe(4)
    })
  )

  it.scopedLive("a node that is silent is late all the same", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const connections = yield* connect({ attemptTimeout: 160 })
      yield* busy(30)
      expect(yield* all(connections, server, ["lost"])).toEqual(["AttemptTimeout"])
    })
  )
})

describe("deadlines", () => {
  it.scoped("in flight it is Deadline, in the queue QueueTimeout, also where nothing can be interrupted", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const connections = yield* connect({ attemptTimeout: 60_000, pipelining: 2 })
      const fiber = yield* Effect.fork(Effect.uninterruptible(all(connections, server, numbers(1, 4), 500)))
      yield* until(() => server.requests.length === 2)
      yield* TestClock.adjust(499)
      expect(Option.isNone(yield* Fiber.poll(fiber))).toBe(true)
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(fiber)).toEqual(["Deadline", "Deadline", "QueueTimeout", "QueueTimeout"])
    })
  )

  it.scoped("a deadline earlier than all others, given later", () =>
    Effect.gen(function* () {
      const server = yield* listen(silent)
      const connections = yield* connect({ attemptTimeout: 60_000 })
      const first = yield* Effect.fork(all(connections, server, ["1"], 50_000))
      yield* until(() => server.requests.length === 1)
      const second = yield* Effect.fork(all(connections, server, ["2"], 10))
      yield* until(() => server.requests.length === 2)
      yield* TestClock.adjust(20)
      expect(yield* Fiber.join(second)).toEqual(["Deadline"])
      yield* Fiber.interrupt(first)
    })
  )

  it.scoped("what is past its deadline is not written", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const connections = yield* connect()
      yield* TestClock.adjust(1000)
      expect(yield* all(connections, server, ["late"], 999)).toEqual(["QueueTimeout"])
      expect(yield* all(connections, server, ["next"], 2000)).toEqual(["next"])
      expect(server.requests.map(({ body }) => body)).toEqual(["next"])
    })
  )
})

describe("requests that are not sent", () => {
  it.scoped("those whose caller has gone before they were written", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      const connections = yield* connect({ pipelining: 1 })
      const connecting = yield* Effect.fork(connections.post(server.address, "put", "1"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(connecting)
      const inFlight = yield* Effect.fork(all(connections, server, ["2"]))
      yield* until(() => held.length === 1)
      const queued = yield* Effect.fork(connections.post(server.address, "put", "3"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(queued)
      const last = yield* Effect.fork(all(connections, server, ["4"]))
      yield* Effect.yieldNow()
      held[0]?.()
      yield* until(() => held.length === 2)
      held[1]?.()
      expect(yield* Fiber.join(inFlight)).toEqual(["2"])
      expect(yield* Fiber.join(last)).toEqual(["4"])
      expect(server.requests.map(({ body }) => body)).toEqual(["2", "4"])
    })
  )

  it.scoped("one whose caller has gone and is still in a finalizer; those of its finalizers are sent", () =>
    Effect.gen(function* () {
      const { held, serve } = byHand()
      const server = yield* listen(serve)
      const { post } = yield* connect({ pipelining: 1 })
      const first = yield* Effect.fork(post(server.address, "put", "first"))
      yield* until(() => held.length === 1)
      const interrupted = yield* post(server.address, "put", "gone").pipe(
        Effect.onInterrupt(() => Effect.ignore(post(server.address, "delete", "finalizer"))),
        Effect.fork
      )
      yield* Effect.yieldNow()
      const interruption = yield* Effect.fork(Fiber.interrupt(interrupted))
      const uninterruptible = yield* Effect.fork(Effect.uninterruptible(post(server.address, "put", "kept")))
      yield* Effect.yieldNow()
      const second = yield* Effect.fork(Fiber.interrupt(uninterruptible))
      for (let i = 0; i < 3; i++) {
        yield* until(() => held.length > i)
        held[i]?.()
      }
      yield* Effect.all([Fiber.join(first), Fiber.join(interruption), Fiber.join(second)])
      expect(server.requests.map(({ body }) => body).sort()).toEqual(["finalizer", "first", "kept"])
    })
  )

  it.scoped("a body that is withheld, and one that throws", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const { post } = yield* connect()
      expect(yield* post(server.address, "put", () => undefined)).toBe(withheld)
      const error = new Error("no text")
      const exit = yield* Effect.exit(
        post(server.address, "put", () => {
          throw error
        })
      )
      expect(exit).toEqual(Exit.die(error))
      expect(yield* post(server.address, "put", () => "text")).toEqual({ status: 200, body: "text" })
      expect(server.requests.length).toBe(1)
    })
  )
})

describe("a server that limits the requests of a connection", () => {
  it.scoped("it announces the last reply: each request is processed once, few are written twice", () =>
    Effect.gen(function* () {
      const counts = new Map<number, number>()
      let processed = 0
      const server = yield* listen(({ body, connection }, socket) => {
        const count = (counts.get(connection) ?? 0) + 1
        counts.set(connection, count)
        if (count > 10) return
        processed++
        if (count === 10) socket.end(http(body, closing))
        else socket.write(http(body))
      })
      const connections = yield* connect()
      const bodies = numbers(1, 500)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(processed).toBe(500)
      expect(server.requests.length).toBeLessThanOrEqual(500 + GhostDBConfig.defaults.pipelining)
    })
  )

  it.scoped("it closes without a word in mid-pipeline: that is learned from the first time", () =>
    Effect.gen(function* () {
      const counts = new Map<number, number>()
      const server = yield* listen(({ body, connection }, socket) => {
        const count = (counts.get(connection) ?? 0) + 1
        counts.set(connection, count)
        if (count === 100) socket.end(http(body))
        else if (count < 100) socket.write(http(body))
      })
      const connections = yield* connect()
      const ends = tally(yield* all(connections, server, numbers(1, 1000)))
      expect(ends.Reset).toBeLessThanOrEqual(GhostDBConfig.defaults.pipelining)
      const bodies = numbers(1001, 2000)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect([...counts.values()].slice(1).every((count) => count <= 100)).toBe(true)
    })
  )

  it.scopedLive("a limit that was a coincidence is forgotten", () =>
    Effect.gen(function* () {
      const server = yield* listen((request, socket) => {
        if (request.connection === 1 && server.requests.length === 3) socket.resetAndDestroy()
        else if (request.connection > 1 || server.requests.length < 3) echo(request, socket)
      })
      const connections = yield* connect()
      expect((yield* all(connections, server, numbers(1, 5))).slice(2)).toEqual(Array(3).fill("Reset"))
      const bodies = numbers(1, 1000)
      expect(yield* all(connections, server, bodies)).toEqual(bodies)
      expect(server.accepted()).toBeLessThan(10)
      yield* until(() => server.sockets.size <= 1)
    })
  )
})

describe("the process and its system", () => {
  it("out of file descriptors is Overloaded, which says nothing about the node", async () => {
    const program = await bundle(fixture("out-of-descriptors"))
    const { stdout } = await promisify(execFile)("bash", ["-c", `ulimit -n 256; exec node ${program}`], {
      timeout: 110_000
    })
    expect(stdout.trim()).toBe("Overloaded EMFILE, then answered")
  })

  it.scoped("idle connections are probed by the system", () =>
    Effect.gen(function* () {
      const server = yield* listen(echo)
      const spy = yield* Effect.acquireRelease(
        Effect.sync(() => vi.spyOn(Net.Socket.prototype, "setKeepAlive")),
        (spy) => Effect.sync(() => spy.mockRestore())
      )
      const connections = yield* connect()
      yield* all(connections, server, ["1"])
      expect(spy.mock.calls).toContainEqual([true, 30_000])
    })
  )
})
