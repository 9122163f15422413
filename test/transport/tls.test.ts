import * as Net from "node:net"
import type { TlsOptions } from "node:tls"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import {
  Array as Arr,
  Duration,
  Effect,
  Either,
  Fiber,
  HashMap,
  Inspectable,
  Layer,
  Logger,
  Option,
  Record,
  Redacted,
  Ref,
  Schedule,
  Stream,
  Tracer
} from "effect"
import {
  Client,
  type ClientOptions,
  type FailureReason,
  GhostDB,
  GhostDBConfig,
  type KeyError,
  NoMoreServers,
  SocketTransport,
  type Topology
} from "effect-ghostdb"
import { afterAll } from "vitest"
import * as HostileServer from "../support/HostileServer.js"
import { pem, serverTls } from "../support/tls.js"

type Node = HostileServer.HostileServer

// The clients under test: real sockets, small timeouts

const attemptTimeout = 1000
const maxReplyBytes = 64 * 1024
const failureThreshold = 3

const client = (nodes: ReadonlyArray<Node>, options: Partial<ClientOptions> = {}) =>
  Layer.provide(
    Client.layer({
      attemptTimeout,
      deadline: 10_000,
      replicas: HostileServer.replicas,
      retry: Schedule.recurs(1),
      revive: Schedule.spaced("1 hour"),
      failureThreshold,
      maxReplyBytes,
      nodes: nodes.map(({ address }) => address),
      ...options
    }),
    SocketTransport.layer
  ).pipe(Layer.provide(Logger.remove(Logger.defaultLogger)))

const topologyNow = Effect.map(Stream.runHead(GhostDB.topology), Option.getOrThrow)

/** Waits for the first topology that is as described. */
const topologyWhere = (holds: (topology: Topology) => boolean) =>
  GhostDB.topology.pipe(
    Stream.filter(holds),
    Stream.runHead,
    Effect.map(Option.getOrThrow),
    Effect.timeout("4 seconds"),
    Effect.orDie
  )

const isLive =
  ({ address }: Node) =>
  (topology: Topology): boolean =>
    topology.live.some(({ node }) => node === address)

/** What a command has failed with. Dies if it has not. */
const failureOf = <A>(command: Effect.Effect<A, NoMoreServers | KeyError, GhostDB>) =>
  Effect.flip(command).pipe(
    Effect.filterOrDieMessage((error) => error instanceof NoMoreServers, "not a NoMoreServers"),
    Effect.orDieWith(() => new Error("the command has succeeded"))
  )

const reasonsOf = ({ failures }: NoMoreServers) => failures.map(({ node, reason }) => `${node} ${reason}`)

// Hostilities, one by one

interface Expected {
  readonly class: "ok" | "down" | "doubtful"
  readonly reason?: FailureReason
  /** Part of the failure's detail. */
  readonly detail?: string
  /** What becomes of the node after one command where it does the same to a ping. */
  readonly pings: "live" | "dead"
  /** Whether 64 commands in flight fare as one does. */
  readonly pipelined: boolean
  /** Whether the connection stays after a command that is answered. */
  readonly stays: boolean
}

const ok: Expected = { class: "ok", pings: "live", pipelined: true, stays: true }
const doubtful = (reason: FailureReason, detail: string): Expected => ({
  class: "doubtful",
  reason,
  detail,
  pings: "dead",
  pipelined: false,
  stays: false
})
const bad = (detail: string) => doubtful("BadReply", detail)
const reset = (detail: string) => doubtful("Reset", detail)
const timeout = doubtful("AttemptTimeout", `no reply in ${attemptTimeout} ms`)
const tooLong = bad(`a reply of more than ${maxReplyBytes} bytes`)

