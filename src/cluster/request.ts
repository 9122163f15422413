import * as Effect from "effect/Effect"
import type { Fault } from "../model/GhostDBError.js"
import type * as Protocol from "../protocol/Protocol.js"
import type { Connections } from "../transport/Transport.js"

/** Posts a request of the client's own, and decodes its reply. */
export const request = <A>(
  connections: Connections,
  node: string,
  { command, decode, encode }: Omit<Protocol.Request<A>, "whenTooLarge">,
  deadline?: number,
  options?: { readonly urgent?: boolean }
): Effect.Effect<A, Fault> =>
  Effect.flatMap(connections.post(node, command, encode, deadline, options), (reply) => {
    const decoded = decode(reply)
    return decoded.ok ? Effect.succeed(decoded.answer) : Effect.fail(decoded.fault)
  })
