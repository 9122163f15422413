/** The handshake: a ping, which tells the dialect of a node, at its first use and whenever it is in doubt. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import type * as Protocol from "../protocol/Protocol.js"
import { closed } from "../transport/Faults.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import { request } from "./request.js"
import * as Shared from "./Shared.js"
import type { StateRef } from "./StateRef.js"

/** Pings. Each ends at `deadline`, milliseconds of the monotonic clock, at the latest. */
export interface Handshake {
  /** Asks a node for its dialect. Callers at the same time share one ping; the state stays as it is. */
  readonly ping: (node: string, deadline: number) => Effect.Effect<Dialect, Fault>
  /** The protocol of a node, by a ping at its first use. */
  readonly handshake: (node: string, deadline: number) => Effect.Effect<Protocol.Protocol, Fault>
}

/** Pings over `connections`. A configured dialect is that of all nodes, whatever they answer. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Handshake, never, Scope.Scope> {
  const { attemptTimeout, dialect: configured } = settings
  const grace = attemptTimeout * (patience - 1)
  const bounds = {
    timeout: pingTimeout(settings),
    isolated: connections.isolatesCallers === true,
    timedOut: Exit.fail(silent(attemptTimeout)),
    late: Exit.fail<Fault>({ reason: "Deadline", detail: "no answer to a ping before the command's deadline" }),
    closed: Exit.fail(closed)
  }
  const pings = yield* Shared.make<Dialect, Fault>({
    // Where the transport ends it at this deadline and not as an attempt, replies before it were still arriving.
    work: (node, endsAt) =>
      Effect.map(request(connections, node, Dialects.ping, endsAt - grace, { urgent: true }), (dialect) =>
        configured === "auto" ? dialect : configured
      ),
    ...bounds
  })
  // Thousands of commands may wait for a node's first answer: what follows it is done once.
  const firstPings = yield* Shared.make<Protocol.Protocol, Fault>({
    work: (node, endsAt) =>
      Effect.flatMap(pings.run(node, endsAt), (dialect) =>
        Effect.as(
          ref.transition((self) => ClusterState.dialectKnown(self, node, dialect)),
          Dialects.forDialect(dialect)
        )
      ),
    ...bounds
  })
  return {
    ping: pings.run,
    handshake: (node, deadline) =>
      Effect.suspend(() => {
        const dialect = ref.unsafeState().nodes.get(node)?.dialect
        return dialect === undefined ? firstPings.run(node, deadline) : Effect.succeed(Dialects.forDialect(dialect))
      })
  }
})

/** The transport ends an attempt; this much of `attemptTimeout` later the client does, should the transport not. */
export const patience = 1.25

/**
 * A ping ends after so many milliseconds at the latest: the transport ends the attempt, which may have to wait for one before
 * it that is late as well.
 */
export const pingTimeout = ({ attemptTimeout, deadline }: Settings): number =>
  Math.max(attemptTimeout * patience * 2, deadline) + attemptTimeout * (patience - 1)

const silent = (attemptTimeout: number): Fault => ({
  reason: "AttemptTimeout",
  detail: `no reply in ${attemptTimeout} ms`
})