const expectations: { readonly [what in "refuses" | HostileServer.Hostility]: Expected } = {
  "answers as it should": ok,
  refuses: { ...doubtful("Refused", "ECONNREFUSED"), class: "down" },
  "accepts and never answers": timeout,
  "answers after the timeout": timeout,
  "closes without an answer": reset("closed"),
  "closes in the middle of the head": reset("closed"),
  "closes in the middle of the body": reset("closed"),
  "resets the connection": reset(""),
  "resets in the middle of the body": reset(""),
  "sends garbage": bad("no HTTP/1.1 reply"),
  "speaks another protocol": bad("no HTTP/1.1 reply"),
  "declares a Content-Length too short": bad("no v2 reply"),
  "declares a Content-Length too long": timeout,
  "declares two Content-Lengths": bad("Content-Length"),
  "declares a Content-Length and chunks": bad("Transfer-Encoding"),
  "folds a header": bad("header"),
  "sends its reply in chunks": ok,
  "sends a malformed chunk": bad("chunk"),
  "sends two documents": bad("no v2 reply"),
  "sends half a document": bad("no v2 reply"),
  // To a ping it is the right answer, that of a v1 server.
  "sends an empty body": { ...bad("no v2 reply"), pings: "live" },
  // To a ping it is the right answer.
  "answers another command": { ...bad("message"), pings: "live" },
  "answers HTTP 204": bad("HTTP status 204"),
  "answers HTTP 302": bad("HTTP status 302"),
  "answers HTTP 404": bad("HTTP status 404"),
  "answers HTTP 500": bad("HTTP status 500"),
  "sends an endless chunked body": tooLong,
  "sends an endless body of tiny chunks": tooLong,
  "sends an endless body until it closes": tooLong,
  "declares an endless body": tooLong,
  "sends endless headers": bad("head of more than"),
  "sends 1 MB of headers": bad("head of more than"),
  "sends endless interim replies": bad("interim replies"),
  "sends an interim reply first": ok,
  // Where its ping says so too, the node speaks another dialect now, and is spoken to in it.
  "answers in the raft dialect": { ...bad("no v2 reply"), pings: "live" },
  "answers in the v1 dialect": bad("no v2 reply"),
  "closes after each reply, and says so": { ...ok, stays: false },
  "answers by HTTP/1.0 without a length": { ...ok, stays: false },
  "sends its reply byte by byte": ok,
  // What is not asked for closes the connection. A second reply cannot be told from that to a pipelined request.
  "sends unasked bytes behind its reply": { ...ok, pipelined: false, stays: false },
  "sends a second reply": { ...ok, pipelined: false, stays: false }
}

/** A line of the README's table for each hostility, by what was seen. */
const table = new Map<string, string>()

const tableHead = [
  "| what the node does to a command | class | reason | after one command | after three in a row | its ping faring alike |",
  "| --- | --- | --- | --- | --- | --- |"
]

/** Puts and gets each key, over and over, until it is interrupted; dies of the first wrong answer and of any failure. */
const traffic = (keys: ReadonlyArray<string>, rounds: Ref.Ref<number>) =>
  Effect.forEach(keys, (key) => Effect.zipRight(GhostDB.put(key, key), GhostDB.get(key))).pipe(
    Effect.tap((values) => assert.deepStrictEqual<unknown>(values, keys.map(Option.some))),
    Effect.zipRight(Ref.update(rounds, (n) => n + 1)),
    Effect.repeat(Schedule.spaced("2 millis"))
  )

/** Speaks to every node for the first time, however busy the machine. */
const greet = GhostDB.flush.pipe(
  Effect.filterOrFail((result) => result === "FLUSHED"),
  Effect.retry({ times: 20 }),
  Effect.orDie
)

/** Two nodes and a client. The first one turns hostile once both have been spoken to; its keys hold themselves. */
const scene = Effect.fnUntraced(function* (options: Partial<ClientOptions> = {}) {
  const hostile = yield* HostileServer.make()
  const sound = yield* HostileServer.make()
  const nodes = [hostile, sound]
  const keys = HostileServer.keysOf(nodes, hostile, 64)
  const others = HostileServer.keysOf(nodes, sound, 8)
  const context = yield* Layer.build(client(nodes, options))
  yield* Effect.forEach([...keys, ...others], (key) => GhostDB.put(key, key)).pipe(Effect.provide(context))
  return { hostile, sound, keys, others, context }
})

/** Runs `program` while commands go on to other nodes unharmed: none fails or gets a wrong answer, no connection is lost. */
const unharmed = <A, E>(
  { context, others, sound }: Effect.Effect.Success<ReturnType<typeof scene>>,
  program: Effect.Effect<A, E, GhostDB>
) =>
  Effect.gen(function* () {
    const rounds = yield* Ref.make(0)
    const fiber = yield* Effect.fork(traffic(others, rounds))
    const result = yield* program
    const before = yield* Ref.get(rounds)
    yield* Effect.raceFirst(
      Fiber.join(fiber),
      HostileServer.eventually("another round on the other node", () => Effect.runSync(Ref.get(rounds)) > before)
    )
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(sound.connections().accepted, 1)
    return result
  }).pipe(Effect.provide(context))

const observe = Effect.fnUntraced(function* (hostile: Node, key: string) {
  const answer = yield* Effect.either(GhostDB.get(key))
  const topology = yield* topologyNow
  const live = isLive(hostile)(topology)
  const death = topology.dead.map(({ failure }) => failure)
  const failures = Either.match(answer, {
    onLeft: (error) => (error._tag === "NoMoreServers" ? error.failures : []),
    onRight: () => death
  })
  if (Either.isRight(answer)) assert.deepStrictEqual(answer.right, live ? Option.some(key) : Option.none())
  return {
    failure: failures[0],
    node: live ? ("live" as const) : ("dead" as const),
    class: !live ? ("down" as const) : Either.isRight(answer) ? ("ok" as const) : ("doubtful" as const)
  }
})

