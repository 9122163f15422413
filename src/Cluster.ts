/**
 * The managed ring: what is known of the cluster in one Ref, the pings that keep it true, and revival. The rules are pure
 * functions in `ClusterState`; here are the effects around them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as ClusterState from "./ClusterState.js"
import type { Settings } from "./GhostDBConfig.js"
import type { Fault } from "./GhostDBError.js"
import * as Protocol from "./Protocol.js"
import type { Connections } from "./Transport.js"

/**
 * What a failed attempt has come to.
 *
 * - `dead`: the node is out of the ring, the key's next live owner is to be tried.
 * - `doubtful`: the node stays, the command fails.
 * - `again`: the node speaks another dialect than was thought, the same node is to be tried.
 */
export type Verdict = "dead" | "doubtful" | "again"

export interface Cluster {
  /** What is known now. */
  readonly state: Effect.Effect<ClusterState.ClusterState>
  /** The topology as it is, then each change of it. */
  readonly topology: Stream.Stream<ClusterState.Topology>
  /** Asks a node for its dialect. Those who ask at the same time share one ping; the state stays as it is. */
  readonly ping: (node: string) => Effect.Effect<Protocol.Dialect, Fault>
  /** How to speak to a node: from its first use on. */
  readonly identify: (node: string) => Effect.Effect<Protocol.Protocol, Fault>
  /** A command has succeeded on the node. */
  readonly succeeded: (node: string) => Effect.Effect<void>
  /** A command has failed on the node, all its retries included. */
  readonly failed: (node: string, fault: Fault) => Effect.Effect<Verdict>
  /** Pings all dead nodes, unless that was done within the last second; callers at the same time share one sweep. */
  readonly sweep: Effect.Effect<void>
}

const minSweepInterval = 1000

