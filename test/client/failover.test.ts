import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schedule, Stream } from "effect"
import { Client, GhostDB, NodeServer, Ring, type Topology, Transport } from "effect-ghostdb"
import { clientOf } from "../support/clients.js"
import { fixture, run } from "../support/program.js"

const topologyWhere = (predicate: (topology: Topology) => boolean) =>
  GhostDB.topology.pipe(Stream.filter(predicate), Stream.runHead, Effect.map(Option.getOrThrow))

/** So many that each node has its part of the keys, whatever its port. */
const replicas = 100

const dead = (count: number) => (topology: Topology) => topology.dead.length === count

it.scopedLive(
  "a node stopped between two commands: its keys move to the next live node, and come back after revival",
  () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      yield* Effect.gen(function* () {
        const addresses = servers.map(({ address }) => address)
        const ring = Ring.make(addresses, { replicas })
        const keys = Array.from({ length: 60 }, (_, i) => `key:${i}`)
        yield* Effect.forEach(keys, (key) => GhostDB.put(key, "before"))

        const [gone] = servers
        yield* gone!.stop
        const moved = keys.filter((key) => Ring.owner(ring, key) === gone!.address)
        expect(moved.length).toBeGreaterThan(0)
        for (const key of keys) {
          const found = yield* GhostDB.get(key)
          expect(found).toEqual(moved.includes(key) ? Option.none() : Option.some("before"))
        }
        yield* Effect.forEach(moved, (key) => GhostDB.put(key, "elsewhere"))
        const without = Ring.remove(ring, gone!.address)
        for (const key of moved) {
          const owner = servers.find(({ address }) => address === Ring.owner(without, key))
          const entries = yield* owner!.node.entries
          expect(entries.find((entry) => entry.key === key)?.value).toBe('"elsewhere"')
        }
        const topology = yield* topologyWhere(dead(1))
        expect(topology.dead[0]).toMatchObject({ node: gone!.address, failure: { reason: "Refused" } })

        yield* gone!.start()
        yield* topologyWhere(dead(0))
        yield* Effect.forEach(moved, (key) => GhostDB.put(key, "back"))
        expect(yield* gone!.node.size).toBe(moved.length)
      }).pipe(Effect.provide(clientOf(servers, { replicas, revive: Schedule.spaced("50 millis") })))
    })
)

it.effect("a success clears the doubts of failures that came while it was under way", () =>
  Effect.gen(function* () {
    const slow = yield* Deferred.make<void>()
    const reply = (message: string) => ({
      status: 200,
      body: `{"Gobj":{"Key":"","Value":1,"TTL":-1},"Status":1,"Message":"${message}","Error":""}`
    })
    const transport = Layer.succeed(Transport.Transport, {
      connect: () =>
        Effect.succeed({
          post: (_, command, body) => {
            if (command === "ping") return Effect.succeed(reply("Pong!"))
            const text = String(typeof body === "function" ? body() : body)
            if (text.includes("bad")) return Effect.succeed({ status: 500, body: "" })
            return Effect.as(text.includes("slow") ? Deferred.await(slow) : Effect.void, reply("OK"))
          },
          interrupt: () => Effect.void,
          release: () => Effect.void
        })
    })
    yield* Effect.gen(function* () {
      const fail = Effect.flip(GhostDB.get("bad"))
      yield* GhostDB.get("first")
      const success = yield* Effect.fork(GhostDB.get("slow"))
      yield* Effect.yieldNow()
      yield* Effect.repeatN(fail, 1)
      yield* Deferred.succeed(slow, undefined)
      expect(yield* Fiber.join(success)).toEqual(Option.some(1))
      yield* Effect.repeatN(fail, 1)
      expect((yield* topologyWhere(() => true)).dead).toEqual([])
      yield* fail
      expect((yield* topologyWhere(() => true)).dead).toHaveLength(1)
    }).pipe(
      Effect.provide(
        Layer.provide(Client.layer({ nodes: ["node"], retry: Schedule.stop, failureThreshold: 3 }), transport)
      )
    )
  })
)

it.scopedLive("a node stopped under 1,000 concurrent commands: every one ends with a value", () =>
  Effect.gen(function* () {
    const servers = yield* NodeServer.cluster({ nodes: 3 })
    const [victim] = servers
    yield* Effect.gen(function* () {
      const keys = Array.from({ length: 1000 }, (_, i) => `key:${i}`)
      const use = (key: string) =>
        Effect.gen(function* () {
          for (let round = 0; round < 5; round++) {
            expect(yield* GhostDB.put(key, { key })).toBe("STORED")
            const found = yield* GhostDB.get(key)
            // A value that was on the node that died is gone, and no other is in its place.
            if (Option.isSome(found)) expect(found.value).toEqual({ key })
          }
        })
      const running = yield* Effect.fork(Effect.forEach(keys, use, { concurrency: "unbounded", discard: true }))
      yield* Effect.repeat(victim!.node.commandCounts, {
        until: (counts) => counts.get > 0,
        schedule: Schedule.spaced("1 millis")
      })
      yield* victim!.stop
      yield* Fiber.join(running)
      expect((yield* topologyWhere(dead(1))).dead[0]?.node).toBe(victim!.address)
    }).pipe(Effect.provide(clientOf(servers, { replicas })))
  })
)

it.scopedLive(
  "all nodes down: NoMoreServers with a failure for each, before the deadline; the first command after one is back finds it",
  () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ nodes: 3 })
      yield* Effect.gen(function* () {
        yield* GhostDB.put("key", 1)
        yield* Effect.forEach(servers, ({ stop }) => stop)
        const error = yield* Effect.flip(GhostDB.get("key"))
        expect(error).toMatchObject({ _tag: "NoMoreServers" })
        const failures = error._tag === "NoMoreServers" ? error.failures : []
        expect(failures.map(({ node }) => node).sort()).toEqual(servers.map(({ address }) => address).sort())
        expect(new Set(failures.map(({ reason }) => reason))).toEqual(new Set(["Refused"]))

        yield* servers[2]!.start()
        // Nothing but the sweep can find the node: revival is half an hour away. It runs once a second at most.
        const stored = yield* Effect.retry(GhostDB.put("key", 2), {
          times: 600,
          schedule: Schedule.spaced("100 millis")
        })
        expect(stored).toBe("STORED")
        expect(yield* GhostDB.get("key")).toEqual(Option.some(2))
        expect(yield* servers[2]!.node.size).toBe(1)
      }).pipe(
        Effect.provide(clientOf(servers, { replicas, deadline: "1 hour", revive: Schedule.spaced("30 minutes") }))
      )
    })
)

it("a program that uses GhostDBLive exits by itself", async () => {
  const stdout = await run(fixture("ends-by-itself"))
  expect(stdout).toContain("STORED\n")
})
