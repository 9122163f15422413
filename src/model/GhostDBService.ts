import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { KeyError, NoMoreServers } from "./GhostDBError.js"
import type { Json, Storable } from "./Json.js"
import type { Metrics, SnitchMetrics, WatchdogMetrics } from "./Metrics.js"
import type { Topology } from "./Topology.js"
import type { Ttl } from "./Ttl.js"

/**
 * The answer to a `put` or an `add`.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreResult = "STORED" | "NOT_STORED"

/**
 * The answer to a `delete`.
 *
 * @category models
 * @since 0.1.0
 */
export type DeleteResult = "REMOVED" | "NOT_FOUND"

/**
 * The answer to a `flush`: `ERR_FLUSH` when any node was not emptied.
 *
 * @category models
 * @since 0.1.0
 */
export type FlushResult = "FLUSHED" | "ERR_FLUSH"

/**
 * The commands on one key: what a decorator of the service usually changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface DataCommands {
  /** The value of a key, none on a miss. A stored `null` is `Option.some(null)`. */
  readonly get: (key: string) => Effect.Effect<Option.Option<Json>, NoMoreServers | KeyError>
  /**
   * Stores a value, over the one that is there. `NOT_STORED` when the request is larger than `maxRequestBytes`.
   *
   * A value that cannot be serialised at run time, as one with a cycle, is a defect that names the key.
   *
   * @param ttl default -1: the entry never expires
   */
  readonly put: <A>(key: string, value: Storable<A>, ttl?: Ttl) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /**
   * Stores a value where the key has none; `NOT_STORED` where it has.
   *
   * At least once: where the reply to an `add` that stored is lost, it is tried again and answers `NOT_STORED` for the
   * caller's own value.
   *
   * @param ttl default -1: the entry never expires
   */
  readonly add: <A>(key: string, value: Storable<A>, ttl?: Ttl) => Effect.Effect<StoreResult, NoMoreServers | KeyError>
  /** Removes a key. `NOT_FOUND` where it had no value. */
  readonly delete: (key: string) => Effect.Effect<DeleteResult, NoMoreServers | KeyError>
}

/**
 * The commands. Each ends within `deadline`, and none fails because one node is down.
 *
 * @category models
 * @since 0.1.0
 */
export interface GhostDBService extends DataCommands {
  /**
   * Empties every live node, for all its clients; a raft cluster through its leader. `ERR_FLUSH` when any of them did not
   * flush.
   */
  readonly flush: Effect.Effect<FlushResult, NoMoreServers>
  /** Asks every configured node, the dead ones included, and lists those that answer, in the order of the nodes file. */
  readonly ping: Effect.Effect<ReadonlyArray<string>>
  /**
   * The number of entries in a node; none where the node is not in the cluster or is a v1 server. Of a raft member it is
   * its leader's number: all members hold the same.
   */
  readonly nodeSize: (node: string) => Effect.Effect<Option.Option<number>, NoMoreServers>
  /**
   * The leader of a raft cluster, asked anew; none while there is none, and in clusters of v1 and v2 nodes, which have
   * none.
   */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** System metrics of each live node: memory, collections, goroutines. */
  readonly getSnitchMetrics: Effect.Effect<Metrics<SnitchMetrics>, NoMoreServers>
  /** Application metrics of each live node: requests and their outcomes. Empty for raft nodes, which keep none. */
  readonly getWatchdogMetrics: Effect.Effect<Metrics<WatchdogMetrics>, NoMoreServers>
  /** The live and the dead nodes as they are, then each change. Ends with the layer's scope or its consumer. */
  readonly topology: Stream.Stream<Topology>
}
