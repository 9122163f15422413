/** A quote cache: looks a quote up, fetches it on a miss, and does without the cache when that is down. */
import { FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Option } from "effect"
import { GhostDB, GhostDBLive, NodeServer } from "effect-ghostdb"

type Quote = { readonly symbol: string; readonly price: number }

const fetchQuote = (symbol: string): Effect.Effect<Quote> =>
  Console.log(`  fetching ${symbol}`).pipe(Effect.as({ symbol, price: 3107.3 }), Effect.delay("100 millis"))

const quote = (symbol: string) =>
  GhostDB.get(symbol).pipe(
    Effect.flatMap(
      Option.match({
        onSome: Effect.succeed,
        onNone: () => fetchQuote(symbol).pipe(Effect.tap((q) => GhostDB.put(symbol, q, 300)))
      })
    ),
    Effect.catchTag("NoMoreServers", () => fetchQuote(symbol))
  )

const program = Effect.gen(function* () {
  yield* Console.log("first:", yield* quote("AMZN"))
  yield* Console.log("second:", yield* quote("AMZN"))
})

// A cluster of one's own would be `GhostDBLive("gdb.conf")` and nothing else.
const Cache = Layer.unwrapScoped(
  Effect.gen(function* () {
    const servers = yield* NodeServer.cluster({ nodes: 3 })
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.makeTempFileScoped({ prefix: "gdb.conf" })
    yield* fs.writeFileString(file, servers.map(({ address }) => address).join("\n"))
    return GhostDBLive(file)
  })
)

program.pipe(Effect.provide(Layer.provide(Cache, NodeContext.layer)), NodeRuntime.runMain)
