/** An exchange over a transport that has no better way: a post, and what follows it. */
import * as Effect from "effect/Effect"
import type { Connections } from "./Transport.js"

/** The transport's own `exchange`, or one made of its `post`. */
export const of = ({ exchange, post }: Connections): NonNullable<Connections["exchange"]> =>
  exchange ??
  ((node, command, exchange, deadline) =>
    Effect.matchEffect(
      post(node, command, () => exchange.body(), deadline),
      { onFailure: (fault) => exchange.onFault(fault), onSuccess: (reply) => exchange.onReply(reply) }
    ))
