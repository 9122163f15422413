/**
 * What this client has put on nodes that stood in for a dead owner. It is deleted there when the owner is back; otherwise
 * the owner's next outage would bring an old value to light.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Settings } from "../model/GhostDBConfig.js"
import * as Monotonic from "../model/Monotonic.js"
import * as Dialects from "../protocol/Dialects.js"
import type { Connections } from "../transport/Transport.js"
import type * as ClusterState from "./ClusterState.js"
import { patience } from "./Handshake.js"
import * as Routing from "./Routing.js"
import { request } from "./request.js"
import type { StateRef } from "./StateRef.js"

export interface StandIns {
  /** A write to a key goes to this node: remembered where it stands in for a dead owner. */
  readonly writing: (key: string, to: ClusterState.NodeState) => void
  /** Deletes beside the caller what can be deleted, for who isolates callers. */
  readonly sweepInPassing: Effect.Effect<void>
}

/** So many keys are remembered, whatever their size; of more, those that were written first are forgotten. */
export const maxKeys = 10_000

/** Deletes that are under way at once. */
const concurrency = 64

/**
 * The nodes on which a key can be deleted, of those that took its writes, the last one last: it does not serve the key as
 * things are, or another took a later write. A node that has become a raft member since then has none of what it was given,
 * and a delete there would be one in all its cluster.
 */
export const strays = (
  self: ClusterState.ClusterState,
  key: string,
  nodes: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const serving = Routing.route(self, key, false)
  if (typeof serving !== "object") return []
  return nodes.filter((node, at) => {
    const state = self.nodes.get(node)
    if (state === undefined || state.death !== undefined || state.dialect === "raft") return false
    return node !== serving.node || at < nodes.length - 1
  })
}

/** Remembers until the scope closes. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  connections: Connections,
  { attemptTimeout }: Settings
): Effect.fn.Return<StandIns, never, Scope.Scope> {
  const clock = yield* Effect.clock
  /** For each key the nodes that took a write of it in the place of its owner, in the order of the last write. */
  const written = new Map<string, ReadonlyArray<string>>()

  const forget = (key: string, node: string) =>
    Effect.sync(() => {
      const others = written.get(key)?.filter((other) => other !== node) ?? []
      if (others.length === 0) written.delete(key)
      else written.set(key, others)
    })

  const clean = (key: string, node: string) =>
    Effect.suspend(() => {
      const state = ref.unsafeState()
      const dialect = state.nodes.get(node)?.dialect
      if (dialect === undefined || !strays(state, key, written.get(key) ?? []).includes(node)) return Effect.void
      const deadline = Monotonic.unsafeNow(clock) + attemptTimeout * patience
      return request(connections, node, Dialects.forDialect(dialect).delete(key), deadline).pipe(
        Effect.zipRight(forget(key, node)),
        Effect.ignore
      )
    })

  const sweep = Effect.suspend(() => {
    const state = ref.unsafeState()
    const found = [...written].flatMap(([key, nodes]) => strays(state, key, nodes).map((node) => ({ key, node })))
    return Effect.forEach(found, ({ key, node }) => clean(key, node), { concurrency, discard: true })
  })
  /** The topology of the last sweep: nothing can have come back before the next one. */
  let swept: ClusterState.TopologyView | undefined
  const isDue = ({ view }: ClusterState.ClusterState) => written.size > 0 && view !== swept
  const sweepNow = Effect.suspend(() => {
    swept = ref.unsafeState().view
    return sweep
  })
  if (connections.isolatesCallers !== true) {
    yield* ref.awaitState(isDue).pipe(Effect.zipRight(sweepNow), Effect.forever, Effect.forkScoped)
  }
  return {
    sweepInPassing: Effect.suspend(() =>
      isDue(ref.unsafeState()) ? Effect.asVoid(Effect.forkDaemon(Effect.interruptible(sweepNow))) : Effect.void
    ),
    writing: (key, to) => {
      if (!Routing.isStandIn(ref.unsafeState(), key, to)) return
      const nodes = written.get(key)?.filter((node) => node !== to.node) ?? []
      written.delete(key)
      written.set(key, [...nodes, to.node])
      if (written.size <= maxKeys) return
      for (const oldest of written.keys()) {
        written.delete(oldest)
        return
      }
    }
  }
})
