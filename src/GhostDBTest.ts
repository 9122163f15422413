/** The client over nodes in memory: the same commands, ring, protocol and failure handling, and no network. */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Client from "./client/Client.js"
import { GhostDB, tag } from "./GhostDB.js"
import type { Dialect } from "./model/Dialect.js"
import { type Reply, stringOf, textOf, withheld } from "./model/Exchange.js"
import { defaults, type GhostDBOptions } from "./model/GhostDBConfig.js"
import type { Fault } from "./model/GhostDBError.js"
import type { GhostDBService } from "./model/GhostDBService.js"
import { parseAddress } from "./model/NodeAddress.js"
import type { DurationLike } from "./model/Ttl.js"
import * as CacheNode from "./server/CacheNode.js"
import * as FaultInjection from "./server/FaultInjection.js"
import * as RaftGroup from "./server/RaftGroup.js"
import * as InFlight from "./transport/InFlight.js"
import { type Connections, Transport, type TransportSettings } from "./transport/Transport.js"

export type { InjectOptions, NodeFault } from "./server/FaultInjection.js"

/**
 * What a {@link TestCluster} is made of. Its `raft` nodes are the members of one simulated raft cluster. The first of them
 * leads; `getLeader` names each by the host of its own address.
 *
 * @category options
 * @since 0.1.0
 */
export interface TestClusterOptions
  extends Omit<CacheNode.CacheNodeOptions, "raftGroup" | "raftHost">,
    RaftGroup.RaftGroupOptions {
  /** How many nodes, named `node-1` and so on, or their addresses. Default 3. */
  readonly nodes?: number | ReadonlyArray<string>
  /** The options of the client. Here `retry` is to try once by default: a test's clock stands still between attempts. */
  readonly client?: GhostDBOptions
}

/**
 * A fault that was injected.
 *
 * @category models
 * @since 0.1.0
 */
export interface InjectedFault {
  /** Takes it back; does nothing where it is over. */
  readonly heal: Effect.Effect<void>
}

/**
 * The nodes behind a {@link TestCluster}. An address that is not among them is a defect.
 *
 * Faults are injected between the clients and a node (`inject`), and between the members of a raft cluster (`cut`,
 * `partition`, `bootstrap`, `lag`). They last until they are healed, whether the node runs or not, and take their time from the Effect
 * `Clock`: with `TestClock`, a hanging node costs no waiting.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestClusterService {
  /** The addresses, in the order of the ring. */
  readonly nodes: ReadonlyArray<string>
  /** The node refuses connections from now on, as a process that has ended; requests under way on it fail with `Reset`. */
  readonly stop: (node: string) => Effect.Effect<void>
  /**
   * The node answers again, empty as after a restart unless `keep` is set. A node that runs is restarted. With a `dialect`
   * other than its own it is a new node in its place, as after an upgrade.
   */
  readonly start: (
    node: string,
    options?: { readonly keep?: boolean; readonly dialect?: Dialect }
  ) => Effect.Effect<void>
  /**
   * From now on, requests to the node meet this fault: all, or those of one command, or the next few. Gives the effect that
   * takes the fault back. Of several faults the last one counts, and latencies add up.
   *
   * @example
   * import { Effect } from "effect"
   * import { TestCluster } from "effect-ghostdb"
   *
   * const program = Effect.gen(function* () {
   *   const cluster = yield* TestCluster
   *   yield* cluster.inject("node-1", "loseReply", { command: "add", times: 1 })
   *   yield* cluster.inject("node-2", { latency: "50 millis" })
   *   yield* cluster.inject("node-2", { reply: "<html>" }, { command: ["get", "put"] })
   *   const hanging = yield* cluster.inject("node-3", "hang")
   *   // …
   *   yield* hanging.heal // node-3 alone
   *   yield* cluster.heal() // all nodes
   * })
   */
  readonly inject: (
    node: string,
    fault: FaultInjection.NodeFault,
    options?: FaultInjection.InjectOptions
  ) => Effect.Effect<InjectedFault>
  /** {@link inject} for as long as the scope is open. */
  readonly injectScoped: (
    node: string,
    fault: FaultInjection.NodeFault,
    options?: FaultInjection.InjectOptions
  ) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Takes back all that was injected, cut, partitioned, bootstrapped or made to lag: of one node, or of all. Stopped nodes
   * stay so.
   */
  readonly heal: (node?: string) => Effect.Effect<void>
  /** Messages of one raft node no longer reach the other; the other direction stays as it is. Clients reach both. */
  readonly cut: (from: string, to: string) => Effect.Effect<void>
  /**
   * Cuts these raft nodes off from the others, in both directions; clients reach all of them. A leader among the smaller
   * part takes itself for the leader until its `leaseTime` is over.
   */
  readonly partition: (nodes: ReadonlyArray<string>) => Effect.Effect<void>
  /**
   * The raft node forgets what it holds and leads a cluster of its own for so long: it answers, and takes writes, which are
   * lost when that is over. As long as the others have elected nobody after it, they name it as their leader. So does a
   * real server that is restarted with the arguments that once formed the group.
   */
  readonly bootstrap: (node: string, duration: DurationLike) => Effect.Effect<void>
  /** The raft node applies writes that much later than the `replicationDelay`, from the next write on. */
  readonly lag: (node: string, delay: DurationLike) => Effect.Effect<void>
  /** The node itself: its entries, and the requests it has had. */
  readonly node: (node: string) => Effect.Effect<CacheNode.CacheNode>
  /** The node that leads the raft cluster; none while there is no leader, and where no node is of that dialect. */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** The raft cluster's leader becomes a follower, and after the election time another node leads. */
  readonly stepDown: Effect.Effect<void>
  /** A further client of the nodes, as of another process, until the scope closes. */
  readonly client: (options?: Omit<GhostDBOptions, "requireLive">) => Effect.Effect<GhostDBService, never, Scope.Scope>
}