describe.concurrent("a node that", () => {
  for (const [what, expected] of Record.toEntries(expectations)) {
    const turn = (hostile: Node, pings: "well" | "badly") =>
      what === "refuses" ? hostile.stop : hostile.behave(what, pings)
    const options = expected === timeout ? { retry: Schedule.recurs(0) } : { attemptTimeout: 5000 }

    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const answering = yield* scene(options)
        const { hostile, keys } = answering
        const [one, two, three] = yield* unharmed(
          answering,
          Effect.gen(function* () {
            yield* turn(hostile, "well")
            const sent = hostile.bytes().sent
            const seen = yield* Effect.forEach(keys.slice(0, failureThreshold), (key) => observe(hostile, key))
            // What was in the buffers of the sockets comes on top of what the client has read.
            assert.isBelow(hostile.bytes().sent - sent, 6 * (maxReplyBytes + 8 * 1024 * 1024))
            if (expected.class === "ok") {
              assert.strictEqual(hostile.connections().accepted, expected.stays ? 1 : failureThreshold)
            }
            if (expected.pipelined) {
              const values = yield* Effect.forEach(keys, (key) => GhostDB.get(key), { concurrency: "unbounded" })
              assert.deepStrictEqual<unknown>(values, keys.map(Option.some))
            }
            return seen
          })
        )
        const silent = yield* scene(options)
        const alike = yield* unharmed(
          silent,
          Effect.zipRight(turn(silent.hostile, "badly"), observe(silent.hostile, silent.keys[0]))
        )

        table.set(
          what,
          `| ${what} | ${one?.class} | ${one?.failure?.reason ?? ""} | ${one?.node} | ${three?.node} | ${alike.node} |`
        )
        assert.strictEqual(one?.class, expected.class)
        assert.strictEqual(one?.failure?.reason, expected.reason)
        if (expected.detail !== undefined) assert.include(one?.failure?.detail, expected.detail)
        assert.strictEqual(two?.class, expected.class)
        assert.strictEqual(three?.node, expected.class === "ok" ? "live" : "dead")
        assert.strictEqual(alike.node, expected.pings)
      })
    )
  }

  afterAll(() => {
    if (process.env.FAILURE_TABLE !== undefined) {
      const lines = Record.keys(expectations).map((what) => table.get(what) ?? "")
      process.stdout.write(`${[...tableHead, ...lines].join("\n")}\n`)
    }
  })
})

// A connection that dies

const inFlight = 200
const answeredBefore = 73

const soundly = HostileServer.hostilities["answers as it should"]

/**
 * On the first connection: once all commands are in flight, answers 73 of them and does to the next one what `end` says. As
 * it should from then on, where there is a connection left.
 */
const dying = (node: Node, end: HostileServer.Behaviour): HostileServer.Behaviour => {
  const from = node.requests.length
  let served = 0
  return (exchange) =>
    exchange.request.connection > 1
      ? soundly(exchange)
      : Effect.zipRight(
          HostileServer.eventually("all commands are in flight", () => node.requests.length >= from + inFlight),
          Effect.suspend(() => (served++ === answeredBefore ? end(exchange) : soundly(exchange)))
        )
}

const fin: HostileServer.Behaviour = ({ socket }) => Effect.sync(() => void socket.end())

/** How a connection dies, and how many of the commands in flight on it have failed then, where that is certain. */
const deaths: ReadonlyArray<readonly [how: string, end: HostileServer.Behaviour, failed: number | undefined]> = [
  ["a reset", HostileServer.hostilities["resets the connection"], undefined],
  ["a reset in the middle of a reply", HostileServer.hostilities["resets in the middle of the body"], undefined],
  ["an orderly close", fin, inFlight - answeredBefore],
  [
    "a close in the middle of a reply",
    HostileServer.hostilities["closes in the middle of the body"],
    inFlight - answeredBefore
  ],
  ["garbage", HostileServer.hostilities["sends garbage"], inFlight - answeredBefore],
  [
    "a Content-Length too short",
    HostileServer.hostilities["declares a Content-Length too short"],
    inFlight - answeredBefore
  ],
  [
    "a Content-Length too long",
    HostileServer.hostilities["declares a Content-Length too long"],
    inFlight - answeredBefore
  ],
  ["an endless reply", HostileServer.hostilities["sends an endless chunked body"], inFlight - answeredBefore],
  ["two documents, and is not", HostileServer.hostilities["sends two documents"], 1]
]

