/**
 * Nodes that accept and never answer, over HTTP and in the test's time: the sockets are real, and what a client waits for
 * is a step of the clock.
 */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Either, Fiber, Layer, Option, TestClock } from "effect"
import {
  Client,
  type ClientOptions,
  FetchTransport,
  GhostDB,
  HttpClientTransport,
  NodeServer,
  Ring,
  SocketTransport
} from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as Link from "../support/Link.js"

const transports = {
  SocketTransport: SocketTransport.layer,
  FetchTransport: FetchTransport.layer,
  HttpClientTransport: Layer.provide(HttpClientTransport.layer, NodeHttpClient.layerUndici)
}

const replicas = 50

/** Five nodes, each behind a link, a client of them, and a way to tell a key's owners. */
const cluster = Effect.fnUntraced(function* (
  transport: (typeof transports)[keyof typeof transports],
  options: Partial<ClientOptions> = {}
) {
  const servers = yield* NodeServer.cluster({ nodes: 5 })
  const links = yield* Effect.forEach(servers, ({ port }) => Link.make(port))
  const nodes = links.map(({ address }) => address)
  const context = yield* Layer.build(
    Layer.provide(Client.layer({ nodes, replicas, failureThreshold: 1000, ...options }), transport)
  )
  const linkOf = (address: string) => links.find((link) => link.address === address)!
  /** So many keys of the same owner and the same stand-in for it, and the links to the two. */
  const keysOf = (count: number) => {
    const ring = Ring.make(nodes, { replicas })
    const owner = Ring.owner(ring, "key") ?? ""
    const neighbour = Ring.owner(Ring.remove(ring, owner), "key") ?? ""
    const keys = Arr.filter(
      Arr.makeBy(count * 60 + 4000, (i) => `key:${i}`),
      (key) => Ring.owner(ring, key) === owner && Ring.owner(Ring.remove(ring, owner), key) === neighbour
    )
    assert.isAtLeast(keys.length, count)
    return { keys: keys.slice(0, count), owner: linkOf(owner), neighbour: linkOf(neighbour) }
  }
  yield* Effect.provide(GhostDB.flush, context)
  return { context, keysOf, servers }
})

describe.concurrent("a node that is frozen", () => {
  for (const [name, transport] of Object.entries(transports)) {
    it.scoped(`${name}: is dead after two attempts, and all that wait for it fail over at that moment`, () =>
      Effect.gen(function* () {
        const { context, keysOf } = yield* cluster(transport)
        const { keys, owner } = keysOf(24)
        yield* Effect.gen(function* () {
          yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
          yield* owner.freeze
          const commands = yield* Effect.forEach(keys, (key) => Effect.fork(GhostDB.put(key, "new")))
          yield* owner.holding("put", name === "SocketTransport" ? 24 : 1)
          yield* TestClock.adjust("1100 millis")
          yield* owner.holding("ping", 1)
          // One that comes late waits no longer than the others.
          const late = yield* Effect.fork(GhostDB.get(keys[0]!))
          yield* TestClock.adjust("800 millis")
          assert.deepStrictEqual((yield* topologyNow).dead, [])
          yield* TestClock.adjust("300 millis")
          assert.deepStrictEqual(
            (yield* topologyNow).dead.map(({ failure: { node, reason } }) => [node, reason]),
            [[owner.address, "AttemptTimeout"]]
          )
          assert.deepStrictEqual(new Set(yield* Effect.forEach(commands, Fiber.join)), new Set(["STORED"]))
          assert.isTrue(Option.isOption(yield* Fiber.join(late)))
        }).pipe(Effect.provide(context))
      })
    )

    it.scoped(`${name}: a batch of 200 keys of that node is answered elsewhere at that moment`, () =>
      Effect.gen(function* () {
        const { context, keysOf } = yield* cluster(transport)
        const { keys, owner } = keysOf(200)
        yield* Effect.gen(function* () {
          yield* GhostDB.put(keys[0]!, 1)
          yield* owner.freeze
          const batch = yield* Effect.fork(GhostDB.putMany(Arr.map(keys, (key) => [key, key])))
          yield* owner.holding("put", 1)
          yield* TestClock.adjust("1100 millis")
          yield* owner.holding("ping", 1)
          yield* TestClock.adjust("1100 millis")
          assert.deepStrictEqual(
            (yield* topologyNow).dead.map(({ node }) => node),
            [owner.address]
          )
          const results = yield* Fiber.join(batch)
          assert.deepStrictEqual(
            Arr.filter([...results.values()], (result) => !Either.isRight(result)),
            []
          )
        }).pipe(Effect.provide(context))
      })
    )

    if (name === "HttpClientTransport") continue
    it.scoped(`${name}: and its neighbour on the ring too: every command is answered within the deadline`, () =>
      Effect.gen(function* () {
        const { context, keysOf } = yield* cluster(transport)
        const { keys, neighbour, owner } = keysOf(20)
        yield* Effect.gen(function* () {
          yield* owner.freeze
          yield* neighbour.freeze
          const commands = yield* Effect.forEach(keys, (key) => Effect.fork(GhostDB.put(key, key)))
          for (const link of [owner, neighbour]) {
            yield* link.holding("put", 1)
            yield* TestClock.adjust("1100 millis")
            yield* link.holding("ping", 1)
            yield* TestClock.adjust("1100 millis")
          }
          assert.deepStrictEqual(new Set(yield* Effect.forEach(commands, Fiber.join)), new Set(["STORED"]))
          assert.deepStrictEqual(
            (yield* topologyNow).dead.map(({ node }) => node).sort(),
            [owner.address, neighbour.address].sort()
          )
        }).pipe(Effect.provide(context))
      })
    )
  }
})
