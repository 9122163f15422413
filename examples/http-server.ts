/**
 * An HTTP server whose routes are cached: a quote that is in the cache is answered from there, also when the service
 * behind it is down for a while. Here it asks itself for a few quotes and ends.
 */
import { createServer } from "node:http"
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema } from "effect"
import { GhostDB, GhostDBTest } from "effect-ghostdb"

class Quote extends Schema.Class<Quote>("Quote")({ symbol: Schema.String, price: Schema.Number }) {}
class NotListed extends Schema.TaggedError<NotListed>()("NotListed", { symbol: Schema.String }) {}

const quotes = GhostDB.forSchema(Quote, { prefix: "quote:", ttl: 60, expiry: "exact", onDecodeError: "miss" })

/** The service that is worth a cache: 50 ms a quote. */
const fetchQuote = (symbol: string) =>
  Console.log(`  asks for ${symbol}`).pipe(
    Effect.delay("50 millis"),
    Effect.zipRight(
      symbol === "AMZN" ? Effect.succeed(new Quote({ symbol, price: 3107.3 })) : new NotListed({ symbol })
    )
  )

const router = HttpRouter.empty.pipe(
  HttpRouter.get(
    "/quotes/:symbol",
    Effect.gen(function* () {
      const { symbol = "" } = yield* HttpRouter.params
      const quote = yield* quotes.getOrElse(symbol, fetchQuote(symbol), {
        staleFor: "10 minutes",
        failure: { schema: NotListed, ttl: 10 }
      })
      return yield* HttpServerResponse.json(quote, { headers: { "cache-control": "max-age=60" } })
    }).pipe(
      Effect.catchTags({
        NotListed: ({ symbol }) => HttpServerResponse.text(`${symbol} is not listed`, { status: 404 }),
        KeyError: (error) => HttpServerResponse.text(error.message, { status: 400 })
      })
    )
  ),
  // Whether this process may have traffic: without a cache it may, but whoever runs it should know.
  HttpRouter.get(
    "/health",
    Effect.flatMap(GhostDB.ping, (nodes) => HttpServerResponse.json({ nodes: nodes.length }))
  )
)

const ask = (url: string) =>
  Effect.flatMap(
    Effect.promise(async () => {
      const response = await fetch(url)
      return `${response.status} ${await response.text()}`
    }),
    Console.log
  )

const program = Effect.gen(function* () {
  yield* Layer.launch(HttpServer.serve(router)).pipe(Effect.forkScoped)
  yield* HttpServer.addressFormattedWith((url) =>
    Effect.forEach(
      ["/quotes/AMZN", "/quotes/AMZN", "/quotes/NONE", "/quotes/NONE", "/health"],
      (path) => ask(`${url.replace("0.0.0.0", "127.0.0.1")}${path}`),
      { discard: true }
    )
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  // In production: GhostDBLive("gdb.conf").
  Effect.provide(GhostDBTest),
  NodeRuntime.runMain
)