/** 200 commands at once, gets and puts by turns: how each has ended. Dies where one has ended other than once. */
const volley = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
  const ends = new Map<string, number>()
  const command = (key: string, at: number): Effect.Effect<unknown, NoMoreServers | KeyError, GhostDB> =>
    at % 2 === 0 ? GhostDB.get(key) : GhostDB.put(key, `new ${key}`)
  const results = yield* Effect.forEach(
    keys,
    (key, at) =>
      command(key, at).pipe(
        Effect.onExit(() => Effect.sync(() => ends.set(key, (ends.get(key) ?? 0) + 1))),
        Effect.either
      ),
    { concurrency: "unbounded" }
  )
  assert.deepStrictEqual(
    keys.map((key) => ends.get(key)),
    keys.map(() => 1)
  )
  return results
})

describe("200 commands in flight on a connection that is ended by", () => {
  for (const [how, end, failed] of deaths) {
    const setting = Effect.fnUntraced(function* (options: Partial<ClientOptions>) {
      const node = yield* HostileServer.make()
      const keys = HostileServer.keysOf([node], node, inFlight)
      const context = yield* Layer.build(client([node], { attemptTimeout: 2000, ...options }))
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, key), { concurrency: "unbounded" }).pipe(
        Effect.provide(context)
      )
      yield* node.behave(dying(node, end))
      return { node, keys, context }
    })
    const own = (key: string, at: number): unknown => (at % 2 === 0 ? Option.some(key) : "STORED")

    it.scopedLive(`${how}: each ends once, with its own answer or a failure`, () =>
      Effect.gen(function* () {
        const { context, keys, node } = yield* setting({ retry: Schedule.recurs(0), failureThreshold: inFlight })
        const ends = yield* Effect.provide(volley(keys), context)
        ends.forEach((end, at) => {
          const key = keys[at] ?? ""
          if (Either.isRight(end)) assert.deepStrictEqual(end.right, own(key, at))
          else assert.match(end.left.message, / (Reset|BadReply) /)
        })
        const failures = ends.filter(Either.isLeft).length
        if (failed === undefined) assert.isAtLeast(failures, inFlight - answeredBefore)
        else assert.strictEqual(failures, failed)
        assert.isTrue(isLive(node)(yield* Effect.provide(topologyNow, context)))
      })
    )

    it.scopedLive(`${how}: tried again, each has its own answer`, () =>
      Effect.gen(function* () {
        const { context, keys, node } = yield* setting({})
        const ends = yield* Effect.provide(volley(keys), context)
        assert.deepStrictEqual(
          ends,
          keys.map((key, at) => Either.right(own(key, at)))
        )
        assert.deepStrictEqual(
          keys.map((key) => node.values.get(key)),
          keys.map((key, at) => (at % 2 === 0 ? key : `new ${key}`))
        )
        assert.strictEqual(node.connections().accepted, failed === 1 ? 1 : 2)
      })
    )
  }
})

// Requests that are too large

