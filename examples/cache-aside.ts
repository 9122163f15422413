/**
 * Cache-aside: one run for many callers, a stale value while it is refreshed, an absence that is remembered, one
 * process at a time, tags, and an outage that costs nothing but speed.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Schema } from "effect"
import { GhostDB, TestCluster } from "effect-ghostdb"

class Quote extends Schema.Class<Quote>("Quote")({ symbol: Schema.String, price: Schema.Number }) {}
class NotListed extends Schema.TaggedError<NotListed>()("NotListed", { symbol: Schema.String }) {}

let fetches = 0

/** The slow service that is worth a cache. */
const fetchQuote = (symbol: string) =>
  Effect.sync(() => ++fetches).pipe(
    Effect.delay("50 millis"),
    Effect.flatMap((count) =>
      symbol.length > 4 ? new NotListed({ symbol }) : Effect.succeed(new Quote({ symbol, price: 100 + count }))
    )
  )

const quotes = GhostDB.forSchema(Quote, { prefix: "quote:", ttl: Duration.millis(200), expiry: "exact" })

const quote = (symbol: string) =>
  quotes.getOrElse(symbol, fetchQuote(symbol), {
    staleFor: "1 minute",
    failure: { schema: NotListed, ttl: 10 },
    lock: { lease: "5 seconds" }
  })

/** Refreshed before it expires, so that no caller waits; ended by its tag, for all processes. */
const rates = GhostDB.forSchema(Schema.Number, {
  prefix: "rate:",
  ttl: "1 minute",
  expiry: "exact",
  refreshAhead: true,
  tags: ["rates"]
})
let published = 0
const publish = Effect.sync(() => ++published)

const program = Effect.gen(function* () {
  yield* Effect.all(
    Array.from({ length: 1000 }, () => quote("AMZN")),
    { concurrency: "unbounded" }
  )
  yield* Console.log(`1,000 callers, ${fetches} fetch`)

  yield* Effect.sleep("250 millis")
  const stale = yield* quote("AMZN")
  yield* Effect.sleep("150 millis")
  const fresh = yield* quote("AMZN")
  yield* Console.log(`expired: ${stale.price} at once, and ${fresh.price} a little later`)

  const before = fetches
  for (let i = 0; i < 3; i++) yield* Effect.flip(quote("NOTHING"))
  yield* Console.log(`asked 3 times for what is not listed, ${fetches - before} fetch`)

  yield* rates.getOrElse("EUR", publish)
  yield* rates.getOrElse("EUR", publish)
  yield* GhostDB.expireTags(["rates"])
  yield* Console.log(`the rate before and after its tag has expired: 1 and ${yield* rates.getOrElse("EUR", publish)}`)

  const cluster = yield* TestCluster
  yield* Effect.forEach(cluster.nodes, cluster.stop)
  const { price } = yield* quote("AMZN")
  yield* Console.log(`all nodes are down: ${price}, from the service itself`)

  // For a single effect there is no need of a store.
  const rate = Effect.succeed(1.08).pipe(GhostDB.cached("rate:EUR-USD", { schema: Schema.Number, ttl: 60 }))
  yield* Console.log(`a rate: ${yield* rate}`)
})

program.pipe(Effect.provide(TestCluster.layer({ nodes: 3 })), NodeRuntime.runMain)
