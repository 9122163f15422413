/** A near cache: hot keys are answered from this process, for a second or two. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { GhostDB, GhostDBTest, NearCache } from "effect-ghostdb"

const program = Effect.gen(function* () {
  const { stats } = yield* NearCache

  yield* GhostDB.put("greeting", "hello")
  for (let i = 0; i < 1000; i++) yield* GhostDB.get("greeting")
  yield* Console.log("1,000 gets:", yield* stats)

  // This process's own writes are seen at once; another process's when the TTL is over.
  yield* GhostDB.put("greeting", "good evening")
  yield* Console.log(yield* Effect.flatten(GhostDB.get("greeting")))
})

const layer = NearCache.layer({ capacity: 10_000, ttl: 2 }).pipe(Layer.provide(GhostDBTest))

program.pipe(Effect.provide(layer), NodeRuntime.runMain)