/** The managed ring of `nodes`, which follows `changes`. Revival runs until the scope closes. */
export const make = Effect.fnUntraced(function* (
  nodes: ReadonlyArray<string>,
  changes: Stream.Stream<ReadonlyArray<string>>,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const fixed = settings.dialect === "auto" ? undefined : settings.dialect
  const ref = yield* SubscriptionRef.make(
    ClusterState.make(nodes, {
      replicas: settings.replicas,
      dialect: fixed,
      now: yield* Clock.currentTimeMillis
    })
  )
  const state = SubscriptionRef.get(ref)

  const transition = (f: (self: ClusterState.ClusterState, now: number) => ClusterState.ClusterState) =>
    Effect.flatMap(Effect.zip(Clock.currentTimeMillis, state), ([now, current]) =>
      // A thousand commands that fail on the same node change nothing after the first, and nobody is to be told.
      f(current, now) === current
        ? Effect.succeed({ before: current, after: current })
        : SubscriptionRef.modify(ref, (before) => {
            const after = f(before, now)
            return [{ before, after }, after]
          }).pipe(
            Effect.tap(({ after, before }) => logChanges(before, after)),
            Effect.uninterruptible
          )
    )

  const pings = yield* RcMap.make({
    lookup: (node: string) =>
      Effect.flatMap(connections.post(node, Protocol.ping.command, Protocol.ping.body), Protocol.ping.decode)
  })
  const ping = (node: string) =>
    Effect.map(Effect.scoped(RcMap.get(pings, node)), (dialect): Protocol.Dialect => fixed ?? dialect)

  const identify = (node: string) =>
    Effect.flatMap(state, ({ nodes }) => {
      const known = nodes.get(node)
      return known?.dialect !== undefined
        ? Effect.succeed(Protocol.forDialect(known.dialect))
        : ping(node).pipe(
            Effect.tap((dialect) => transition((self) => ClusterState.identified(self, node, dialect))),
            Effect.map(Protocol.forDialect)
          )
    })

  const failed = (node: string, fault: Fault): Effect.Effect<Verdict> => {
    const die = (why: Fault) =>
      Effect.as(
        transition((self, now) => ClusterState.died(self, node, why, now)),
        "dead" as const
      )
    if (ClusterState.classify(fault) === "down") return die(fault)
    return Effect.matchEffect(Effect.zip(state, ping(node)), {
      onFailure: () => die(fault),
      onSuccess: ([{ nodes }, dialect]) =>
        nodes.get(node)?.dialect === dialect
          ? Effect.map(
              transition((self, now) => ClusterState.doubted(self, node, fault, settings.failureThreshold, now)),
              ({ after }) => (isLive(after, node) ? "doubtful" : "dead")
            )
          : Effect.as(
              transition((self) => ClusterState.identified(self, node, dialect)),
              "again" as const
            )
    })
  }

  const flush = (node: string, dialect: Protocol.Dialect) => {
    const request = Protocol.forDialect(dialect).flush
    return Effect.filterOrFail(
      Effect.flatMap(connections.post(node, request.command, request.body), request.decode),
      (result) => result === "FLUSHED",
      (): Fault => ({ reason: "BadReply", detail: "the node did not flush" })
    )
  }

  const revive = (node: string) =>
    ping(node).pipe(
      // A raft member is brought up to date by its leader, and could not flush by itself.
      Effect.tap((dialect) =>
        settings.onRevival === "flush" && dialect !== "raft" ? flush(node, dialect) : Effect.void
      ),
      Effect.flatMap((dialect) =>
        transition((self, now) => ClusterState.revived(self, node, dialect, settings.failureThreshold, now))
      ),
      Effect.ignore
    )

  const sweepNow = Effect.flatMap(state, ({ topology }) =>
    Effect.forEach(topology.dead, ({ node }) => revive(node), { concurrency: "unbounded", discard: true })
  )

  const sweeping = yield* Effect.makeSemaphore(1)
  let lastSweep = Number.NEGATIVE_INFINITY
  const sweep = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now - lastSweep < minSweepInterval
      ? Effect.void
      : Effect.zipRight(
          sweepNow,
          Effect.map(Clock.currentTimeMillis, (end) => {
            lastSweep = end
          })
        )
  ).pipe(sweeping.withPermits(1))

  yield* ref.changes.pipe(
    Stream.map(({ topology }) => topology.dead.length > 0),
    Stream.changes,
    Stream.flatMap(
      (someDead) => (someDead ? Stream.fromEffect(Effect.schedule(sweepNow, settings.revive)) : Stream.empty),
      {
        switch: true
      }
    ),
    Stream.runDrain,
    Effect.forkScoped
  )

  yield* changes.pipe(
    Stream.runForEach((nodes) =>
      transition((self, now) => ClusterState.reloaded(self, nodes, { dialect: fixed, now })).pipe(
        Effect.flatMap(({ after, before }) =>
          Effect.forEach(
            [...before.nodes.keys()].filter((node) => !after.nodes.has(node)),
            connections.release,
            { discard: true }
          )
        )
      )
    ),
    Effect.forkScoped
  )

  return {
    state,
    topology: ref.changes.pipe(
      Stream.map(({ topology }) => topology),
      Stream.changesWith((before, after) => before === after)
    ),
    ping,
    identify,
    succeeded: (node) => transition((self) => ClusterState.succeeded(self, node)),
    failed,
    sweep
  }
})

/** Whether the node is in the ring. */
export const isLive = (state: ClusterState.ClusterState, node: string): boolean => {
  const known = state.nodes.get(node)
  return known !== undefined && known.death === undefined
}

const logChanges = (before: ClusterState.ClusterState, after: ClusterState.ClusterState): Effect.Effect<void> => {
  if (before.topology === after.topology) return Effect.void
  const logs: Array<Effect.Effect<void>> = []
  for (const { death, dialect, node } of after.nodes.values()) {
    const previous = before.nodes.get(node)
    if (previous === undefined) logs.push(Effect.logInfo("GhostDB node added").pipe(Effect.annotateLogs({ node })))
    else if (previous.death === undefined && death !== undefined) {
      const { detail, reason } = death
      logs.push(Effect.logWarning("GhostDB node died").pipe(Effect.annotateLogs({ node, reason, detail })))
    } else if (previous.death !== undefined && death === undefined) {
      logs.push(Effect.logInfo("GhostDB node revived").pipe(Effect.annotateLogs({ node, dialect })))
    }
  }
  for (const node of before.nodes.keys()) {
    if (!after.nodes.has(node)) logs.push(Effect.logInfo("GhostDB node removed").pipe(Effect.annotateLogs({ node })))
  }
  return Effect.all(logs, { discard: true })
}