interface Line {
  readonly level: string
  readonly text: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** A logger in place of the default one, and what it has been given. */
const recorder = () => {
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>(({ annotations, cause, logLevel, message }) => {
    lines.push({
      level: logLevel.label,
      text: `${Inspectable.toStringUnknown(message)} ${Inspectable.toStringUnknown(cause)}`,
      annotations: Object.fromEntries(HashMap.toEntries(annotations))
    })
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

describe("a put of 5 MiB", () => {
  it.scopedLive("100 times: NOT_STORED and a warning each time, and nothing else happens", () =>
    Effect.gen(function* () {
      const { context, hostile, keys, sound } = yield* scene()
      const log = recorder()
      const before = [hostile, sound].map((node) => ({ ...node.bytes(), ...node.connections() }))
      const value = "x".repeat(5 * 1024 * 1024)
      const results = yield* Effect.forEach(Arr.range(1, 100), (at) =>
        at % 2 === 0 ? GhostDB.put(`large-${at}`, value) : GhostDB.add(`large-${at}`, value)
      ).pipe(Effect.provide(log.layer), Effect.provide(context))
      assert.deepStrictEqual(results, Arr.replicate("NOT_STORED", 100))
      assert.deepStrictEqual(
        log.lines.map(({ annotations, level }) => [level, annotations.key]),
        Arr.makeBy(100, (i) => ["WARN", `large-${i + 1}`])
      )
      for (const { annotations, text } of log.lines) {
        assert.isAbove(Number(annotations.bytes), value.length)
        assert.isBelow(text.length, 200)
      }
      assert.deepStrictEqual(
        [hostile, sound].map((node) => ({ ...node.bytes(), ...node.connections() })),
        before
      )
      const topology = yield* Effect.provide(topologyNow, context)
      assert.strictEqual(topology.live.length, 2)
      assert.deepStrictEqual(yield* Effect.provide(GhostDB.get(keys[0]), context), Option.some(keys[0]))
    })
  )

  it.scopedLive("is no success, and clears no doubt", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        yield* GhostDB.put(keys[0], "x".repeat(5 * 1024 * 1024))
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("is sent where the limit allows it", () =>
    Effect.gen(function* () {
      const node = yield* HostileServer.make()
      const value = "x".repeat(5 * 1024 * 1024)
      const context = yield* Layer.build(
        client([node], { maxRequestBytes: 6 * 1024 * 1024, maxReplyBytes: 6 * 1024 * 1024, attemptTimeout: 3000 })
      )
      assert.strictEqual(yield* Effect.provide(GhostDB.put("large", value), context), "STORED")
      assert.isTrue(Option.contains(yield* Effect.provide(GhostDB.get("large"), context), value))
    })
  )
})

// Doubts

/** Answers HTTP 500 to commands on the keys given, and as it should to all others. */
const failing =
  (keys: ReadonlyArray<string>): HostileServer.Behaviour =>
  (exchange) =>
    HostileServer.hostilities[keys.includes(exchange.request.key) ? "answers HTTP 500" : "answers as it should"](
      exchange
    )

const revivals = { revive: Schedule.spaced("20 millis") }

describe.concurrent("doubtful failures", () => {
  it.scopedLive("three of different commands in a row kill a node that answers its pings", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.put(keys[0], 1))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
        assert.strictEqual(yield* GhostDB.delete(keys[0]), "NOT_FOUND")
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        assert.include(yield* GhostDB.ping, hostile.address)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("attempts of one command count as one", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ retry: Schedule.recurs(9) })
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        const from = hostile.requests.length
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
        const since = hostile.requests.slice(from).map(({ command }) => command)
        assert.deepStrictEqual(since, [...Arr.replicate("get", 10), "ping", ...Arr.replicate("get", 10), "ping"])
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a success in between clears them", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave(failing([keys[0]]))
        for (let round = 0; round < 3; round++) {
          yield* failureOf(GhostDB.get(keys[0]))
          yield* failureOf(GhostDB.get(keys[0]))
          yield* GhostDB.get(keys[1] ?? "")
        }
        assert.isTrue(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a ping does not clear them", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene()
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500")
        yield* failureOf(GhostDB.get(keys[0]))
        assert.include(yield* GhostDB.ping, hostile.address)
        yield* failureOf(GhostDB.get(keys[0]))
        assert.include(yield* GhostDB.ping, hostile.address)
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a revived node is half-open: one more before a success kills it", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.behave("answers HTTP 500", "badly")
        yield* GhostDB.get(keys[0])
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        yield* hostile.behave("answers HTTP 500", "well")
        yield* topologyWhere(isLive(hostile))
        const dead = yield* Effect.fork(topologyWhere((topology) => !isLive(hostile)(topology)))
        yield* Effect.yieldNow()
        yield* GhostDB.get(keys[0])
        yield* Fiber.join(dead)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a revived node that has served a command is as good as any", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.behave(failing([keys[0]]), "badly")
        yield* GhostDB.ping
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        yield* hostile.behave(failing([keys[0]]))
        yield* GhostDB.get(keys[1] ?? "")
        yield* failureOf(GhostDB.get(keys[0]))
        yield* failureOf(GhostDB.get(keys[0]))
        assert.isTrue(isLive(hostile)(yield* topologyNow))
      }).pipe(Effect.provide(context))
    })
  )
})

