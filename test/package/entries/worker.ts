/** The contract over `FetchTransport` within a Worker, whose bindings name the nodes. */
import { Layer } from "effect"
import * as Client from "effect-ghostdb/Client"
import * as FetchTransport from "effect-ghostdb/FetchTransport"
import { contract } from "../contract.js"

const client = (nodes: string) => Layer.provide(Client.layer({ nodes: nodes.split(",") }), FetchTransport.layer)

export default {
  fetch: async (_: Request, env: { readonly LIVE: string; readonly DEAD: string }): Promise<Response> =>
    Response.json(await contract({ live: client(env.LIVE), dead: client(env.DEAD) }))
}
