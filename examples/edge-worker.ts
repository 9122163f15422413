/**
 * A Cloudflare Worker with a cache. The client is made for each request. That costs no round trip, since the `dialect` is
 * said and a client opens its connections when it needs them; a client that requests share would remember dead nodes.
 *
 * `wrangler dev examples/edge-worker.ts --var GHOSTDB_NODES:10.0.0.1,10.0.0.2` runs it. It imports the entry points that
 * load no module of Node.js, and of the commands the bundle has those that are used.
 */
import { Console, Effect, Layer, Schema } from "effect"
import * as Client from "effect-ghostdb/Client"
import * as FetchTransport from "effect-ghostdb/FetchTransport"
import * as GhostDB from "effect-ghostdb/GhostDB"

interface Env {
  /** Addresses, with a comma between them. */
  readonly GHOSTDB_NODES: string
}

class Quote extends Schema.Class<Quote>("Quote")({ symbol: Schema.String, price: Schema.Number }) {}

const fetchQuote = (symbol: string) => Effect.delay(Effect.succeed(new Quote({ symbol, price: 3107.3 })), "50 millis")

const quotes = GhostDB.forSchema(Quote, { prefix: "quote:", ttl: 300, onDecodeError: "miss" })

const cache = (env: Env) =>
  Client.layer({
    nodes: env.GHOSTDB_NODES.split(","),
    dialect: "v2",
    // A cache that is slower than what it saves is none.
    attemptTimeout: "200 millis",
    deadline: "500 millis"
  }).pipe(Layer.provide(FetchTransport.layer))

const handle = (request: Request) => {
  const symbol = new URL(request.url).pathname.slice(1)
  // Where no node answers, the quote is fetched all the same.
  return Effect.map(quotes.getOrElse(symbol, fetchQuote(symbol)), (quote) => Response.json(quote))
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> =>
    handle(request).pipe(
      Effect.provide(cache(env)),
      Effect.catchTag("NodesFileError", (error) =>
        Effect.as(Console.error(error.message), new Response("GHOSTDB_NODES names no nodes", { status: 500 }))
      ),
      Effect.orDie,
      Effect.runPromise
    )
}
