/**
 * The managed ring: what is known of the cluster in one Ref, the pings that keep it true, and revival. The rules are pure
 * functions in `ClusterState`; here are the effects around them.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as MutableRef from "effect/MutableRef"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as NodesFile from "../discovery/NodesFile.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Protocol from "../protocol/Protocol.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"

/**
 * What a failed attempt has come to.
 *
 * - `dead`: the node is out of the ring, the key's next live owner is to be tried.
 * - `doubtful`: the node stays, the command fails.
 * - `again`: the node speaks another dialect than was thought, the same node is to be tried.
 * - `elsewhere`: the node does not lead its raft cluster, the leader is to be found.
 */
export type Verdict = "dead" | "doubtful" | "again" | "elsewhere"

export interface Cluster {
  /** What is known now. */
  readonly state: Effect.Effect<ClusterState.ClusterState>
  /** The same, at once. */
  readonly unsafeState: () => ClusterState.ClusterState
  /** The topology as it is, then each change of it. */
  readonly topology: Stream.Stream<ClusterState.Topology>
  /** Asks a node for its dialect. Those who ask at the same time share one ping; the state stays as it is. */
  readonly ping: (node: string) => Effect.Effect<Protocol.Dialect, Fault>
  /** How to speak to a node: from its first use on. */
  readonly identify: (node: string) => Effect.Effect<Protocol.Protocol, Fault>
  /** A command has succeeded on the node. */
  readonly succeeded: (node: string) => Effect.Effect<void>
  /** A command has failed on the node, all its retries included. `spoken` is the dialect of the last, if it got so far. */
  readonly failed: (node: string, fault: Fault, spoken: Protocol.Dialect | undefined) => Effect.Effect<Verdict>
  /** A command has run out of time between attempts on the node: the same, but there is no time for a ping either. */
  readonly abandoned: (node: string, fault: Fault) => Effect.Effect<void>
  /**
   * Asks the raft members among the live nodes for their leader, unless that came to nothing a moment ago; callers at the
   * same time share the question.
   */
  readonly findLeader: Effect.Effect<Option.Option<string>>
  /** Pings all dead nodes, unless that was done within the last second; callers at the same time share one sweep. */
  readonly sweep: Effect.Effect<void>
}

const minSweepInterval = 1000
const minSearchInterval = 50

