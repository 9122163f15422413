import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Layer, Logger, Option, Schedule, Stream, TestClock } from "effect"
import { GhostDB, GhostDBLive, type GhostDBOptions, type Topology } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"

type Node = HostileServer.HostileServer

/** A nodes file in a directory of its own, and the ways to write it. */
const nodesFile = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  const path = `${directory}/gdb.conf`
  const write = (text: string) => fs.writeFileString(path, text)
  /** As editors and deployments do, so that no one reads half of it. */
  const replace = (text: string) =>
    Effect.zipRight(fs.writeFileString(`${path}.new`, text), fs.rename(`${path}.new`, path))
  return { path, write, replace, remove: fs.remove(path) }
}).pipe(Effect.provide(NodeFileSystem.layer))

const textOf = (nodes: ReadonlyArray<Node>) => nodes.map(({ address }) => `${address}\n`).join("")

const client = (path: string, options: GhostDBOptions = {}) =>
  GhostDBLive(path, {
    replicas: HostileServer.replicas,
    attemptTimeout: "3000 millis",
    retry: Schedule.recurs(1),
    revive: Schedule.spaced("1 hour"),
    ...options
  }).pipe(Layer.provide(Logger.remove(Logger.defaultLogger)))

const addressesOf = ({ dead, live }: Topology) => [...live, ...dead].map(({ node }) => node).sort()

const sorted = (nodes: ReadonlyArray<Node>) => nodes.map(({ address }) => address).sort()

const isMadeOf = (nodes: ReadonlyArray<Node>) => {
  const expected = sorted(nodes).join()
  return (topology: Topology): boolean => addressesOf(topology).join() === expected
}

/** Waits until the cluster is made of these nodes. */
const clusterOf = (nodes: ReadonlyArray<Node>) =>
  GhostDB.topology.pipe(
    Stream.filter(isMadeOf(nodes)),
    Stream.runHead,
    Effect.map(Option.getOrThrow),
    Effect.timeout("1 minute"),
    Effect.orDie
  )

const server = HostileServer.make()

/** The node among the dead. */
const deathOf = ({ address }: Node, { dead }: Topology) => dead.find(({ node }) => node === address)

const storm = 50

