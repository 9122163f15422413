/**
 * Runtimes as Cloudflare Workers: what one request has started ends with that request, and another that waits for it
 * waits in vain. A client that requests share must serve each of them nevertheless.
 */
import { AsyncLocalStorage } from "node:async_hooks"
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, ManagedRuntime, Option, Schedule, Schema, TestClock } from "effect"
import { Client, type ClientOptions, FetchTransport, GhostDB, Ring, type Transport } from "effect-ghostdb"
import * as Delays from "../../src/cluster/Delays.js"
import { topologyNow } from "../support/clients.js"
import * as FakeTransport from "../support/FakeTransport.js"

const nodes = ["a", "b"]
const shared: Partial<Transport.Connections> = { isolatesCallers: true }
const refused = Effect.fail({ reason: "Refused", detail: "ECONNREFUSED" } as const)

/** Nodes that store, and whose every get is a miss. */
const empty = (command: string) =>
  FakeTransport.reply({ ping: "Pong!", put: "STORED", delete: "REMOVED" }[command] ?? "CACHE_MISS")

const client = (options: Partial<ClientOptions>, transport: Layer.Layer<Transport.Transport>) =>
  Layer.provide(Client.layer({ nodes, ...options }), transport)

/** A key of the node. */
const keyOf = (node: string) => {
  const ring = Ring.make(nodes, { replicas: 1 })
  const keys = Array.from({ length: 1000 }, (_, i) => `key:${i}`)
  const key = keys.find((key) => Option.contains(Ring.lookup(ring, key), node))
  expect(key).toBeDefined()
  return key ?? ""
}

describe("callers that are isolated", () => {
  it.live("ten requests on nodes that are dead end, although the first of them never does", () =>
    Effect.gen(function* () {
      const request = new AsyncLocalStorage<number>()
      const sent: Array<number | undefined> = []
      const fetch = async (): Promise<Response> => {
        sent.push(request.getStore())
        if (request.getStore() === 0) return new Promise(() => {})
        await setImmediate()
        throw new TypeError("fetch failed", { cause: new Error("Network connection lost.") })
      }
      const options = { deadline: "60 seconds", attemptTimeout: "60 seconds" } as const
      const transport = FetchTransport.layerWith({ fetch, isolatesCallers: true })
      const runtime = ManagedRuntime.make(client(options, transport))
      const get = (i: number) => request.run(i, () => runtime.runPromise(Effect.flip(GhostDB.get(`key:${i}`))))
      void get(0).catch(() => {})
      yield* Effect.promise(() => setImmediate())
      const errors = yield* Effect.promise(() => Promise.all([1, 2, 3, 4, 5, 6, 7, 8, 9].map(get)))
      for (const error of errors) {
        expect(error._tag === "NoMoreServers" && error.failures.map(({ reason }) => reason)).toEqual(["Reset", "Reset"])
      }
      // Each sends what it needs by itself.
      expect(new Set(sent).size).toBe(10)
      yield* Effect.promise(() => runtime.dispose())
    })
  )

  it.effect("a value that another has begun to load is waited for, but not longer than a command takes", () =>
    Effect.gen(function* () {
      const store = GhostDB.forSchema(Schema.Number, { ttl: 60 })
      const loaded = yield* Deferred.make<number>()
      yield* Effect.fork(store.getOrElse("gone", Effect.never))
      const first = yield* Effect.fork(store.getOrElse("slow", Deferred.await(loaded)))
      yield* Effect.yieldNow()
      const joined = yield* Effect.fork(store.getOrElse("slow", Effect.die("the value is being loaded")))
      const alone = yield* Effect.fork(store.getOrElse("gone", Effect.succeed(2)))
      yield* TestClock.adjust("4900 millis")
      yield* Deferred.succeed(loaded, 1)
      expect(yield* Fiber.join(first)).toBe(1)
      expect(yield* Fiber.join(joined)).toBe(1)
      expect(Option.isNone(yield* Fiber.poll(alone))).toBe(true)
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(alone)).toBe(2)
    }).pipe(
      Effect.provide(
        client(
          { dialect: "v2" },
          FakeTransport.layer((_, command) => Effect.succeed(empty(command)), shared)
        )
      )
    )
  )

  it.effect("nothing is done in the background: dead nodes are pinged, and stand-ins cleaned, beside commands", () =>
    Effect.suspend(() => {
      let isDead = true
      const sent: Array<string> = []
      const post = (node: string, command: string) => {
        sent.push(`${command} ${node}`)
        if (isDead && node === "a") return refused
        return Effect.succeed(empty(command))
      }
      return Effect.gen(function* () {
        const [ofA, ofB] = [keyOf("a"), keyOf("b")]
        expect(yield* GhostDB.put(ofA, 1)).toBe("STORED")
        expect((yield* topologyNow).dead.map(({ node }) => node)).toEqual(["a"])
        isDead = false
        sent.length = 0
        yield* GhostDB.get(ofB)
        yield* TestClock.adjust("10 minutes")
        expect(sent).toEqual(["get b"])
        yield* GhostDB.get(ofB)
        yield* TestClock.adjust(1)
        expect((yield* topologyNow).dead).toEqual([])
        expect(sent.filter((request) => request === "ping a").length).toBe(1)
        expect(sent).not.toContain("delete b")
        yield* GhostDB.get(ofA)
        yield* TestClock.adjust(1)
        expect(sent.slice(-2).sort()).toEqual(["delete b", "get a"])
      }).pipe(Effect.provide(client({ retry: Schedule.stop }, FakeTransport.layer(post, shared))))
    })
  )

  it.scoped("a delay before a retry is not ended by what another has found out", () =>
    Effect.gen(function* () {
      const connections = { post: () => refused, interrupt: () => Effect.void, release: () => Effect.void, ...shared }
      const delays = yield* Delays.make(connections)
      const waiting = yield* Effect.fork(delays.delay("a", 1000))
      yield* Effect.yieldNow()
      yield* delays.connections.interrupt("a")
      yield* TestClock.adjust(999)
      expect(Option.isNone(yield* Fiber.poll(waiting))).toBe(true)
      yield* TestClock.adjust(1)
      yield* Fiber.join(waiting)
    })
  )
})