interface Member {
  node: CacheNode.CacheNode
  running: boolean
  /** Fails when the node's process ends. */
  ended: Deferred.Deferred<never, Fault>
}

const refused: Fault = { reason: "Refused", detail: "the node is stopped" }

const broken: Fault = { reason: "Reset", detail: "the connection broke" }

const carriesOut = (fault: FaultInjection.Encounter["fault"]): boolean =>
  fault === undefined || fault === "loseReply" || fault === "resetReply"

/** What arrives at the client of a request that meets a fault, where `reply` is what the node answered if it did. */
const arriving = (fault: FaultInjection.Encounter["fault"], reply: Reply): Effect.Effect<Reply, Fault> => {
  switch (fault) {
    case undefined:
      return Effect.succeed(reply)
    case "refuse":
      return Effect.fail({ reason: "Refused", detail: "connections are refused" })
    case "hang":
    case "loseReply":
      return Effect.never
    case "reset":
    case "resetReply":
      return Effect.fail(broken)
    default:
      return Effect.succeed({ status: fault.status ?? 200, body: fault.reply })
  }
}

/** A request that meets a fault. */
const postThrough = (
  { fault, latency }: FaultInjection.Encounter,
  found: Member,
  request: Effect.Effect<Reply>,
  cluster: Scope.Scope
): Effect.Effect<Reply, Fault> => {
  const { ended } = found
  const carriedOut = carriesOut(fault) ? request : Effect.succeed(withheld)
  const delivered: Effect.Effect<Reply, Fault> =
    latency === 0
      ? carriedOut
      : Effect.sleep(latency).pipe(
          Effect.zipRight(Deferred.poll(ended)),
          Effect.flatMap(Option.match({ onNone: () => carriedOut, onSome: (end) => end })),
          // It is on its way: whoever gives up meanwhile does not call it back.
          Effect.interruptible,
          Effect.forkIn(cluster),
          Effect.flatMap(Fiber.join)
        )
  return Effect.raceFirst(
    Effect.flatMap(delivered, (reply) => arriving(fault, reply)),
    Deferred.await(ended)
  )
}

