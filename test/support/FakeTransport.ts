import { Effect, Layer } from "effect"
import { Transport } from "effect-ghostdb"

type Post = Transport.Connections["post"]

/** A transport whose nodes are a function. */
export const layer = (
  post: (node: string, command: string, body: string) => ReturnType<Post>,
  connections: Partial<Transport.Connections> = {}
): Layer.Layer<Transport.Transport> =>
  Layer.succeed(Transport.Transport, {
    connect: () =>
      Effect.succeed({
        post: (node, command, body) =>
          Effect.suspend(() => post(node, command, String(typeof body === "function" ? body() : body))),
        interrupt: () => Effect.void,
        release: () => Effect.void,
        ...connections
      })
  })

/** A v2 reply with this message and a value of 1. */
export const reply = (message: string) => ({
  status: 200,
  body: `{"Gobj":{"Key":"","Value":1,"TTL":-1},"Status":1,"Message":"${message}","Error":""}`
})

/** A v2 node to which every get is a hit. */
export const hit: Post = (_, command) => Effect.succeed(reply(command === "ping" ? "Pong!" : "OK"))
