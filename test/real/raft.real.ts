import { assert, describe } from "@effect/vitest"
import { Clock, Effect, Fiber, Option, Schedule } from "effect"
import { GhostDBConfig } from "effect-ghostdb"
import * as RealCluster from "./RealCluster.js"
import { clientOf, figure, keys, load, longest, type Outcome, scenario, timed } from "./support.js"

const isMiss = ({ error, value }: Outcome) => error === undefined && Option.isOption(value) && Option.isNone(value)

/** The first of these members that leads, and when it was seen to. */
const newLeader = (nodes: ReadonlyArray<RealCluster.RealNode>) =>
  Effect.gen(function* () {
    for (;;) {
      const [leader] = yield* RealCluster.ruling(nodes)
      if (leader !== undefined) return { leader, at: yield* Clock.currentTimeMillis }
      yield* Effect.sleep("10 millis")
    }
  })

const group = Effect.gen(function* () {
  const nodes = yield* RealCluster.make("raft", 3)
  const { leader } = yield* newLeader(nodes)
  const [first, others] = [
    nodes.filter(({ address }) => address === leader),
    nodes.filter(({ address }) => address !== leader)
  ]
  return { nodes, leader: first[0]!, others }
})

if (RealCluster.versions.includes("raft")) {
  describe("a raft cluster", () => {
    for (const readFrom of ["leaderPreferred", "leader"] as const) {
      scenario(`whose leader is killed and restarted at once, empty: no read misses ("${readFrom}")`, () =>
        Effect.gen(function* () {
          const { leader, nodes } = yield* group
          const db = yield* clientOf(nodes, { readFrom })
          yield* Effect.forEach(keys, (key) => db.put(key, key), { concurrency: 16 })
          const { stop } = yield* load(db.get, 32)
          yield* Effect.sleep("500 millis")
          yield* leader.restart
          yield* Effect.sleep("5 seconds")
          const outcomes = yield* stop
          const now = yield* db.leader
          yield* figure(
            `${readFrom}: reads, false misses, failures, longest ms`,
            outcomes.length,
            outcomes.filter(isMiss).length,
            outcomes.filter(({ error }) => error !== undefined).length,
            longest(outcomes)
          )
          assert.lengthOf(outcomes.filter(isMiss), 0)
          assert.deepStrictEqual(
            outcomes.filter(({ error }) => error !== undefined),
            []
          )
          assert.deepStrictEqual(now, Option.some((yield* newLeader(nodes)).leader))
        })
      )
    }

    scenario("whose leader is cut off from the others, not from the client: reads are old for the lease at most", () =>
      Effect.gen(function* () {
        const { leader, nodes, others } = yield* group
        const reader = yield* clientOf(nodes)
        const writer = yield* clientOf(others)
        yield* reader.put("key", 0)
        // Followers apply what the leader has acknowledged a moment later, and are read while there is no leader.
        yield* Effect.sleep("1 second")
        /** When each value was acknowledged. */
        const acknowledged: Array<number> = [yield* Clock.currentTimeMillis]
        const { stop } = yield* load(() => reader.get("key"), 8)
        yield* leader.cutFrom(others)
        const cutAt = yield* Clock.currentTimeMillis
        const { at: ruledAt } = yield* newLeader(others)
        for (let value = 1; value <= 100; value++) {
          yield* writer.put("key", value)
          acknowledged.push(yield* Clock.currentTimeMillis)
          yield* Effect.sleep("50 millis")
        }
        yield* leader.mend
        yield* Effect.sleep("2 seconds")
        const outcomes = yield* stop
        /** How long ago the value that a read has found was overwritten when the read began. */
        const ages = outcomes.map(({ start, value }) => {
          const found = Option.isOption(value) ? Number(Option.getOrElse(value, () => -1)) : -1
          const overwrittenAt = acknowledged[found + 1]
          return overwrittenAt === undefined ? 0 : Math.max(start - overwrittenAt, 0)
        })
        const lastOld = outcomes.reduce((last, { start }, i) => (ages[i]! > 0 ? Math.max(last, start) : last), cutAt)
        yield* figure(
          "cut off: reads, old ones, oldest ms, a new leader after ms, last old read after the cut ms",
          outcomes.length,
          ages.filter((age) => age > 0).length,
          Math.max(...ages),
          ruledAt - cutAt,
          lastOld - cutAt
        )
        assert.lengthOf(outcomes.filter(isMiss), 0)
        assert.isAtMost(Math.max(...ages), GhostDBConfig.defaults.leaderLease)
      })
    )

    scenario("without a majority: each mode of readFrom", () =>
      Effect.gen(function* () {
        const { leader, nodes, others } = yield* group
        const options = { deadline: "2 seconds", revive: Schedule.spaced("200 millis") } as const
        const preferred = yield* clientOf(nodes, { ...options, readFrom: "leaderPreferred" })
        const strict = yield* clientOf(nodes, { ...options, readFrom: "leader" })
        const any = yield* clientOf(nodes, { ...options, readFrom: "any" })
        yield* preferred.put("key", "value")
        yield* strict.get("key")
        // Followers apply what the leader has acknowledged a moment later.
        yield* Effect.sleep("1 second")
        yield* leader.kill
        yield* others[0]!.kill
        yield* Effect.sleep("1 second")
        const reads = yield* Effect.all(
          [timed(preferred.get("key")), timed(Effect.either(strict.get("key"))), timed(any.get("key"))],
          { concurrency: "unbounded" }
        )
        const [a, b, c] = reads.map(({ end, start }) => end - start)
        yield* figure(`no leader: "leaderPreferred", "leader" and "any" end after ms`, a!, b!, c!)
        assert.deepStrictEqual(reads[0].result, Option.some("value"))
        assert.deepStrictEqual(reads[2].result, Option.some("value"))
        assert(reads[1].result._tag === "Left" && reads[1].result.left._tag === "NoMoreServers")
        assert.isAtLeast(b!, 1900)
      })
    )

    scenario(`when a cut heals, readFrom "leader" gives no old value`, () =>
      Effect.gen(function* () {
        const { leader, nodes, others } = yield* group
        const db = yield* clientOf(nodes, { readFrom: "leader" })
        let value = 0
        yield* db.put("key", value)
        const behind: Array<number> = []
        const isOn = yield* Effect.fork(Effect.sleep("8 seconds"))
        const readWhatWasWritten = Effect.gen(function* () {
          yield* db.put("key", ++value)
          const found = Option.getOrElse(yield* db.get("key"), () => -1)
          if (found !== value) behind.push(value - Number(found))
        })
        const rounds = yield* Effect.fork(
          Effect.repeat(Effect.zipRight(Effect.ignore(readWhatWasWritten), Effect.sleep("5 millis")), {
            while: () => Effect.map(Fiber.poll(isOn), Option.isNone)
          })
        )
        yield* Effect.sleep("1 second")
        yield* leader.cutFrom(others)
        yield* Effect.sleep("3 seconds")
        yield* leader.mend
        yield* Fiber.join(rounds)
        yield* figure("a cut that heals: writes read back, those that read an older one", value, behind.length)
        assert.deepStrictEqual(behind, [])
      })
    )

    for (const [how, freeze] of [
      ["stopped by SIGSTOP", (node: RealCluster.RealNode) => node.freeze],
      ["whose link is down", (node: RealCluster.RealNode) => node.unplug]
    ] as const) {
      scenario(`whose leader is frozen, ${how}: writes are back within a second of the new leader`, () =>
        Effect.gen(function* () {
          const { leader, nodes, others } = yield* group
          const db = yield* clientOf(nodes)
          yield* Effect.forEach(keys, (key) => db.put(key, key), { concurrency: 16 })
          const { stop } = yield* load((key) => db.put(key, key), 32)
          yield* Effect.sleep("500 millis")
          yield* freeze(leader)
          const frozenAt = yield* Clock.currentTimeMillis
          const { at: ruledAt } = yield* newLeader(others)
          yield* Effect.sleep("3 seconds")
          const outcomes = yield* stop
          const back = Math.min(
            ...outcomes.filter(({ end, error }) => error === undefined && end > frozenAt + 200).map(({ end }) => end)
          )
          yield* figure(
            `frozen leader, ${how}: a new leader after ms, writes back after ms, failures, longest ms`,
            ruledAt - frozenAt,
            back - frozenAt,
            outcomes.filter(({ error }) => error !== undefined).length,
            longest(outcomes)
          )
          assert.deepStrictEqual(
            outcomes.filter(({ error }) => error !== undefined),
            []
          )
          assert.isBelow(back - ruledAt, 1000)
        })
      )
    }
  })
}