describe.concurrent("revival", () => {
  it.scopedLive("keeps what the node holds", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene(revivals)
      yield* Effect.gen(function* () {
        yield* hostile.stop
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.none())
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.some(keys[0]))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("with onRevival flush, empties the node before it takes keys", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ ...revivals, onRevival: "flush" })
      yield* Effect.gen(function* () {
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        const from = hostile.requests.length
        yield* hostile.start
        yield* topologyWhere(isLive(hostile))
        assert.strictEqual(hostile.values.size, 0)
        assert.deepStrictEqual(
          hostile.requests.slice(from).map(({ command }) => command),
          ["ping", "flush"]
        )
        assert.deepStrictEqual(yield* GhostDB.get(keys[0]), Option.none())
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("with onRevival flush, a node that does not flush stays dead", () =>
    Effect.gen(function* () {
      const { context, hostile, keys } = yield* scene({ ...revivals, onRevival: "flush" })
      yield* Effect.gen(function* () {
        yield* hostile.stop
        yield* GhostDB.get(keys[0])
        yield* hostile.behave("answers HTTP 500")
        yield* hostile.start
        const flushes = () => hostile.requests.filter(({ command }) => command === "flush").length
        yield* HostileServer.eventually("the third flush", () => flushes() >= 3)
        assert.isFalse(isLive(hostile)(yield* topologyNow))
        yield* hostile.behave("answers as it should")
        yield* topologyWhere(isLive(hostile))
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a schedule that has ended begins again with the next death", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
      const [first, second] = nodes
      const context = yield* Layer.build(
        client(nodes, { revive: Schedule.spaced("20 millis").pipe(Schedule.intersect(Schedule.recurs(2))) })
      )
      yield* Effect.gen(function* () {
        const die = (node: Node) =>
          Effect.zipRight(
            node.behave("answers HTTP 500", "badly"),
            GhostDB.get(HostileServer.keysOf(nodes, node, 1)[0])
          )
        const pings = () => first.requests.filter(({ command }) => command === "ping").length
        yield* die(first)
        const asked = pings()
        yield* HostileServer.eventually("the schedule has ended", () => pings() === asked + 2)
        yield* first.behave("answers as it should")
        assert.isFalse(isLive(first)(yield* topologyNow))
        yield* die(second)
        yield* topologyWhere(isLive(first))
      }).pipe(Effect.provide(context))
    })
  )
})

// Nothing is live

describe.concurrent("with no live node", () => {
  /** All nodes of a cluster that has been spoken to, and does not revive by itself. */
  const cluster = Effect.fnUntraced(function* (options: Partial<ClientOptions> = {}) {
    const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
    const context = yield* Layer.build(client(nodes, options))
    yield* Effect.provide(greet, context)
    return { nodes, context }
  })

  it.scopedLive(
    "commands fail in well under a second, with a failure for each node; and the sweep brings it back",
    () =>
      Effect.gen(function* () {
        const { attemptTimeout, deadline, retry } = GhostDBConfig.defaults
        const { context, nodes } = yield* cluster({ attemptTimeout, deadline, retry })
        yield* Effect.gen(function* () {
          yield* Effect.forEach(nodes, ({ stop }) => stop)
          const refused = nodes.map(({ address }) => `${address} Refused`).sort()
          const [first, failure] = yield* Effect.timed(failureOf(GhostDB.get("key")))
          assert.isBelow(Duration.toMillis(first), 1000)
          assert.deepStrictEqual(reasonsOf(failure).sort(), refused)
          const [later, failures] = yield* Effect.timed(
            Effect.all(
              Arr.makeBy(100, (i) => failureOf(GhostDB.get(`key-${i}`))),
              { concurrency: "unbounded" }
            )
          )
          assert.isBelow(Duration.toMillis(later), 1000)
          for (const failure of failures) assert.deepStrictEqual(reasonsOf(failure).sort(), refused)

          yield* Effect.forEach(nodes, ({ start }) => start)
          // Not before a second has passed since the last sweep.
          const stored = yield* GhostDB.put("key", 1).pipe(
            Effect.retry(Schedule.spaced("50 millis")),
            Effect.timeout("2 seconds")
          )
          assert.strictEqual(stored, "STORED")
          assert.strictEqual((yield* topologyNow).live.length, 3)
        }).pipe(Effect.provide(context))
      })
  )

  it.scopedLive("there is one sweep for all who wait, and at most one a second", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster()
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ behave }) => behave("answers HTTP 500", "badly"))
        const volley = Effect.all(
          Arr.makeBy(50, (i) => failureOf(GhostDB.get(`key-${i}`))),
          { concurrency: "unbounded" }
        )
        yield* volley
        const pings = () => nodes.map(({ requests }) => requests.filter(({ command }) => command === "ping").length)
        const swept = pings()
        yield* volley
        yield* failureOf(GhostDB.flush)
        assert.deepStrictEqual(pings(), swept)
        assert.strictEqual((yield* topologyNow).live.length, 0)
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a command that waits for the sweep goes on with the node it finds", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ dialect: "v2" })
      const [first] = nodes
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ stop }) => stop)
        yield* Effect.forEach(nodes, ({ address }) => GhostDB.nodeSize(address).pipe(Effect.flip))
        assert.strictEqual((yield* topologyNow).dead.length, 3)
        yield* first.start
        const results = yield* Effect.all(
          Arr.makeBy(50, (i) => GhostDB.put(`key-${i}`, i)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(results, Arr.replicate("STORED", 50))
        assert.strictEqual(first.values.size, 50)
        assert.strictEqual(first.requests.filter(({ command }) => command === "ping").length, 1)
      }).pipe(Effect.provide(context))
    })
  )
})

// Time

