/**
 * Sends bytes to a node and returns its bytes. It does not know what they mean, or what follows a failure.
 */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Body, JsonText, Reply } from "../model/Exchange.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Caller } from "./Caller.js"

export { type Body, type JsonText, type Reply, textOf, withheld } from "../model/Exchange.js"
export type { Caller } from "./Caller.js"

/**
 * The settings that a transport follows.
 *
 * @category models
 * @since 0.1.0
 */
export type TransportSettings = Pick<
  Settings,
  | "port"
  | "protocol"
  | "attemptTimeout"
  | "connections"
  | "idleTimeout"
  | "pipelining"
  | "headers"
  | "tls"
  | "maxReplyBytes"
>

/**
 * One request, and how its command goes on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange<A, E> {
  /** Makes the body when it can be written, and again if it is sent again; undefined withholds it, see {@link Body}. */
  readonly body: () => JsonText | undefined
  /** The command goes on with what this makes of the reply. Called where the reply is read, outside of any fiber. */
  readonly onReply: (reply: Reply) => Effect.Effect<A, E>
  /** The same of a failure. */
  readonly onFault: (fault: Fault) => Effect.Effect<A, E>
}

/**
 * Many requests of one command to one node, each known by its index.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchanges {
  /** How many there are. Their indices are 0 to one less. */
  readonly size: number
  /**
   * Makes the body of one when it can be written, and again if it is sent again; undefined withholds it: it is not sent,
   * and has no outcome. It must not throw.
   */
  readonly body: (index: number) => JsonText | undefined
  /** The reply to one. For each index, either this or `onFault` is called, once. */
  readonly onReply: (index: number, reply: Reply) => void
  /** One has failed. */
  readonly onFault: (index: number, fault: Fault) => void
}

/**
 * The connections of one client to its nodes, made when they are first needed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connections {
  /**
   * Whether what one caller has started must not be waited for by another, as on Cloudflare Workers, where the work of a
   * request ends with it. A client then shares no work between its commands, and does nothing in the background: what it
   * would do there, commands do in passing. Default: false.
   */
  readonly isolatesCallers?: boolean
  /**
   * Posts a JSON document to `/<command>` on a node and waits for the whole reply, for `attemptTimeout` at most from when
   * it was written, or since there was progress on its connection. `node` is an address as a nodes file holds it.
   *
   * It ends at `deadline` at the latest, without an interruption: milliseconds of the monotonic clock
   * (`Clock.currentTimeNanos`). Without one, only the attempt is bounded. Interrupting it disturbs no other request on
   * the connection.
   *
   * An urgent request, which asks whether the node is alive, is sent before those that wait, where the transport has a
   * queue of its own.
   */
  readonly post: (
    node: string,
    command: string,
    body: Body,
    deadline?: number,
    options?: { readonly urgent?: boolean }
  ) => Effect.Effect<Reply, Fault>
  /**
   * A `post` and what follows it, for a transport that can call {@link Exchange} from where the reply is read: the fiber
   * then takes fewer steps. `caller` is the fiber that runs it, where an interruption ends the wait.
   *
   * Absent in a transport that could only call `post`.
   */
  readonly exchange?: <A, E>(
    node: string,
    command: string,
    exchange: Exchange<A, E>,
    deadline: number,
    caller: Caller
  ) => Effect.Effect<A, E>
  /**
   * Starts many posts of one command, each with the same bounds and in the same queue as a `post`, and does not wait for
   * them. It returns a function that withdraws those without an outcome: they are not reported any more, and those
   * that have not been written are not written.
   *
   * Absent in a transport that could only call `post` many times.
   */
  readonly postMany?: (
    node: string,
    command: string,
    exchanges: Exchanges,
    deadline: number
  ) => Effect.Effect<() => void>
  /**
   * Ends every request under way to a node with `Reset`, at once, and closes its connections; for a node that has been
   * found dead. Later requests are posted as usual.
   */
  readonly interrupt: (node: string) => Effect.Effect<void>
  /** Closes the connections to a node that has left the cluster. Requests in flight on them fail with `Reset`. */
  readonly release: (node: string) => Effect.Effect<void>
}

/**
 * How a client connects to its nodes.
 *
 * @category service
 * @since 0.1.0
 */
export class Transport extends Context.Tag("effect-ghostdb/Transport")<
  Transport,
  {
    /**
     * The connections close with the scope. `onDisconnect` is called when a connection to a node is lost, refused or reset,
     * before its requests fail: the node may have been restarted. It is called with `isIdle` when the last one was closed
     * here since it was idle: whether the node is restarted later is not seen. A transport that cannot see that never
     * calls it.
     */
    readonly connect: (
      settings: TransportSettings,
      onDisconnect?: (node: string, isIdle?: boolean) => void
    ) => Effect.Effect<Connections, never, Scope.Scope>
  }
>() {}
