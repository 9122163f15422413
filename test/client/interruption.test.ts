import { setMaxListeners } from "node:events"
import { getActiveResourcesInfo } from "node:process"
import { assert, describe, it } from "@effect/vitest"
import {
  Array as Arr,
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  ManagedRuntime,
  Option,
  Schedule,
  Scope,
  Stream
} from "effect"
import { Client, type ClientOptions, GhostDB, type KeyError, NoMoreServers, SocketTransport } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"

type Node = HostileServer.HostileServer

type Command = Effect.Effect<unknown, NoMoreServers | KeyError, GhostDB>

/** Nothing of it ends by itself while a test runs. */
const client = (nodes: ReadonlyArray<Node>, options: Partial<ClientOptions> = {}) =>
  Client.layer({
    attemptTimeout: "2 hours",
    deadline: "2 hours",
    replicas: HostileServer.replicas,
    retry: Schedule.recurs(0),
    revive: Schedule.spaced("1 hour"),
    nodes: nodes.map(({ address }) => address),
    ...options
  }).pipe(Layer.provide(SocketTransport.layer), Layer.provide(Logger.remove(Logger.defaultLogger)))

const soundly = HostileServer.hostilities["answers as it should"]
const unsoundly = HostileServer.hostilities["answers HTTP 500"]

/** A behaviour that holds every answer back until it is told to let go. */
const holding = Effect.map(Deferred.make<void>(), (gate) => ({
  behaviour: (exchange: HostileServer.Exchange) => Effect.zipRight(Deferred.await(gate), soundly(exchange)),
  letGo: Deferred.succeed(gate, undefined)
}))

/** Dies unless it ends long before any timeout of the client, which are hours. */
const atOnce = <A, E, R>(what: string, self: Effect.Effect<A, E, R>) =>
  Effect.timeoutFailCause(self, {
    duration: "1 minute",
    onTimeout: () => Cause.die(new Error(`${what}: not ended within a minute`))
  })

const asked = (node: Node, command: string) => node.requests.filter((request) => request.command === command).length

const getAll = (keys: ReadonlyArray<string>) =>
  Effect.map(
    Effect.forEach(keys, (key) => GhostDB.get(key), { concurrency: "unbounded" }),
    (values) => assert.deepStrictEqual<unknown>(values, keys.map(Option.some))
  )

// Some of many

const count = 90

/** Each way runs the commands, and interrupts them once `arrived` has come to its end. */
const ways: Record<
  string,
  (commands: ReadonlyArray<Command>, arrived: Effect.Effect<void>) => Effect.Effect<void, never, GhostDB>
> = {
  "their fibers": Effect.fnUntraced(function* (commands, arrived) {
    const fibers = yield* Effect.forEach(commands, (command) => Effect.fork(command))
    yield* arrived
    for (const exit of yield* Effect.forEach(fibers, (fiber) => Fiber.interrupt(fiber)))
      assert.isTrue(Exit.isInterrupted(exit))
  }),
  "Effect.timeoutOption": Effect.fnUntraced(function* (commands, arrived) {
    const ends = yield* Effect.forEach(commands, (command) => Effect.timeoutOption(command, "50 millis"), {
      concurrency: "unbounded"
    }).pipe(Effect.orDie)
    assert.deepStrictEqual(
      ends,
      commands.map(() => Option.none())
    )
    yield* arrived
  }),
  "Effect.race": Effect.fnUntraced(function* (commands, arrived) {
    const ends = yield* Effect.forEach(commands, (command) => Effect.race(command, Effect.as(arrived, "lost")), {
      concurrency: "unbounded"
    }).pipe(Effect.orDie)
    assert.deepStrictEqual(
      ends,
      commands.map(() => "lost")
    )
  }),
  "an AbortSignal": Effect.fnUntraced(function* (commands, arrived) {
    const context = yield* Effect.context<GhostDB>()
    const abort = new AbortController()
    setMaxListeners(commands.length, abort.signal)
    const promises = commands.map((command) =>
      Effect.runPromiseExit(Effect.provide(command, context), { signal: abort.signal })
    )
    yield* arrived
    abort.abort()
    for (const exit of yield* Effect.promise(() => Promise.all(promises))) assert.isTrue(Exit.isInterrupted(exit))
  })
}