describe.concurrent("a nodes file that is rewritten", () => {
  it.scopedLive(
    "50 times in a second, at times to nonsense: the ring has the nodes of all lists, and ends with the last",
    () =>
      Effect.gen(function* () {
        const file = yield* nodesFile
        const [stays, refuses, latest] = yield* Effect.all([server, server, server])
        const others = yield* Effect.all(Arr.replicate(server, 5))
        const first = [stays, refuses, ...others]
        const last = [stays, refuses, latest]
        const lists = Arr.makeBy(storm, (i) => [
          stays,
          refuses,
          ...others.filter((_, at) => ((i * 7 + 3) & (1 << at)) !== 0)
        ])
        const nonsense = ["", "# no node\n", "http://127.0.0.1:7991\n", `${textOf(others)}not a node!\n`, "\0\0\0\0"]
        yield* file.write(textOf(first))
        yield* Effect.gen(function* () {
          yield* refuses.stop
          yield* GhostDB.get(HostileServer.keysOf(first, refuses, 1)[0])
          const death = deathOf(refuses, yield* topologyNow)
          assert.strictEqual(death?.failure.reason, "Refused")
          const seen = yield* Effect.fork(
            Stream.runCollect(Stream.takeUntil(GhostDB.topology, (topology) => isMadeOf(last)(topology)))
          )
          const traffic = yield* Effect.fork(
            Effect.forever(
              Effect.forEach(Arr.range(1, 20), (i) =>
                Effect.zipRight(GhostDB.put(`key-${i}`, i), GhostDB.get(`key-${i}`))
              )
            )
          )
          yield* Effect.forEach(lists, (list, at) => {
            const text = at === storm - 1 ? textOf(last) : at % 5 === 4 ? (nonsense[(at - 4) / 10] ?? "") : textOf(list)
            return Effect.delay(at % 2 === 0 ? file.write(text) : file.replace(text), `${1000 / storm} millis`)
          })
          const topologies = yield* Effect.timeout(Fiber.join(seen), "1 minute")
          const known = sorted([...first, latest])
          for (const topology of topologies) {
            assert.includeMembers(addressesOf(topology), sorted([stays, refuses]))
            assert.includeMembers(known, addressesOf(topology))
            assert.deepStrictEqual(deathOf(refuses, topology), death)
          }
          assert.isTrue(Option.isNone(yield* Fiber.poll(traffic)), "no command has failed")
          assert.deepStrictEqual(addressesOf(yield* topologyNow), sorted(last))
        }).pipe(Effect.provide(client(file.path)))
      })
  )

  it.scopedLive("keeps the health of those that stay: the dead, the doubts, the connection", () =>
    Effect.gen(function* () {
      const file = yield* nodesFile
      const [doubtful, refuses, sound, added] = yield* Effect.all([server, server, server, server])
      const before = [doubtful, refuses, sound]
      const after = [added, sound, doubtful, refuses]
      yield* file.write(textOf(before))
      yield* Effect.gen(function* () {
        yield* GhostDB.flush
        yield* refuses.stop
        yield* GhostDB.get(HostileServer.keysOf(before, refuses, 1)[0])
        yield* doubtful.behave("answers HTTP 500")
        const fail = (nodes: ReadonlyArray<Node>) => GhostDB.get(HostileServer.keysOf(nodes, doubtful, 1)[0])
        yield* Effect.flip(fail(before))
        yield* Effect.flip(fail(before))
        const death = deathOf(refuses, yield* topologyNow)
        const live = (yield* topologyNow).live.find(({ node }) => node === sound.address)
        yield* file.replace(textOf(after))
        const topology = yield* clusterOf(after)
        assert.deepStrictEqual(deathOf(refuses, topology), death)
        assert.deepStrictEqual(
          topology.live.find(({ node }) => node === sound.address),
          live
        )
        yield* fail(after)
        assert.strictEqual(deathOf(doubtful, yield* topologyNow)?.failure.reason, "BadReply")
        yield* GhostDB.flush
        assert.strictEqual(sound.connections().accepted, 1)
      }).pipe(Effect.provide(client(file.path, { retry: Schedule.recurs(0) })))
    })
  )

  it.scopedLive("closes the connection to one that leaves; commands in flight on it go to the next owner", () =>
    Effect.gen(function* () {
      const file = yield* nodesFile
      const [leaves, stays] = yield* Effect.all([server, server])
      const gate = yield* Deferred.make<void>()
      yield* file.write(textOf([leaves, stays]))
      yield* Effect.gen(function* () {
        yield* GhostDB.flush
        yield* leaves.behave(() => Deferred.await(gate), "badly")
        const keys = HostileServer.keysOf([leaves, stays], leaves, 50)
        const from = leaves.requests.length
        const commands = yield* Effect.forEach(keys, (key) => Effect.fork(GhostDB.put(key, key)))
        yield* HostileServer.eventually("all are in flight", () => leaves.requests.length === from + keys.length)
        yield* file.replace(textOf([stays]))
        yield* clusterOf([stays])
        assert.deepStrictEqual(
          yield* Effect.timeout(Effect.forEach(commands, Fiber.join), "1 minute"),
          keys.map(() => "STORED")
        )
        assert.deepStrictEqual([...stays.values.keys()].sort(), [...keys].sort())
        yield* HostileServer.eventually("the connection is closed", () => leaves.connections().open === 0)
        assert.strictEqual(leaves.connections().accepted, 1)
      }).pipe(Effect.provide(client(file.path, { attemptTimeout: "10000 millis", deadline: "20000 millis" })))
    })
  )

  it.scopedLive("takes one that comes back for a new one", () =>
    Effect.gen(function* () {
      const file = yield* nodesFile
      const [comes, stays] = yield* Effect.all([server, server])
      const both = [comes, stays]
      yield* file.write(textOf(both))
      yield* Effect.gen(function* () {
        yield* comes.stop
        yield* GhostDB.get(HostileServer.keysOf(both, comes, 1)[0])
        assert.isDefined(deathOf(comes, yield* topologyNow))
        yield* file.replace(textOf([stays]))
        yield* clusterOf([stays])
        yield* comes.start
        yield* file.replace(textOf(both))
        assert.strictEqual((yield* clusterOf(both)).live.length, 2)
        yield* GhostDB.put(HostileServer.keysOf(both, comes, 1)[0], 1)
        assert.strictEqual(comes.values.size, 1)
      }).pipe(Effect.provide(client(file.path)))
    })
  )

  it.scoped("in place, line by line with a pause after each, leads no key astray", () =>
    Effect.gen(function* () {
      const file = yield* nodesFile
      const nodes = yield* Effect.all([server, server, server])
      yield* file.write(textOf(nodes))
      yield* Effect.gen(function* () {
        const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`)
        yield* Effect.forEach(keys, (key) => GhostDB.put(key, key))
        for (let lines = 0; lines <= nodes.length; lines++) {
          yield* file.write(textOf(nodes.slice(0, lines)))
          yield* Effect.repeatN(TestClock.adjust("100 millis"), 5)
          assert.deepStrictEqual(
            yield* Effect.forEach(keys, GhostDB.get),
            keys.map((key) => Option.some(key))
          )
          assert.deepStrictEqual(addressesOf(yield* topologyNow), sorted(nodes))
        }
        yield* file.write(textOf(nodes.slice(1)))
        yield* Effect.raceFirst(clusterOf(nodes.slice(1)), Effect.forever(TestClock.adjust("100 millis")))
      }).pipe(Effect.provide(client(file.path)))
    })
  )

  it.scopedLive("or vanishes keeps the ring until there is another", () =>
    Effect.gen(function* () {
      const file = yield* nodesFile
      const [one, two] = yield* Effect.all([server, server])
      yield* file.write(textOf([one]))
      yield* Effect.gen(function* () {
        const changes = yield* Effect.fork(Stream.runCollect(Stream.takeUntil(GhostDB.topology, isMadeOf([one, two]))))
        yield* GhostDB.put("key", 1)
        yield* file.remove
        assert.deepStrictEqual(yield* GhostDB.get("key"), Option.some(1))
        yield* file.write("nonsense!\n")
        assert.deepStrictEqual(yield* GhostDB.get("key"), Option.some(1))
        yield* file.write(textOf([one, two]))
        const topologies = yield* Effect.timeout(Fiber.join(changes), "1 minute")
        for (const topology of Array.from(topologies).slice(0, -1)) {
          assert.deepStrictEqual(addressesOf(topology), [one.address])
        }
      }).pipe(Effect.provide(client(file.path)))
    })
  )
})
