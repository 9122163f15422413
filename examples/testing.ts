/**
 * Testing code that uses the cache, without a server: `GhostDBTest` holds what is put, `TestClock` makes it expire, and
 * `TestCluster` stops nodes. Here it runs by itself; in a suite each block is an `it.effect` of `@effect/vitest`.
 */
import { strictEqual } from "node:assert/strict"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Option, TestClock, TestContext } from "effect"
import { GhostDB, GhostDBTest, TestCluster } from "effect-ghostdb"

/** The code under test: a session lives for ten minutes. */
const login = (user: string) => GhostDB.put(`session:${user}`, { user }, 600)
const isLoggedIn = (user: string) => Effect.map(GhostDB.get(`session:${user}`), Option.isSome)

const expires = Effect.gen(function* () {
  yield* login("ann")
  yield* TestClock.adjust("9 minutes")
  strictEqual(yield* isLoggedIn("ann"), true)
  yield* TestClock.adjust("1 minute")
  strictEqual(yield* isLoggedIn("ann"), false)
  yield* Console.log("a session ends after ten minutes")
}).pipe(Effect.provide(GhostDBTest))

const survives = Effect.gen(function* () {
  const cluster = yield* TestCluster
  yield* login("bob")
  for (const node of cluster.nodes.slice(0, 2)) yield* cluster.stop(node)
  yield* login("bob")
  strictEqual(yield* isLoggedIn("bob"), true)
  const last = yield* cluster.node(cluster.nodes[2] ?? "")
  strictEqual(yield* last.size, 1)
  yield* Console.log("a login works as long as one node does")
}).pipe(Effect.provide(TestCluster.layer({ nodes: 3 })))

Effect.zipRight(expires, survives).pipe(Effect.provide(TestContext.TestContext), NodeRuntime.runMain)