describe.concurrent("a cluster that never answers", () => {
  const cluster = Effect.fnUntraced(function* (options: Partial<ClientOptions>) {
    const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
    const context = yield* Layer.build(client(nodes, options))
    yield* Effect.provide(greet, context)
    yield* Effect.forEach(nodes, ({ behave }) => behave("accepts and never answers", "badly"))
    return { nodes, context }
  })

  /** Each command, with a name. */
  const commands = ({ address }: Node) =>
    [
      ["get", GhostDB.get("key")],
      ["put", GhostDB.put("key", 1)],
      ["add", GhostDB.add("key", 1)],
      ["delete", GhostDB.delete("key")],
      ["flush", GhostDB.flush],
      ["ping", GhostDB.ping],
      ["nodeSize", GhostDB.nodeSize(address)],
      ["leader", GhostDB.leader],
      ["getSnitchMetrics", GhostDB.getSnitchMetrics],
      ["getWatchdogMetrics", GhostDB.getWatchdogMetrics]
    ] as const

  /** Dies where a command takes longer than that, give or take what a busy machine needs. */
  const within = <A, E, R>(name: string, millis: number, self: Effect.Effect<A, E, R>) =>
    Effect.timed(Effect.either(self)).pipe(
      Effect.map(([duration, result]) => {
        assert.isBelow(Duration.toMillis(duration), millis + 1500, name)
        return result
      })
    )

  it.scopedLive("an attempt ends by attemptTimeout, whatever the deadline; the nodes die of it", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ attemptTimeout: 100, retry: Schedule.recurs(0) })
      // On each node an attempt and a ping, then the sweep.
      const failure = yield* within("get", 700, GhostDB.get("key")).pipe(Effect.provide(context))
      assert.deepStrictEqual(
        Either.isLeft(failure) && failure.left._tag === "NoMoreServers" ? reasonsOf(failure.left).sort() : [],
        nodes.map(({ address }) => `${address} AttemptTimeout`).sort()
      )
      assert.strictEqual((yield* Effect.provide(topologyNow, context)).dead.length, 3)
    })
  )

  it.scopedLive("each command ends by its deadline: in the middle of a retry", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ attemptTimeout: 200, deadline: 300, retry: Schedule.forever })
      yield* Effect.forEach(
        commands(nodes[0]),
        ([name, command]) =>
          Effect.map(within<unknown, unknown, GhostDB>(name, 300, command), (result) => {
            if (name === "ping") assert.deepStrictEqual(result, Either.right([]))
            else if (name === "leader") assert.deepStrictEqual(result, Either.right(Option.none()))
            else assert.match(String(Either.isLeft(result) ? result.left : ""), / (Deadline|AttemptTimeout) /, name)
          }),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("each command ends by its deadline: shorter than an attempt", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ attemptTimeout: 10_000, deadline: 200 })
      yield* Effect.forEach(
        commands(nodes[0]),
        ([name, command]) => within<unknown, unknown, GhostDB>(name, 200, command),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("each command ends by its deadline: in the middle of a sweep, and names the dead", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ attemptTimeout: 10_000, deadline: 300, retry: Schedule.recurs(0) })
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ stop }) => stop)
        yield* failureOf(GhostDB.get("key"))
        assert.strictEqual((yield* topologyNow).dead.length, 3)
        yield* Effect.forEach(nodes, ({ start }) => start)
        yield* Effect.forEach(
          Arr.range(1, 4),
          () =>
            Effect.forEach(
              commands(nodes[0]).filter(([name]) => name !== "ping" && name !== "leader"),
              ([name, command]) =>
                Effect.map(within<unknown, unknown, GhostDB>(name, 300, command), (result) => {
                  const message = String(Either.isLeft(result) ? result.left : "")
                  assert.match(message, / (Refused|Reset) /, name)
                }),
              { concurrency: "unbounded" }
            ),
          { discard: true }
        )
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a node dies of commands that end by their deadline, when those are too short for its attempts", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({
        attemptTimeout: 100,
        deadline: 400,
        retry: Schedule.spaced("1 second")
      })
      const keys = nodes.map((node) => HostileServer.keysOf(nodes, node, 1)[0])
      const failures = yield* Effect.forEach(Arr.range(1, failureThreshold), () =>
        Effect.forEach(keys, (key) => failureOf(GhostDB.get(key)), { concurrency: "unbounded" })
      ).pipe(Effect.provide(context))
      for (const failure of failures.flat()) assert.include(reasonsOf(failure).join(), "Deadline")
      assert.strictEqual((yield* Effect.provide(topologyNow, context)).dead.length, 3)
    })
  )
})

// Building