/** Members by their addresses; any other address is a defect. */
type Members = (address: string) => Effect.Effect<Member>

/** One client's connections to nodes in memory. A request that meets no fault is answered at once. */
const connect = (
  member: Members,
  faults: FaultInjection.FaultInjection,
  cluster: Scope.Scope,
  listeners: Set<(address: string) => void>
) =>
  Effect.fnUntraced(function* (
    { attemptTimeout }: TransportSettings,
    onDisconnect: (address: string) => void = () => {}
  ) {
    const inFlight = yield* InFlight.make
    yield* Effect.acquireRelease(
      Effect.sync(() => listeners.add(onDisconnect)),
      () => Effect.sync(() => listeners.delete(onDisconnect))
    )
    const timedOut = (): Fault => ({ reason: "AttemptTimeout", detail: `no reply in ${attemptTimeout} ms` })
    const connections: Connections = {
      post: (address, command, body, deadline) =>
        Effect.flatMap(member(address), (found) => {
          if (!found.running) return Effect.fail(refused)
          const text = textOf(body)
          if (text === undefined) return Effect.succeed(withheld)
          const request = Effect.suspend(() => found.node.handle(command, stringOf(text)))
          const encounter = faults.meet(address, command)
          if (encounter === undefined) return request
          const reply = Effect.timeoutFail(postThrough(encounter, found, request, cluster), {
            duration: attemptTimeout,
            onTimeout: timedOut
          })
          return inFlight.run(address, reply, deadline)
        }),
      interrupt: inFlight.interrupt,
      release: inFlight.interrupt
    }
    return connections
  })

/** The nodes of a cluster, and what stops and starts them. */
const makeMembers = Effect.fnUntraced(function* (
  addresses: ReadonlyArray<string>,
  raftGroup: RaftGroup.RaftGroup,
  options: Omit<CacheNode.CacheNodeOptions, "raftGroup" | "raftHost">
) {
  const makeNode = (address: string, dialect: Dialect | undefined) =>
    CacheNode.make({ ...options, dialect, raftGroup, raftHost: parseAddress(address, defaults.port).host })
  const members = new Map<string, Member>()
  for (const address of addresses) {
    const node = yield* makeNode(address, options.dialect)
    members.set(address, { node, running: true, ended: yield* Deferred.make<never, Fault>() })
  }

  const member: Members = (address) =>
    Effect.suspend(() => {
      const found = members.get(address)
      return found === undefined
        ? Effect.die(new Cause.IllegalArgumentException(`${JSON.stringify(address)} is no node of the test cluster`))
        : Effect.succeed(found)
    })

  const listeners = new Set<(address: string) => void>()
  const end = Effect.fnUntraced(function* (address: string, found: Member) {
    const { ended } = found
    found.ended = yield* Deferred.make<never, Fault>()
    for (const onDisconnect of listeners) onDisconnect(address)
    yield* Deferred.fail(ended, broken)
  })

  const stop: TestClusterService["stop"] = Effect.fnUntraced(function* (address) {
    const found = yield* member(address)
    found.running = false
    yield* found.node.stop
    yield* end(address, found)
  })

  const start: TestClusterService["start"] = Effect.fnUntraced(function* (address, { dialect, keep = false } = {}) {
    const found = yield* member(address)
    const isReplaced = dialect !== undefined && dialect !== found.node.dialect
    if (isReplaced) {
      yield* found.node.leave
      found.node = yield* makeNode(address, dialect)
    } else {
      yield* found.node.start({ keep })
    }
    if (found.running && (isReplaced || !keep)) yield* end(address, found)
    found.running = true
  })

  return { nodes: [...members.keys()], member, stop, start, listeners }
})

