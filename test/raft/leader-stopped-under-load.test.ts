import { describe, expect, it } from "@effect/vitest"
import { Effect, Either, Fiber, Option, Schedule } from "effect"
import { type CacheNode, GhostDB, NodeServer, NoMoreServers, TestCluster } from "effect-ghostdb"
import { clientOf } from "../support/clients.js"
import { inMemory, replicas } from "../support/raft.js"

describe("the leader stopped under 1,000 concurrent mixed commands", () => {
  const deadline = "5 seconds"

  /** What a key can hold, by the answers that its writes have had; `undefined` is nothing. */
  type Possible = ReadonlySet<string | undefined>

  /**
   * A thousand users, each of a key of its own, and `stop` among them. Gives what each key can hold in the end.
   */
  const underLoad = Effect.fnUntraced(function* (leader: CacheNode.CacheNode, stop: Effect.Effect<unknown>) {
    const possible = new Map<string, Possible>()
    const ended = { values: 0, failures: 0 }
    const run = <A, E, R>(command: Effect.Effect<A, E, R>) =>
      Effect.map(Effect.either(command), (result) => {
        if (Either.isRight(result)) ended.values++
        else {
          expect(result.left).toBeInstanceOf(NoMoreServers)
          ended.failures++
        }
        return result
      })
    const use = (key: string) =>
      Effect.gen(function* () {
        for (let round = 0; round < 5; round++) {
          const known = () => possible.get(key) ?? new Set([undefined])
          const value = `${key} ${round}`
          const put = yield* run(GhostDB.put(key, value))
          possible.set(key, new Set(Either.isRight(put) ? [value] : [...known(), value]))
          const found = yield* run(GhostDB.get(key))
          if (Either.isRight(found) && Option.isSome(found.right)) expect(found.right.value).toMatch(`${key} `)
          if (round % 2 === 0) {
            const removed = yield* run(GhostDB.delete(key))
            possible.set(key, new Set(Either.isRight(removed) ? [undefined] : [...known(), undefined]))
            const added = yield* run(GhostDB.add(key, `${value} added`))
            // Its own value may be the one that is in its way, where the first reply was lost.
            const stored = Either.isRight(added) && added.right === "STORED"
            possible.set(key, new Set(stored ? [`${value} added`] : [...known(), `${value} added`]))
          }
          yield* Effect.sleep("1 millis")
        }
      })
    const users = Array.from({ length: 1000 }, (_, i) => `user:${i}`)
    const running = yield* Effect.fork(Effect.forEach(users, use, { concurrency: "unbounded", discard: true }))
    yield* Effect.repeat(leader.commandCounts, {
      until: (counts) => counts.put > 1200,
      schedule: Schedule.spaced("1 millis")
    })
    const before = ended.values
    yield* stop
    yield* Fiber.join(running)
    expect(ended.values + ended.failures).toBe(1000 * (5 * 2 + 3 * 2))
    expect(ended.values).toBeGreaterThan(before)
    return possible
  })

  /** Each survivor holds what it should. */
  const check = (survivors: ReadonlyArray<CacheNode.CacheNode>, possible: ReadonlyMap<string, Possible>) =>
    Effect.gen(function* () {
      yield* Effect.sleep("50 millis")
      for (const node of survivors) {
        const held = new Map((yield* node.entries).map(({ key, value }) => [key, String(JSON.parse(value))]))
        for (const [key, values] of possible) expect(values).toContain(held.get(key))
      }
      expect(possible.size).toBe(1000)
    })

  const timing = { replicationDelay: "20 millis", electionTime: "300 millis" } as const

  it.scopedLive("over HTTP: none that was acknowledged is lost, each ends with a value or a typed failure", () =>
    Effect.gen(function* () {
      const servers = yield* NodeServer.cluster({ dialect: "raft", ...timing })
      const [leader, ...survivors] = servers
      const possible = yield* underLoad(leader!.node, leader!.stop).pipe(
        Effect.provide(clientOf(servers, { replicas, deadline }))
      )
      yield* check(
        survivors.map(({ node }) => node),
        possible
      )
    })
  )

  it.live("in memory: the same", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      const possible = yield* underLoad(yield* cluster.node("node-1"), cluster.stop("node-1"))
      yield* check(yield* Effect.forEach(["node-2", "node-3"], cluster.node), possible)
    }).pipe(Effect.provide(inMemory({ ...timing, client: { deadline } })))
  )
})