/** The managed ring of `nodes`, which follows `changes`. Revival runs until the scope closes. */
export const make = Effect.fnUntraced(function* (
  nodes: ReadonlyArray<string>,
  changes: Stream.Stream<ReadonlyArray<string>>,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Cluster, never, Scope.Scope> {
  const fixed = settings.dialect === "auto" ? undefined : settings.dialect
  // A SubscriptionRef in its parts: commands read the state without an Effect, transitions need no lock, and those who
  // follow the changes come to an end with the scope.
  const ref = MutableRef.make(
    ClusterState.make(nodes, {
      replicas: settings.replicas,
      dialect: fixed,
      now: yield* Clock.currentTimeMillis
    })
  )
  const published = yield* Effect.acquireRelease(PubSub.unbounded<ClusterState.ClusterState>(), PubSub.shutdown)
  const state = Effect.sync(() => MutableRef.get(ref))
  const states = Stream.unwrapScoped(
    Effect.map(PubSub.subscribe(published), (later) =>
      Stream.concat(Stream.succeed(MutableRef.get(ref)), Stream.fromQueue(later))
    )
  )
  yield* Effect.acquireRelease(
    Effect.sync(() => countNodes(undefined, MutableRef.get(ref))),
    () => Effect.sync(() => countNodes(MutableRef.get(ref), undefined))
  )

  const transition = (f: (self: ClusterState.ClusterState, now: number) => ClusterState.ClusterState) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const before = MutableRef.get(ref)
      const after = f(before, now)
      if (after === before) return Effect.succeed({ before, after })
      MutableRef.set(ref, after)
      published.unsafeOffer(after)
      countNodes(before, after)
      return Effect.as(logChanges(before, after), { before, after })
    }).pipe(Effect.uninterruptible)

  const pings = yield* RcMap.make({
    lookup: (node: string) =>
      Effect.flatMap(connections.post(node, Protocol.ping.command, Protocol.ping.body), Protocol.ping.decode)
  })
  const ping = (node: string) =>
    Effect.scoped(RcMap.get(pings, node)).pipe(
      orElseClosed(() => Effect.fail(closed)),
      Effect.map((dialect): Protocol.Dialect => fixed ?? dialect)
    )

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

  const die = (node: string, why: Fault) =>
    Effect.as(
      transition((self, now) => ClusterState.died(self, node, why, now)),
      "dead" as const
    )
  const doubt = (node: string, fault: Fault) =>
    Effect.map(
      transition((self, now) => ClusterState.doubted(self, node, fault, settings.failureThreshold, now)),
      ({ after }) => (isLive(after, node) ? ("doubtful" as const) : ("dead" as const))
    )

  const failed = (node: string, fault: Fault, spoken: Protocol.Dialect | undefined): Effect.Effect<Verdict> => {
    const fall = ClusterState.classify(fault)
    if (fall === "down") return die(node, fault)
    if (fall === "misdirected") {
      return Effect.as(
        transition((self) => ClusterState.deposed(self, node)),
        "elsewhere" as const
      )
    }
    return Effect.flatMap(state, ({ nodes }) => {
      // It has left the cluster, and is none of the client's business any more.
      if (!nodes.has(node)) return Effect.succeed("dead" as const)
      return Effect.matchEffect(ping(node), {
        onFailure: () => die(node, fault),
        onSuccess: (dialect) =>
          spoken === dialect
            ? doubt(node, fault)
            : Effect.as(
                transition((self) => ClusterState.identified(self, node, dialect)),
                "again" as const
              )
      })
    })
  }

  const abandoned = (node: string, fault: Fault) => {
    const fall = ClusterState.classify(fault)
    return fall === "misdirected" ? Effect.void : Effect.asVoid(fall === "down" ? die(node, fault) : doubt(node, fault))
  }

  const ask = <A>(node: string, request: Protocol.Request<A>) =>
    Effect.flatMap(connections.post(node, request.command, request.body), request.decode)

  const flush = (node: string, dialect: Protocol.Dialect) =>
    Effect.filterOrFail(
      ask(node, Protocol.forDialect(dialect).flush),
      (result) => result === "FLUSHED",
      (): Fault => ({ reason: "BadReply", detail: "the node did not flush" })
    )

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

  /** Comes to those that were dead when it began. */
  const sweepNow = Effect.flatMap(state, ({ topology: { dead } }) =>
    Effect.as(
      Effect.forEach(dead, ({ node }) => revive(node), { concurrency: "unbounded", discard: true }),
      dead
    )
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

  /** What raft members answer, as it comes; nothing of those that fail, and of nodes that are none. */
  const askMembers = <A>(nodes: ReadonlyArray<string>, say: (protocol: Protocol.Protocol) => Protocol.Request<A>) =>
    Stream.fromIterable(nodes).pipe(
      Stream.mapEffect(
        (node) =>
          identify(node).pipe(
            Effect.filterOrFail(({ dialect }) => dialect === "raft"),
            Effect.flatMap((protocol) => ask(node, say(protocol))),
            Effect.map((answer) => ({ node, answer })),
            Effect.option
          ),
        { concurrency: "unbounded", unordered: true }
      ),
      Stream.filterMap((answer) => answer)
    )

  /** The one that does what only a leader does. */
  const leading = (nodes: ReadonlyArray<string>) =>
    Stream.runHead(askMembers(nodes, (protocol) => protocol.nodeSize)).pipe(
      Effect.flatten,
      Effect.map(({ node }) => node)
    )

  let searchAgainAt = Number.NEGATIVE_INFINITY
  const scope = yield* Effect.scope
  // Members tell the leader's raft address, whose port says nothing of HTTP: its host says who is asked first.
  const search = Effect.gen(function* () {
    const { live } = (yield* state).topology
    const nodes = live.map(({ node }) => node)
    const hosts = new Set<string>()
    const found = yield* askMembers(nodes, (protocol) => protocol.getLeader).pipe(
      Stream.filterMap(({ answer }) => Option.map(answer, (address) => hostOf(address, settings.port))),
      Stream.filter((host) => !hosts.has(host)),
      Stream.tap((host) => Effect.sync(() => hosts.add(host))),
      Stream.mapEffect((host) => {
        const [others, named] = Arr.partition(nodes, (node) => hostOf(node, settings.port) === host)
        return Effect.option(Effect.orElse(leading(named), () => leading(others)))
      }),
      Stream.filterMap((leader) => leader),
      Stream.runHead
    )
    if (Option.isSome(found)) {
      const { after } = yield* transition((self) => ClusterState.led(self, found.value))
      return Option.fromNullable(after.leader)
    }
    // A leader that is no live node may be a dead one that is back.
    if (hosts.size > 0) yield* Effect.forkIn(sweep, scope)
    searchAgainAt = (yield* Clock.currentTimeMillis) + minSearchInterval
    return Option.none()
  })
  const searches = yield* RcMap.make({ lookup: (_: "leader") => search })
  const findLeader = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now < searchAgainAt ? Effect.succeedNone : Effect.scoped(RcMap.get(searches, "leader"))
  )

  const deaths = Stream.map(states, ({ topology }) => topology.dead)
  // The schedule runs from a death until no node is dead, and where it ends, again from the death of another.
  const revival = (asked: ReadonlyArray<ClusterState.DeadNode>) =>
    deaths.pipe(
      Stream.filter((dead) => dead.some(({ failure }) => asked.every((other) => other.failure !== failure))),
      Stream.runHead,
      Effect.map(Option.getOrElse(() => asked)),
      Effect.flatMap((dead) =>
        Stream.fromSchedule(settings.revive).pipe(
          Stream.mapEffect(() => sweepNow),
          Stream.runLast,
          Effect.map(Option.getOrElse(() => dead)),
          Effect.raceFirst(Stream.runHead(Stream.filter(deaths, Arr.isEmptyReadonlyArray)).pipe(Effect.as(dead)))
        )
      )
    )
  yield* Effect.forkScoped(Effect.iterate(Arr.empty<ClusterState.DeadNode>(), { while: () => true, body: revival }))

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

  // Commands that outlive the scope find no node: none waits for one, and none calls one dead.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      const before = MutableRef.get(ref)
      const after = ClusterState.make([], { replicas: settings.replicas, dialect: fixed, now: 0 })
      MutableRef.set(ref, after)
      countNodes(before, after)
    })
  )

  return {
    state,
    unsafeState: () => MutableRef.get(ref),
    topology: states.pipe(
      Stream.map(({ topology }) => topology),
      Stream.changesWith((before, after) => before === after)
    ),
    ping,
    identify,
    succeeded: (node) => transition((self) => ClusterState.succeeded(self, node)),
    failed,
    abandoned,
    findLeader: findLeader.pipe(orElseClosed(() => Effect.succeedNone)),
    sweep
  }
})