const makeCluster = Effect.fnUntraced(function* (
  addresses: ReadonlyArray<string>,
  { electionTime, leaseTime, replicationDelay, ...options }: Omit<TestClusterOptions, "nodes" | "client">
) {
  const raftGroup = yield* RaftGroup.make({ electionTime, leaseTime, replicationDelay })
  const { listeners, member, nodes, start, stop } = yield* makeMembers(addresses, raftGroup, options)
  const faults = FaultInjection.make()
  const transport = { connect: connect(member, faults, yield* Effect.scope, listeners) }

  const raftAddress = (address: string): Effect.Effect<string> =>
    Effect.flatMap(member(address), ({ node }) =>
      node.raftAddress === undefined
        ? Effect.die(new Cause.IllegalArgumentException(`${JSON.stringify(address)} is no raft node`))
        : Effect.succeed(node.raftAddress)
    )

  const inject: TestClusterService["inject"] = (address, fault, options) =>
    Effect.map(member(address), () => {
      const heal = faults.inject(address, fault, options)
      return { heal: Effect.sync(heal) }
    })

  const cluster: TestClusterService = {
    nodes,
    stop,
    start,
    inject,
    injectScoped: (address, fault, options) =>
      Effect.acquireRelease(inject(address, fault, options), ({ heal }) => heal).pipe(Effect.asVoid),
    heal: (address) =>
      Effect.suspend(() => {
        faults.heal(address)
        return address === undefined
          ? raftGroup.heal()
          : Effect.flatMap(member(address), ({ node }) =>
              node.raftAddress === undefined ? Effect.void : raftGroup.heal(node.raftAddress)
            )
      }),
    cut: (from, to) => Effect.flatMap(Effect.zip(raftAddress(from), raftAddress(to)), ([a, b]) => raftGroup.cut(a, b)),
    partition: (nodes) => Effect.flatMap(Effect.forEach(nodes, raftAddress), raftGroup.partition),
    bootstrap: (address, duration) =>
      Effect.flatMap(raftAddress(address), (member) => raftGroup.bootstrap(member, duration)),
    lag: (address, delay) => Effect.flatMap(raftAddress(address), (member) => raftGroup.lag(member, delay)),
    node: (address) => Effect.map(member(address), ({ node }) => node),
    leader: Effect.findFirst(nodes, (address) => Effect.flatMap(member(address), ({ node }) => node.isLeader)),
    stepDown: raftGroup.stepDown,
    client: (options) =>
      Client.make({ retry: Schedule.stop, ...options, nodes }).pipe(
        Effect.provideService(Transport, transport),
        Effect.orDie
      )
  }
  return cluster
})

/**
 * A cluster in memory that a test can stop, start, disturb and look into.
 *
 * @example
 * import { Effect } from "effect"
 * import { GhostDB, TestCluster } from "effect-ghostdb"
 *
 * const test = Effect.gen(function* () {
 *   const cluster = yield* TestCluster
 *   yield* cluster.stop("node-1")
 *   yield* GhostDB.put("key", "value") // goes to the next live node
 *   yield* cluster.inject("node-2", "hang", { command: "get" })
 *   yield* cluster.inject("node-3", { latency: "2 seconds" })
 * }).pipe(Effect.provide(TestCluster.layer({ nodes: 3 })))
 *
 * @category layers
 * @since 0.1.0
 */
export class TestCluster extends Context.Tag("effect-ghostdb/TestCluster")<TestCluster, TestClusterService>() {
  /** A client and its nodes. Entries expire exactly, by the Effect `Clock`: `TestClock` moves them. */
  static layer({ client, nodes = 3, ...options }: TestClusterOptions = {}): Layer.Layer<GhostDB | TestCluster> {
    const addresses = typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => `node-${i + 1}`) : nodes
    return Layer.scopedContext(
      Effect.gen(function* () {
        const cluster = yield* makeCluster(addresses, options)
        return Context.make(TestCluster, cluster).pipe(Context.add(GhostDB, yield* cluster.client(client)))
      })
    )
  }
}

/**
 * Three nodes in memory. {@link TestCluster} gives access to them.
 *
 * @category layers
 * @since 0.1.0
 */
export const GhostDBTest: Layer.Layer<GhostDB> = Layer.scoped(
  tag,
  Effect.flatMap(makeCluster(["node-1", "node-2", "node-3"], {}), (cluster) => cluster.client())
)
