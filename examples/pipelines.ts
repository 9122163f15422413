/** Cache calls in pipelines: concurrency, typed errors, layers of an app's own, and the topology as a Stream. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Context, Duration, Effect, Layer, Option, Schedule, Stream } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"

/** A service of the app that uses the cache: whoever uses it need not know. */
class Counters extends Context.Tag("app/Counters")<
  Counters,
  { readonly increment: (name: string) => Effect.Effect<number> }
>() {
  static readonly Live = Layer.effect(
    Counters,
    Effect.map(GhostDB, (db) => ({
      increment: (name) =>
        db.get(`counter:${name}`).pipe(
          Effect.map(Option.getOrElse(() => 0)),
          Effect.map((count) => (typeof count === "number" ? count : 0) + 1),
          Effect.tap((count) => db.put(`counter:${name}`, count, Duration.hours(1))),
          // Counting is not worth a failure.
          Effect.catchTags({ NoMoreServers: () => Effect.succeed(0), KeyError: Effect.die })
        )
    }))
  )
}

const program = Effect.gen(function* () {
  const cluster = yield* TestCluster
  const counters = yield* Counters

  // Follows the cluster beside the rest.
  yield* GhostDB.topology.pipe(
    Stream.map(({ dead, live }) => `  topology: ${live.length} live, ${dead.length} dead`),
    Stream.changes,
    Stream.runForEach(Console.log),
    Effect.fork
  )

  // A thousand puts, at most 64 at once on the wire; what fails is told by its tag.
  const keys = Array.from({ length: 1000 }, (_, i) => `key:${i}`)
  const stored = yield* Effect.forEach(keys, (key, i) => GhostDB.put(key, { i }, 60), { concurrency: 64 }).pipe(
    Effect.map((results) => results.filter((result) => result === "STORED").length),
    Effect.catchTag("NoMoreServers", (error) => Effect.as(Console.error(error.message), 0))
  )
  yield* Console.log(`stored ${stored}`)

  yield* cluster.stop("node-1")
  const found = yield* Effect.forEach(keys, GhostDB.get, { concurrency: 64 })
  yield* Console.log(`without node-1, ${found.filter(Option.isSome).length} of them are still there`)

  yield* Effect.forEach(["a", "b", "a"], counters.increment).pipe(
    Effect.flatMap((counts) => Console.log("counts", counts))
  )

  yield* Effect.forEach(cluster.nodes, cluster.stop)
  const error = yield* Effect.flip(GhostDB.get("key:1"))
  yield* Console.log(`${error._tag}: ${error.message}`)
})

const Cache = TestCluster.layer({ nodes: 3, client: { revive: Schedule.spaced("1 second"), replicas: 100 } })

program.pipe(Effect.provide(Counters.Live.pipe(Layer.provideMerge(Cache))), NodeRuntime.runMain)