describe.concurrent("of many commands in flight on a connection, some are interrupted by", () => {
  for (const [way, interrupt] of Object.entries(ways)) {
    it.scopedLive(`${way}: at once; the others have their own answers, and the connection stays`, () =>
      Effect.gen(function* () {
        const node = yield* HostileServer.make()
        const { behaviour, letGo } = yield* holding
        const keys = HostileServer.keysOf([node], node, count)
        for (const key of keys) node.values.set(key, key)
        yield* Effect.gen(function* () {
          yield* getAll(keys.slice(0, 1))
          yield* node.behave(behaviour)
          const from = node.requests.length
          const arrived = HostileServer.eventually("all have arrived", () => node.requests.length === from + count)
          const others = yield* Effect.fork(getAll(keys.filter((_, at) => at % 3 === 1)))
          const some = keys.filter((_, at) => at % 3 !== 1)
          yield* atOnce(
            way,
            interrupt(
              some.map((key) => GhostDB.get(key)),
              arrived
            )
          )
          assert.isTrue(Option.isNone(yield* Fiber.poll(others)))
          yield* letGo
          yield* Fiber.join(others)
          // The late answers to the interrupted are not the answers to these.
          yield* getAll([...keys].reverse())
          assert.deepStrictEqual(node.connections(), { accepted: 1, open: 1 })
        }).pipe(Effect.provide(client([node])))
      })
    )
  }

  it.scopedLive("a race with each other", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const keys = HostileServer.keysOf([node], node, count)
      for (const key of keys) node.values.set(key, key)
      yield* Effect.gen(function* () {
        const winners = yield* Effect.forEach(keys, (key) => Effect.race(GhostDB.get(key), GhostDB.get(key)), {
          concurrency: 10
        })
        assert.deepStrictEqual<unknown>(winners, keys.map(Option.some))
        assert.deepStrictEqual(node.connections(), { accepted: 1, open: 1 })
      }).pipe(Effect.provide(client([node])))
    })
  )
})

// One, at any time

interface Phase {
  readonly options?: Partial<ClientOptions>
  /** What the node does once it has been spoken to, pings included. */
  readonly behaviour: (held: HostileServer.Behaviour) => HostileServer.Behaviour
  /** Whether the node has been spoken to before. */
  readonly first?: boolean
  /** Whether the command is in the phase, by what the node has been asked since. */
  readonly reached: (asked: { readonly get: number; readonly ping: number }) => boolean
}

/** Commands fail, and pings as the list says, the last of them for good. */
const pings = (...list: Arr.NonEmptyReadonlyArray<HostileServer.Behaviour>): HostileServer.Behaviour => {
  let at = 0
  return (exchange) =>
    exchange.request.command === "ping" ? (list[at++] ?? Arr.lastNonEmpty(list))(exchange) : unsoundly(exchange)
}

const phases: Record<string, Phase> = {
  "the first ping": { first: true, behaviour: (held) => held, reached: ({ ping }) => ping === 1 },
  "the attempt": { behaviour: (held) => held, reached: ({ get }) => get === 1 },
  "the delay before the next attempt": {
    options: { retry: Schedule.spaced("5 seconds") },
    behaviour: () => unsoundly,
    reached: ({ get }) => get === 1
  },
  "the ping after a failure": { behaviour: (held) => pings(held), reached: ({ ping }) => ping === 1 },
  "the sweep": { behaviour: (held) => pings(unsoundly, held), reached: ({ ping }) => ping === 2 }
}

