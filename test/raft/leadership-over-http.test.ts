/**
 * What befalls a leader, over HTTP and in the test's time: sockets and servers are real, and what the group and the client
 * wait for is a step of the clock. Members have hosts of their own, as in production.
 */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Clock, Effect, Fiber, Option, Schedule, Stream, TestClock } from "effect"
import { Client, type ClientOptions, type GhostDBService, NodeServer, SocketTransport } from "effect-ghostdb"
import * as RaftGroup from "../../src/server/RaftGroup.js"
import * as Link from "../support/Link.js"

const keys = Arr.makeBy(40, (i) => `key:${i}`)
const putAll = (db: GhostDBService, value: string) =>
  Effect.forEach(keys, (key) => db.put(key, value), { concurrency: "unbounded", discard: true })
const getAll = (db: GhostDBService) => Effect.forEach(keys, db.get, { concurrency: "unbounded" })
const all = (value: string) => Arr.map(keys, () => Option.some(value))

const clientOf = (nodes: ReadonlyArray<string>, options: Partial<ClientOptions> = {}) =>
  Client.make({ nodes, replicas: 50, ...options }).pipe(Effect.provide(SocketTransport.layer))

/**
 * For clients in tests where nothing is frozen: no request is late, however slow the machine, and none waits for the clock
 * before it goes to another member.
 */
const patient = { attemptTimeout: "1 hour", deadline: "1 hour", retry: Schedule.stop } as const

/** What has been sent arrives: client and servers are of this process, which needs some turns for it and no certain time. */
const turns = Effect.promise(async () => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
})

/** Lets time pass until an effect is over, step by step, and requests arrive between the steps. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(effect, Effect.forever(Effect.zipRight(turns, TestClock.adjust("100 millis"))))

const group = Effect.fnUntraced(function* (options: RaftGroup.RaftGroupOptions) {
  const raftGroup = yield* RaftGroup.make(options)
  const servers = yield* Effect.forEach(["127.0.0.2", "127.0.0.3", "127.0.0.4"], (host) =>
    NodeServer.make({ dialect: "raft", raftGroup, host })
  )
  const [leader, ...others] = Arr.map(servers, (server) => ({ ...server, raft: server.node.raftAddress ?? "" }))
  return { raftGroup, nodes: Arr.map(servers, ({ address }) => address), leader: leader!, others }
})

/** Waits for a topology in which this node leads, or none does. */
const leaderIs = (db: GhostDBService, expected: Option.Option<string>) =>
  Stream.runHead(Stream.filter(db.topology, ({ leader }) => leader.toString() === expected.toString()))

describe.concurrent("over HTTP, a leader that is killed and restarted at once, empty", () => {
  for (const readFrom of ["leaderPreferred", "leader"] as const) {
    it.scoped(`and leads alone for a while: a client that only reads finds everything ("${readFrom}")`, () =>
      Effect.gen(function* () {
        // The others notice after 2.5 seconds, as real servers do at the latest.
        const { leader, nodes, others, raftGroup } = yield* group({ electionTime: "2500 millis" })
        const db = yield* clientOf(nodes, { readFrom, ...patient })
        yield* putAll(db, "value")
        assert.deepStrictEqual(yield* getAll(db), all("value"))
        yield* leader.stop
        yield* leader.start()
        yield* raftGroup.partition([leader.raft])
        yield* leaderIs(db, Option.none())
        const reads = Arr.empty<Fiber.Fiber<Option.Option<unknown>, unknown>>()
        for (let tenths = 0; tenths < 40; tenths++) {
          if (tenths === 11) yield* raftGroup.bootstrap(leader.raft, "1400 millis")
          if (tenths === 25) yield* raftGroup.heal()
          for (const key of Arr.take(Arr.drop(keys, tenths % 38), 2)) reads.push(yield* Effect.fork(db.get(key)))
          yield* TestClock.adjust("100 millis")
        }
        for (const read of reads) assert.deepStrictEqual(yield* inTime(Fiber.join(read)), Option.some("value"))
        const ruling = Option.getOrThrow(yield* raftGroup.leader)
        assert.deepStrictEqual(yield* db.leader, Option.some(others.find(({ raft }) => raft === ruling)?.address))
      })
    )
  }
})

describe.concurrent("over HTTP, a leader that is cut off from the others and not from the client", () => {
  for (const readFrom of ["leaderPreferred", "leader"] as const) {
    it.scoped(`is read for its lease at most ("${readFrom}")`, () =>
      Effect.gen(function* () {
        const { leader, nodes, others, raftGroup } = yield* group({ leaseTime: "1 hour" })
        const reader = yield* clientOf(nodes, { readFrom, leaderLease: "4 seconds", ...patient })
        const writer = yield* clientOf(
          others.map(({ address }) => address),
          patient
        )
        yield* putAll(reader, "old")
        yield* getAll(reader)
        yield* raftGroup.partition([leader.raft])
        // It goes on to answer reads and to name itself.
        assert.deepStrictEqual(yield* getAll(reader), all("old"))
        yield* TestClock.adjust("1 second")
        yield* putAll(writer, "new")
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(yield* getAll(reader), all("new"))
        assert.deepStrictEqual(yield* reader.leader, yield* writer.leader)
      })
    )
  }
})

