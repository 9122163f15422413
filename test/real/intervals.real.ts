/**
 * What real servers do in intervals of minutes, here of a second: entries expire, and metrics get a row. v1 servers cannot be
 * told to; what they do differently is here too.
 */
import { assert, describe } from "@effect/vitest"
import { Array as Arr, Clock, Effect, Option, Schedule } from "effect"
import * as RealCluster from "./RealCluster.js"
import { clientOf, figure, isDead, scenario, whenTopology } from "./support.js"

/** Asks again until the answer is as described. */
const until = <A, E>(effect: Effect.Effect<A, E>, holds: (answer: A) => boolean) =>
  Effect.retry(
    Effect.filterOrFail(effect, holds, (answer) => new Error(`still ${JSON.stringify(answer)}`)),
    Schedule.spaced("100 millis").pipe(Schedule.upTo("20 seconds"))
  )

for (const version of RealCluster.versions.filter((version) => version !== "v1")) {
  describe(`what ${version} servers do every second`, () => {
    scenario("an entry goes when its TTL is over, not before, and others stay", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 3, true)
        const db = yield* clientOf(nodes)
        const keys = Arr.makeBy(30, (i) => `expiring:${i}`)
        const sizes = Effect.forEach(nodes, ({ address }) => Effect.map(db.nodeSize(address), Option.getOrThrow))
        const start = yield* Clock.currentTimeMillis
        yield* Effect.forEach(keys, (key) => db.put(key, key, "4 seconds"))
        yield* Effect.forEach(keys, (key) => db.add(`added:${key}`, key, 4))
        yield* db.put("long", 1, "1 hour")
        yield* db.put("kept", 1)
        // Other than a `get`, an `add` that finds a value does not lengthen its life.
        for (const key of keys) assert.strictEqual(yield* db.add(key, "other"), "NOT_STORED")
        yield* until(sizes, (sizes) =>
          version === "raft" ? sizes.every((size) => size === 2) : sizes.reduce((sum, size) => sum + size) === 2
        )
        const goneAfter = (yield* Clock.currentTimeMillis) - start
        yield* figure(`${version}: entries with a TTL of 4 s, the last of them gone after ms`, 60, goneAfter)
        assert.isAtLeast(goneAfter, 4000)
        for (const key of keys) {
          assert.deepStrictEqual(yield* db.get(key), Option.none())
          assert.deepStrictEqual(yield* db.get(`added:${key}`), Option.none())
        }
        assert.deepStrictEqual(yield* db.get("long"), Option.some(1))
        assert.deepStrictEqual(yield* db.get("kept"), Option.some(1))
        assert.strictEqual(yield* db.add(keys[0]!, 2), "STORED")
      })
    )

    scenario("metrics get a row for each interval", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make(version, 3, true)
        const db = yield* clientOf(nodes)
        const addresses = nodes.map(({ address }) => address)
        yield* Effect.forEach(Arr.makeBy(50, String), (key) => Effect.zipRight(db.put(key, key), db.get(key)))
        const snitch = yield* until(
          db.getSnitchMetrics,
          ({ metrics }) => metrics.length === 3 && metrics.every(({ data }) => data.length >= 2)
        )
        assert.deepStrictEqual(
          snitch.metrics.map(({ node }) => node),
          addresses
        )
        for (const { data } of snitch.metrics) {
          assert.isAtLeast(data.length, 2)
          for (const row of data) assert.isAbove(row.HeapAlloc, 0)
        }
        const watchdog = yield* until(
          db.getWatchdogMetrics,
          ({ metrics }) => version === "raft" || metrics.every(({ data }) => data.length >= 2)
        )
        assert.deepStrictEqual(
          watchdog.metrics.map(({ node }) => node),
          addresses
        )
        const counted = watchdog.metrics.map(({ data }) => data.reduce((sum, row) => Math.max(sum, row.GetRequests), 0))
        yield* figure(
          `${version}: rows of system metrics, of application metrics, gets counted`,
          snitch.metrics.map(({ data }) => data.length).join(" "),
          watchdog.metrics.map(({ data }) => data.length).join(" "),
          counted.join(" ")
        )
        if (version === "raft")
          assert.deepStrictEqual(
            watchdog.metrics.flatMap(({ data }) => data),
            []
          )
        else
          assert.isAbove(
            counted.reduce((sum, count) => sum + count, 0),
            0
          )
      })
    )
  })
}

if (RealCluster.versions.includes("v1")) {
  describe("a v1 server", () => {
    scenario("counts a key that was put twice as two: it says of what it has emptied that it is not empty", () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make("v1", 3)
        const db = yield* clientOf(nodes)
        const keys = Arr.makeBy(60, (i) => `twice:${i}`)
        for (const value of [1, 2]) yield* Effect.forEach(keys, (key) => db.put(key, value))
        assert.strictEqual(yield* db.flush, "ERR_FLUSH")
        assert.deepStrictEqual(
          yield* Effect.forEach(keys, db.get),
          Arr.map(keys, () => Option.none())
        )
      })
    )

    scenario(`comes back with onRevival "flush" all the same, empty`, () =>
      Effect.gen(function* () {
        const nodes = yield* RealCluster.make("v1", 3)
        const db = yield* clientOf(nodes, { onRevival: "flush", revive: Schedule.spaced("200 millis"), replicas: 10 })
        const keys = Arr.makeBy(60, (i) => `twice:${i}`)
        for (const value of [1, 2]) yield* Effect.forEach(keys, (key) => db.put(key, value))
        yield* nodes[1]!.unplug
        yield* Effect.forEach(keys, (key) => db.put(key, 3), { concurrency: "unbounded" })
        yield* whenTopology(db, isDead(nodes[1]!))
        yield* nodes[1]!.plug
        yield* whenTopology(db, ({ live }) => live.length === 3)
        const found = yield* Effect.forEach(keys, db.get)
        assert.deepStrictEqual(
          found.filter((value) => Option.contains(value, 1) || Option.contains(value, 2)),
          []
        )
      })
    )
  })
}