describe.concurrent("a command that is interrupted during", () => {
  for (const [name, { behaviour, first, options, reached }] of Object.entries(phases)) {
    it.scopedLive(`${name} ends at once, and the next one is served on the same connection`, () =>
      Effect.gen(function* () {
        const node = yield* HostileServer.make()
        const held = yield* holding
        yield* Effect.gen(function* () {
          if (first !== true) yield* GhostDB.get("key")
          const before = { get: asked(node, "get"), ping: asked(node, "ping") }
          yield* node.behave(behaviour(held.behaviour), "badly")
          const fiber = yield* Effect.fork(GhostDB.get("key"))
          yield* HostileServer.eventually(name, () =>
            reached({ get: asked(node, "get") - before.get, ping: asked(node, "ping") - before.ping })
          )
          assert.isTrue(Exit.isInterrupted(yield* atOnce(name, Fiber.interrupt(fiber))))
          yield* node.behave("answers as it should")
          yield* held.letGo
          assert.strictEqual(yield* atOnce("the next command", GhostDB.put("key", 1)), "STORED")
          // A death closes the connections.
          assert.deepStrictEqual(node.connections(), { accepted: name === "the sweep" ? 2 : 1, open: 1 })
        }).pipe(Effect.provide(client([node], options)))
      })
    )
  }

  it.scopedLive("a sweep that others wait for leaves it to them", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const { behaviour, letGo } = yield* holding
      yield* Effect.gen(function* () {
        yield* GhostDB.get("key")
        yield* node.behave(pings(unsoundly, behaviour), "badly")
        const before = asked(node, "ping")
        const fibers = yield* Effect.forEach(Arr.range(0, 9), (i) => Effect.fork(GhostDB.get(`key-${i}`)))
        yield* HostileServer.eventually("the sweep", () => asked(node, "ping") === before + 2)
        const [some, others] = Arr.splitAt(fibers, 5)
        yield* atOnce(
          "those who are interrupted",
          Effect.forEach(some, (fiber) => Fiber.interrupt(fiber))
        )
        yield* node.behave("answers as it should")
        yield* letGo
        assert.deepStrictEqual(yield* Effect.forEach(others, Fiber.join), Arr.replicate(Option.none(), 5))
      }).pipe(Effect.provide(client([node])))
    })
  )

  it.scopedLive("an attempt is no failure of the node, and no success", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const { behaviour, letGo } = yield* holding
      const live = Effect.map(topologyNow, (topology) => topology.live.length)
      yield* Effect.gen(function* () {
        const fail = Effect.zipRight(node.behave("answers HTTP 500"), Effect.flip(GhostDB.get("key")))
        yield* GhostDB.get("key")
        yield* fail
        yield* fail
        yield* node.behave(behaviour)
        yield* Effect.forEach(Arr.range(1, 20), () => Effect.timeoutOption(GhostDB.get("key"), "20 millis"), {
          concurrency: "unbounded"
        })
        assert.strictEqual(yield* live, 1)
        yield* letGo
        yield* Effect.flip(Effect.zipRight(node.behave("answers HTTP 500", "badly"), GhostDB.get("key")))
        assert.strictEqual(yield* live, 0)
      }).pipe(Effect.provide(client([node])))
    })
  )
})

// The end of the scope

/** How many sockets, servers and timers keep the process alive. */
const resources = () =>
  getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Immediate|GetAddrInfo/.test(name)).length

/** A client in a scope of its own. */
const scoped = Effect.fnUntraced(function* (nodes: ReadonlyArray<Node>, options: Partial<ClientOptions> = {}) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const context = yield* Layer.buildWithScope(client(nodes, options), scope)
  return { context, db: Context.get(context, GhostDB), close: Scope.close(scope, Exit.void) }
})

