/** A Worker whose requests share one client of the nodes that its bindings name. */
import { connect } from "cloudflare:sockets"
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import * as Client from "effect-ghostdb/Client"
import * as FetchTransport from "effect-ghostdb/FetchTransport"
import * as GhostDB from "effect-ghostdb/GhostDB"

const makeRuntime = (nodes: string) =>
  ManagedRuntime.make(
    Client.layer({ nodes: nodes.split(",") }).pipe(Layer.provide(FetchTransport.layerWith({ connect })))
  )
let runtime: ReturnType<typeof makeRuntime> | undefined

const numbers = GhostDB.forSchema(Schema.Number, { ttl: 60 })
const load = Effect.delay(Effect.succeed(7), "20 millis")

/** A value that all requests look up, and what became of a command. */
const answer = (key: string) =>
  Effect.all({
    value: numbers.getOrElse("shared", load),
    failures: Effect.match(GhostDB.put(key, 1, 60), {
      onFailure: (error) =>
        error._tag === "NoMoreServers" ? error.failures.map(({ reason }) => reason) : [error._tag],
      onSuccess: () => []
    })
  })

export default {
  fetch: async (request: Request, env: { readonly NODES: string }): Promise<Response> => {
    runtime ??= makeRuntime(env.NODES)
    return Response.json(await runtime.runPromise(answer(request.url)))
  }
}
