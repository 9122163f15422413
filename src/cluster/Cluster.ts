/**
 * The cluster of one client: what is known of it in one place, and the parts that keep that true. The rules are pure
 * functions in `ClusterState`; here are the effects around them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Topology } from "../model/Topology.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import * as Delays from "./Delays.js"
import * as Handshake from "./Handshake.js"
import * as LeaderSearch from "./LeaderSearch.js"
import * as Revival from "./Revival.js"
import * as StandIns from "./StandIns.js"
import * as StateRef from "./StateRef.js"
import * as Suspicion from "./Suspicion.js"

/** What a client knows of its cluster, and asks of it. */
export interface Cluster
  extends Pick<StateRef.StateRef, "state" | "unsafeState">,
    Handshake.Handshake,
    Revival.Revival,
    LeaderSearch.LeaderSearch,
    StandIns.StandIns,
    Suspicion.Suspicion,
    Pick<Delays.Delays, "delay"> {
  /** A connection to the node was lost, refused or reset, or it did not answer: it does not lead until it is asked. */
  readonly disconnected: (node: string) => Effect.Effect<void>
  /** The connection to the node was closed since it was idle: whether it is restarted later is not seen, so that it is asked. */
  readonly unwatched: (node: string) => Effect.Effect<void>
  /** The topology as it is, then its changes: the latest alone for a consumer that is slow. */
  readonly topology: Stream.Stream<Topology>
}

/** The cluster of `nodes`, which follows `changes`. Revival runs until the scope closes. */
export const make = Effect.fnUntraced(function* (
  nodes: ReadonlyArray<string>,
  changes: Stream.Stream<ReadonlyArray<string>>,
  transport: Connections,
  settings: Settings
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const dialect = settings.dialect === "auto" ? undefined : settings.dialect
  const ref = yield* StateRef.make(
    ClusterState.make(nodes, { replicas: settings.replicas, dialect, now: yield* Clock.currentTimeMillis })
  )
  const { connections, delay } = yield* Delays.make(transport)
  const handshake = yield* Handshake.make(ref, connections, settings)
  const revival = yield* Revival.make(ref, handshake, connections, settings)
  const suspicion = yield* Suspicion.make(ref, handshake, connections, settings)
  const leaderSearch = yield* LeaderSearch.make(ref, handshake, revival, suspicion, connections, settings)
  yield* Effect.forkScoped(follow(ref, changes, connections, dialect))
  return {
    state: ref.state,
    unsafeState: ref.unsafeState,
    ...handshake,
    ...revival,
    ...leaderSearch,
    ...suspicion,
    delay,
    ...(yield* StandIns.make(ref, connections, settings)),
    disconnected: (node) => ref.transition((self) => ClusterState.disconnected(self, node)),
    unwatched: (node) => ref.transition((self) => ClusterState.leaderLost(self, node)),
    topology: ref.states.pipe(
      Stream.map(({ view }) => view),
      Stream.changesWith((before, after) => before === after),
      Stream.map(({ topology }) => topology)
    )
  }
})

/** Applies each change of the list of nodes, and closes the connections to those that have left. */
const follow = (
  ref: StateRef.StateRef,
  changes: Stream.Stream<ReadonlyArray<string>>,
  connections: Connections,
  dialect: Dialect | undefined
): Effect.Effect<void> =>
  Stream.runForEach(changes, (nodes) =>
    ref
      .transition((self, now) => ClusterState.reloaded(self, nodes, { dialect, now }))
      .pipe(
        Effect.flatMap(({ after, before }) =>
          Effect.forEach(
            [...before.nodes.keys()].filter((node) => !after.nodes.has(node)),
            connections.release,
            { discard: true }
          )
        )
      )
  )