describe("the end of the scope", () => {
  it.scopedLive("closes every connection and timer, whatever is in flight; each command ends with a failure", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.all(Arr.makeBy(3, () => HostileServer.make()))
      let before = 0
      // Looked at from where it is looked at in the end, since that takes a timer as well.
      yield* HostileServer.eventually("the servers hold something", () => {
        before = resources()
        return before > 0
      })
      const { close, context, db } = yield* scoped(nodes, { connections: 2, retry: Schedule.spaced("100 millis") })
      yield* Effect.provide(db.flush, context)
      yield* Effect.forEach(nodes, ({ behave }, at) =>
        behave(at === 0 ? "answers HTTP 500" : "accepts and never answers", "badly")
      )
      const from = nodes.map((node) => asked(node, "get"))
      const keys = nodes.flatMap((node) => HostileServer.keysOf(nodes, node, 50))
      const fibers = yield* Effect.forEach(keys, (key) => Effect.fork(db.get(key)))
      yield* HostileServer.eventually("all have arrived", () =>
        nodes.every((node, at) => asked(node, "get") === (from[at] ?? 0) + 50)
      )
      yield* atOnce("the close", close)
      for (const exit of yield* atOnce("the commands", Effect.forEach(fibers, Fiber.await))) {
        assert.isTrue(Exit.isFailure(exit))
        assert.instanceOf(yield* Effect.flip(exit), NoMoreServers)
      }
      yield* HostileServer.eventually("the nodes see every connection closed", () =>
        nodes.every((node) => node.connections().open === 0)
      )
      assert.deepStrictEqual(
        nodes.map((node) => node.connections().accepted),
        [2, 2, 2]
      )
      yield* HostileServer.eventually("the process holds no more than before", () => resources() <= before)
    })
  )

  it.scopedLive("does not wait for a revival, a sweep or a ping", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make()])
      const { close, db } = yield* scoped(nodes, { revive: Schedule.spaced("10 millis"), onRevival: "flush" })
      yield* db.flush
      yield* Effect.forEach(nodes, ({ behave }) => behave("answers HTTP 500", "badly"))
      yield* Effect.flip(db.get("key"))
      const { behaviour } = yield* holding
      yield* Effect.forEach(nodes, ({ behave }) => behave(behaviour, "badly"))
      const before = nodes.map((node) => asked(node, "ping"))
      // One of them is enough: the revival that was under way when they changed may have its answer from the other.
      yield* HostileServer.eventually("revival has asked", () =>
        nodes.some((node, at) => asked(node, "ping") > (before[at] ?? 0))
      )
      yield* atOnce("the close", close)
      yield* HostileServer.eventually("the nodes see every connection closed", () =>
        nodes.every((node) => node.connections().open === 0)
      )
    })
  )

  it.scopedLive("ends the commands that come after it, and the topology", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const { close, db } = yield* scoped([node])
      yield* db.put("key", 1)
      const watcher = yield* Effect.fork(Stream.runCollect(db.topology))
      yield* close
      yield* atOnce("the topology", Fiber.join(watcher))
      const { accepted } = node.connections()
      assert.instanceOf(yield* atOnce("a get", Effect.flip(db.get("key"))), NoMoreServers)
      assert.instanceOf(yield* atOnce("a flush", Effect.flip(db.flush)), NoMoreServers)
      assert.deepStrictEqual(yield* atOnce("a ping", db.ping), [])
      yield* HostileServer.eventually("the connection is closed", () => node.connections().open === 0)
      assert.strictEqual(node.connections().accepted, accepted)
    })
  )

  it.scopedLive("of a ManagedRuntime settles the promises of all its commands", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const runtime = ManagedRuntime.make(client([node]))
      yield* Effect.promise(() => runtime.runPromise(GhostDB.get("key")))
      yield* node.behave("accepts and never answers", "badly")
      const promises = Arr.makeBy(100, (i) => runtime.runPromiseExit(GhostDB.get(`key-${i}`)))
      yield* HostileServer.eventually("all have arrived", () => asked(node, "get") === 101)
      yield* atOnce(
        "the dispose",
        Effect.promise(() => runtime.dispose())
      )
      const exits = yield* atOnce(
        "the promises",
        Effect.promise(() => Promise.all(promises))
      )
      assert.isTrue(exits.every(Exit.isFailure))
      yield* HostileServer.eventually("the connection is closed", () => node.connections().open === 0)
    })
  )
})
