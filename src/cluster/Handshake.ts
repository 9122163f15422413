/** The handshake: a ping, which tells the dialect of a node, at its first use and whenever it is in doubt. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import type { Dialect } from "../model/Dialect.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import type * as Protocol from "../protocol/Protocol.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import type { StateRef } from "./StateRef.js"

export interface Handshake {
  /** Asks a node for its dialect. Callers at the same time share one ping; the state stays as it is. */
  readonly ping: (node: string) => Effect.Effect<Dialect, Fault>
  /** The protocol of a node, by a ping at its first use. */
  readonly handshake: (node: string) => Effect.Effect<Protocol.Protocol, Fault>
}

/** Pings over `connections`. `fixed` is the dialect of all nodes where it is configured. */
export const make = (
  ref: StateRef,
  connections: Connections,
  fixed: Dialect | undefined
): Effect.Effect<Handshake, never, Scope.Scope> =>
  Effect.map(
    RcMap.make({
      lookup: (node: string) =>
        Effect.flatMap(connections.post(node, Dialects.ping.command, Dialects.ping.body), Dialects.ping.decode)
    }),
    (pings) => {
      const ping = (node: string) =>
        Effect.scoped(RcMap.get(pings, node)).pipe(
          orElseClosed(() => Effect.fail(closed)),
          Effect.map((dialect): Dialect => fixed ?? dialect)
        )
      return {
        ping,
        handshake: (node) =>
          Effect.flatMap(ref.state, ({ nodes }) => {
            const dialect = nodes.get(node)?.dialect
            return dialect !== undefined
              ? Effect.succeed(Dialects.forDialect(dialect))
              : ping(node).pipe(
                  Effect.tap((dialect) => ref.transition((self) => ClusterState.dialectKnown(self, node, dialect))),
                  Effect.map(Dialects.forDialect)
                )
          })
      }
    }
  )

const closed: Fault = { reason: "Reset", detail: "the connection was closed by the client" }

/** An RcMap interrupts those who ask it once its scope has closed: this tells them so instead. */
export const orElseClosed =
  <B, E2>(other: () => Effect.Effect<B, E2>) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A | B, E | E2> =>
    Effect.catchSomeCause(self, (cause) =>
      Cause.isInterruptedOnly(cause) ? Option.some(other()) : Option.none<Effect.Effect<B, E2>>()
    )