describe.concurrent("over HTTP, while there is no leader", () => {
  const waiting = (readFrom: NonNullable<ClientOptions["readFrom"]>) =>
    Effect.gen(function* () {
      const { leader, nodes, raftGroup } = yield* group({ electionTime: "1 second" })
      const db = yield* clientOf(nodes, { readFrom, ...patient })
      yield* putAll(db, "value")
      yield* leader.stop
      const reads = yield* Effect.fork(getAll(db))
      return { db, raftGroup, reads }
    })

  for (const readFrom of ["leaderPreferred", "any"] as const) {
    it.scoped(`readFrom "${readFrom}" reads what any live member holds`, () =>
      Effect.gen(function* () {
        const { raftGroup, reads } = yield* waiting(readFrom)
        assert.deepStrictEqual(yield* Fiber.join(reads), all("value"))
        assert.deepStrictEqual(yield* raftGroup.leader, Option.none())
      })
    )
  }

  it.scoped(`readFrom "leader" waits for one`, () =>
    Effect.gen(function* () {
      const { db, raftGroup, reads } = yield* waiting("leader")
      yield* leaderIs(db, Option.none())
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(yield* raftGroup.leader, Option.none())
      assert.deepStrictEqual(yield* Fiber.poll(reads), Option.none())
      assert.deepStrictEqual(yield* inTime(Fiber.join(reads)), all("value"))
      assert.isTrue(Option.isSome(yield* raftGroup.leader))
    })
  )
})

describe.concurrent("over HTTP, a leader that is frozen", () => {
  it.scoped("the writes that wait for it are back within a second of a new leader", () =>
    Effect.gen(function* () {
      const raftGroup = yield* RaftGroup.make({ electionTime: "3 seconds" })
      const members = yield* Effect.forEach(["127.0.0.2", "127.0.0.3", "127.0.0.4"], (raftHost) =>
        Effect.flatMap(NodeServer.make({ dialect: "raft", raftGroup, raftHost }), ({ node, port }) =>
          Effect.map(Link.make(port, raftHost), (link) => ({ link, raft: node.raftAddress ?? "" }))
        )
      )
      const db = yield* clientOf(members.map(({ link }) => link.address))
      yield* inTime(putAll(db, "before"))
      const [leader] = members
      yield* leader!.link.freeze
      yield* raftGroup.partition([leader!.raft])
      const frozenAt = yield* Clock.currentTimeMillis
      const writes = yield* Effect.fork(putAll(db, "after"))
      yield* inTime(leader!.link.holding("put", keys.length))
      yield* inTime(leader!.link.holding("ping", 1))
      yield* TestClock.setTime(frozenAt + 2900)
      assert.deepStrictEqual(yield* raftGroup.leader, Option.none())
      assert.deepStrictEqual(yield* Fiber.poll(writes), Option.none())
      yield* TestClock.setTime(frozenAt + 3000)
      assert.isTrue(Option.isSome(yield* raftGroup.leader))
      // From here on it is the `election` schedule and a few requests that nothing delays.
      yield* inTime(Fiber.join(writes))
      assert.isAtMost((yield* Clock.currentTimeMillis) - frozenAt, 4000)
      assert.deepStrictEqual(yield* getAll(db), all("after"))
    })
  )
})

describe.concurrent("over HTTP, a leader that is not among the client's nodes", () => {
  it.scoped("is not asked: reads are those of its followers, what wants a leader fails at its deadline", () =>
    Effect.gen(function* () {
      const { nodes, others } = yield* group({})
      const all = yield* clientOf(nodes, patient)
      yield* all.put("key", "value")
      const followers = others.map(({ address }) => address)
      const preferred = yield* clientOf(followers, { ...patient, deadline: "2 seconds" })
      const strict = yield* clientOf(followers, { ...patient, deadline: "2 seconds", readFrom: "leader" })
      assert.deepStrictEqual(yield* inTime(preferred.get("key")), Option.some("value"))
      assert.deepStrictEqual(yield* preferred.leader, Option.none())
      for (const command of [Effect.asVoid(preferred.put("key", 2)), Effect.asVoid(strict.get("key"))]) {
        const error = yield* inTime(Effect.flip(command))
        assert.match(error.message, /NotLeader/)
      }
    })
  )
})