const closed: Fault = { reason: "Reset", detail: "the connection was closed by the client" }

/** An RcMap interrupts those who ask it once its scope has closed: this tells them so instead. */
const orElseClosed =
  <B, E2>(other: () => Effect.Effect<B, E2>) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A | B, E | E2> =>
    Effect.catchSomeCause(self, (cause) =>
      Cause.isInterruptedOnly(cause) ? Option.some(other()) : Option.none<Effect.Effect<B, E2>>()
    )

const countNodes = (
  before: ClusterState.ClusterState | undefined,
  after: ClusterState.ClusterState | undefined
): void => {
  const count = (state: ClusterState.ClusterState | undefined, list: "live" | "dead") =>
    state?.topology[list].length ?? 0
  Telemetry.nodesChanged(count(after, "live") - count(before, "live"), count(after, "dead") - count(before, "dead"))
}

const hostOf = (address: string, port: number): string => NodesFile.parseAddress(address, port).host

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
  if (after.leader !== undefined && after.leader !== before.leader) {
    logs.push(Effect.logInfo("GhostDB leader changed").pipe(Effect.annotateLogs({ node: after.leader })))
  }
  const { placement } = after.topology
  if (placement !== before.topology.placement) {
    logs.push(
      placement === "mixed"
        ? Effect.logWarning("GhostDB nodes are mixed: the ring decides which keys are the raft cluster's")
        : Effect.logDebug("GhostDB placement changed").pipe(Effect.annotateLogs({ placement }))
    )
  }
  for (const node of before.nodes.keys()) {
    if (!after.nodes.has(node)) logs.push(Effect.logInfo("GhostDB node removed").pipe(Effect.annotateLogs({ node })))
  }
  return Effect.all(logs, { discard: true })
}
