/** Tests of code that uses the cache, without a server: `GhostDBTest` holds what is put, `TestClock` makes it expire. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema, TestClock } from "effect"
import { GhostDB, GhostDBTest, TestCluster } from "effect-ghostdb"

// The code under test.
class Session extends Schema.Class<Session>("Session")({ user: Schema.String }) {}

const sessions = GhostDB.forSchema(Session, { prefix: "session:", ttl: 600 })

const login = (user: string) => sessions.put(user, new Session({ user }))

const userOf = (id: string) =>
  Effect.map(
    sessions.get(id),
    Option.map(({ user }) => user)
  )

describe("sessions", () => {
  it.effect("last for ten minutes", () =>
    Effect.gen(function* () {
      yield* login("ann")
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(yield* userOf("ann"), Option.some("ann"))
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* userOf("ann"), Option.none())
    }).pipe(Effect.provide(GhostDBTest))
  )

  it.effect("work as long as one node does", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const node of cluster.nodes.slice(0, 2)) yield* cluster.stop(node)
      yield* login("bob")
      assert.deepStrictEqual(yield* userOf("bob"), Option.some("bob"))
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 3 })))
  )

  it.effect("are an error without any node, or a miss", () =>
    Effect.gen(function* () {
      const cluster = yield* TestCluster
      for (const node of cluster.nodes) yield* cluster.stop(node)
      const error = yield* Effect.flip(userOf("bob"))
      assert.strictEqual(error._tag, "NoMoreServers")
      assert.deepStrictEqual(yield* GhostDB.failOpen(userOf("bob")), Option.none())
    }).pipe(Effect.provide(TestCluster.layer({ nodes: 3 })))
  )
})