describe.concurrent("requireLive", () => {
  const nodes = Effect.all([HostileServer.make(), HostileServer.make()])
  const built = (nodes: ReadonlyArray<Node>, requireLive: boolean) =>
    Effect.either(Effect.scoped(Layer.build(client(nodes, { requireLive, attemptTimeout: 300 }))))

  it.scopedLive("fails with a failure for each node when none answers", () =>
    Effect.gen(function* () {
      const [silent, refusing] = yield* nodes
      yield* silent.behave("accepts and never answers", "badly")
      yield* refusing.stop
      const failure = yield* Effect.flip(yield* built([silent, refusing], true))
      assert.instanceOf(failure, NoMoreServers)
      assert.deepStrictEqual(failure instanceof NoMoreServers ? reasonsOf(failure) : [], [
        `${silent.address} AttemptTimeout`,
        `${refusing.address} Refused`
      ])
      yield* HostileServer.eventually("the connection is closed", () => silent.connections().open === 0)
    })
  )

  it.scopedLive("does not when one answers", () =>
    Effect.gen(function* () {
      const [sound, refusing] = yield* nodes
      yield* refusing.stop
      assert.isTrue(Either.isRight(yield* built([sound, refusing], true)))
    })
  )

  it.scopedLive("is off by default: building connects to no node", () =>
    Effect.gen(function* () {
      const [sound, refusing] = yield* nodes
      yield* refusing.stop
      assert.isTrue(Either.isRight(yield* built([sound, refusing], false)))
      assert.isTrue(Either.isRight(yield* Effect.either(Effect.scoped(Layer.build(client([sound, refusing]))))))
      assert.strictEqual(sound.connections().accepted, 0)
    })
  )
})

// Secrets

type ClientTls = NonNullable<ClientOptions["tls"]>

/** A tracer, and the spans that it has made. */
const tracing = Effect.map(Effect.tracer, (native) => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    context: native.context,
    span: (...options) => {
      const span = native.span(...options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
})

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
      const failure = yield* Effect.flip(result)
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
      const failure = yield* Effect.flip(other.result)
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
      const context = yield* tlsClient(node.address, { attemptTimeout: 200 })
      const [duration, failure] = yield* Effect.timed(failureOf(GhostDB.get("key"))).pipe(Effect.provide(context))
      assert.deepStrictEqual(reasonsOf(failure), [`${node.address} ConnectTimeout`])
      // One attempt, and the sweep's ping.
      assert.isBelow(Duration.toMillis(duration), 2 * 200 + 1500)
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

describe.concurrent("secrets", () => {
  const secret = "s3cr3t-t0k3n"

  it.scopedLive("headers reach the node, and no log, no error, no span", () =>
    Effect.gen(function* () {
      const log = recorder()
      const { spans, tracer } = yield* tracing
      const errors: Array<unknown> = []
      const node = yield* HostileServer.make()
      const options: Partial<ClientOptions> = {
        headers: { Authorization: Redacted.make(`Bearer ${secret}`), "X-Plain": secret },
        failureThreshold: 100,
        attemptTimeout: 500
      }
      const context = yield* Layer.build(client([node], options)).pipe(Effect.provide(log.layer))
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* GhostDB.put("key", secret), "STORED")
        for (const { head } of node.requests) {
          assert.include(head, `\r\nAuthorization: Bearer ${secret}\r\nX-Plain: ${secret}`)
        }
        assert.deepStrictEqual(
          node.requests.map(({ command }) => command),
          ["ping", "put"]
        )
        // What comes back of it, however it comes, is not shown either.
        const echo: HostileServer.Behaviour = ({ request, write }) =>
          write(HostileServer.http(HostileServer.envelope(request.head, request.head.replaceAll("\r\n", " "), 0)))
        yield* Effect.forEach(
          [
            "answers HTTP 500",
            "sends garbage",
            "resets the connection",
            "accepts and never answers",
            "answers in the v1 dialect",
            echo,
            ({ request, write }) => write(`HTTP/1.1 ${request.head}\r\n\r\n`),
            ({ request, write }) => write(HostileServer.http(request.head))
          ] satisfies ReadonlyArray<HostileServer.Hostility | HostileServer.Behaviour>,
          (behaviour) =>
            Effect.zipRight(
              node.behave(behaviour),
              Effect.map(Effect.exit(GhostDB.put("key", secret)), (exit) => errors.push(exit))
            )
        )
        yield* node.stop
        errors.push(yield* Effect.exit(GhostDB.put("key", { secret })))
        errors.push(yield* topologyNow)
      }).pipe(Effect.withSpan("program"), Effect.withTracer(tracer), Effect.provide(log.layer), Effect.provide(context))
      assert.strictEqual(errors.length, 10)
      const shown = [...log.lines, ...errors, ...spans].map(
        (u) => `${inspect(u, { depth: 20 })} ${String(u)} ${Inspectable.toStringUnknown(u)}`
      )
      assert.isNotEmpty(log.lines)
      assert.isNotEmpty(spans)
      for (const text of shown) assert.notInclude(text, secret)
    })
  )
})
