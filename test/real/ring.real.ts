import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe } from "@effect/vitest"
import { Array as Arr, Clock, Context, Effect, Layer, Option, Schedule, Stream } from "effect"
import { GhostDB, GhostDBLive, Ring } from "effect-ghostdb"
import * as RealCluster from "./RealCluster.js"
import { clientOf, figure, keys, load, scenario, whenTopology } from "./support.js"

const ringVersions = RealCluster.versions.filter((version) => version !== "raft")
const revive = Schedule.spaced("200 millis")

for (const version of RealCluster.versions) {
  describe(`${version} servers`, () => {
    scenario("what is put is got, and a killed node's keys move on", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 3)
        const db = yield* clientOf(nodes)
        const putAll = (value: number) => Effect.forEach(keys, (key) => db.put(key, value), { concurrency: 16 })
        const getAll = Effect.forEach(keys, db.get, { concurrency: 16 })
        yield* putAll(1)
        assert.deepStrictEqual(
          yield* getAll,
          Arr.map(keys, () => Option.some(1))
        )
        yield* nodes[1]!.kill
        yield* putAll(2)
        assert.deepStrictEqual(
          yield* getAll,
          Arr.map(keys, () => Option.some(2))
        )
      })
    )
  })
}

for (const version of ringVersions) {
  describe(`stand-ins of ${version} servers`, () => {
    for (const onRevival of ["keep", "flush"] as const) {
      scenario(`an owner's second outage brings no old value to light (onRevival: "${onRevival}")`, () =>
        Effect.gen(function* () {
          const nodes = yield* RealCluster.make(version, 3)
          const db = yield* clientOf(nodes, { revive, onRevival, replicas: 10 })
          const putAll = (value: string) => Effect.forEach(keys, (key) => db.put(key, value), { concurrency: 16 })
          yield* putAll("first")
          // The owner keeps what it holds: only its link goes.
          yield* nodes[1]!.unplug
          yield* putAll("second")
          yield* nodes[1]!.plug
          yield* whenTopology(db, ({ dead }) => dead.length === 0)
          yield* putAll("third")
          yield* Effect.sleep("1 second")
          yield* nodes[1]!.kill
          const found = yield* Effect.forEach(keys, db.get, { concurrency: 16 })
          const old = found.filter((value) => Option.isSome(value) && value.value !== "third")
          yield* figure(
            `${version}, ${onRevival}: keys, misses and old values at the second outage`,
            found.length,
            found.filter(Option.isNone).length,
            old.length
          )
          assert.deepStrictEqual(old, [])
          assert.isTrue(found.some(Option.isNone), "the dead node had keys")
        })
      )
    }

    scenario(`failover: "none": a dead owner's keys fail and name it, the others go on`, () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 3)
        const db = yield* clientOf(nodes, { failover: "none", replicas: 10, revive })
        yield* Effect.forEach(keys, (key) => db.put(key, "value"), { concurrency: 16 })
        yield* nodes[1]!.kill
        const ring = Ring.make(
          nodes.map(({ address }) => address),
          { replicas: 10 }
        )
        const isLost = (key: string) => Option.contains(Ring.lookup(ring, key), nodes[1]!.address)
        const found = yield* Effect.forEach(keys, (key) => Effect.either(db.get(key)), { concurrency: 16 })
        for (const [i, key] of keys.entries()) {
          const result = found[i]!
          if (isLost(key)) {
            assert(result._tag === "Left" && result.left._tag === "NoMoreServers")
            assert.deepStrictEqual(
              result.left.failures.map(({ node }) => node),
              [nodes[1]!.address]
            )
          } else assert(result._tag === "Right" && Option.contains(result.right, "value"))
        }
        yield* figure(`${version}: keys, those of the dead node`, keys.length, keys.filter(isLost).length)
        yield* nodes[1]!.start
        yield* whenTopology(db, ({ dead }) => dead.length === 0)
        assert.deepStrictEqual(
          yield* Effect.forEach(keys.filter(isLost), db.get),
          keys.filter(isLost).map(() => Option.none())
        )
      })
    )
  })

  describe(`a nodes file of ${version} servers`, () => {
    scenario("that is written line by line with a pause leads no key astray", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 5)
        const folder = yield* Effect.provide(
          Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
          NodeFileSystem.layer
        )
        const file = join(folder, "gdb.conf")
        const lines = nodes.map(({ address }) => `${address}\n`)
        writeFileSync(file, lines.join(""))
        const db = Context.get(yield* Layer.build(GhostDBLive(file)), GhostDB)
        yield* Effect.forEach(keys, (key) => db.put(key, key), { concurrency: 16 })
        let smallest = nodes.length
        yield* Effect.forkScoped(
          Stream.runForEach(db.topology, ({ live }) =>
            Effect.sync(() => {
              smallest = Math.min(smallest, live.length)
            })
          )
        )
        const { stop } = yield* load(db.get, 16)
        for (let count = 0; count <= lines.length; count++) {
          writeFileSync(file, lines.slice(0, count).join(""))
          yield* Effect.sleep("400 millis")
        }
        const outcomes = yield* stop
        const astray = outcomes.filter(({ key, value }) => !(Option.isOption(value) && Option.contains(value, key)))
        yield* figure(`${version}: smallest ring, reads, those astray`, smallest, outcomes.length, astray.length)
        assert.strictEqual(smallest, nodes.length)
        assert.deepStrictEqual(astray, [])
        // A node that is taken out goes, a moment later.
        const start = yield* Clock.currentTimeMillis
        writeFileSync(file, lines.slice(1).join(""))
        yield* whenTopology(db, ({ live }) => live.length === nodes.length - 1)
        yield* figure(
          `${version}: a node that was taken out is gone after ms`,
          (yield* Clock.currentTimeMillis) - start
        )
      })
    )
  })
}
