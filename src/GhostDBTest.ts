/** The client over nodes in memory: the same commands, ring, protocol and failure handling, and no network. */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Client from "./client/Client.js"
import type { GhostDB } from "./GhostDB.js"
import type { Dialect } from "./model/Dialect.js"
import { stringOf, textOf, withheld } from "./model/Exchange.js"
import { defaults, type GhostDBOptions } from "./model/GhostDBConfig.js"
import type { Fault } from "./model/GhostDBError.js"
import { parseAddress } from "./model/NodeAddress.js"
import * as CacheNode from "./server/CacheNode.js"
import * as RaftGroup from "./server/RaftGroup.js"
import * as InFlight from "./transport/InFlight.js"
import { Transport } from "./transport/Transport.js"

/**
 * What a {@link TestCluster} is made of. Its `raft` nodes are the members of one simulated raft cluster. The first of them
 * leads; `getLeader` names each by the host of its own address.
 */
export interface TestClusterOptions
  extends Omit<CacheNode.CacheNodeOptions, "raftGroup" | "raftHost">,
    RaftGroup.RaftGroupOptions {
  /** How many nodes, named `node-1` and so on, or their addresses. Default 3. */
  readonly nodes?: number | ReadonlyArray<string>
  /** The options of the client. Here `retry` is to try once by default: a test's clock stands still between attempts. */
  readonly client?: Omit<GhostDBOptions, "requireLive">
}

/** The nodes behind a {@link TestCluster}. An address that is not among them is a defect. */
export interface TestClusterService {
  /** The addresses, in the order of the ring. */
  readonly nodes: ReadonlyArray<string>
  /** The node refuses connections from now on, as a process that has ended. */
  readonly stop: (node: string) => Effect.Effect<void>
  /**
   * The node answers again, empty as after a restart unless `keep` is set. With a `dialect` other than its own it is a new
   * node in its place, as after an upgrade.
   */
  readonly start: (
    node: string,
    options?: { readonly keep?: boolean; readonly dialect?: Dialect }
  ) => Effect.Effect<void>
  /** The node itself: its entries, and the requests it has had. */
  readonly node: (node: string) => Effect.Effect<CacheNode.CacheNode>
  /** The node that leads the raft cluster; none while there is no leader, and where no node is of that dialect. */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** The raft cluster's leader becomes a follower, and after the election time another node leads. */
  readonly stepDown: Effect.Effect<void>
}

const makeCluster = Effect.fnUntraced(function* (
  addresses: ReadonlyArray<string>,
  { electionTime, replicationDelay, ...options }: Omit<TestClusterOptions, "nodes" | "client">
) {
  const raftGroup = yield* RaftGroup.make({ electionTime, replicationDelay })
  const makeNode = (address: string, dialect: Dialect | undefined) =>
    CacheNode.make({ ...options, dialect, raftGroup, raftHost: parseAddress(address, defaults.port).host })
  const members = new Map<string, { node: CacheNode.CacheNode; running: boolean }>()
  for (const address of addresses) {
    members.set(address, { node: yield* makeNode(address, options.dialect), running: true })
  }

  const nodes = [...members.keys()]

  const member = (address: string) =>
    Effect.suspend(() => {
      const found = members.get(address)
      return found === undefined
        ? Effect.die(new Cause.IllegalArgumentException(`${JSON.stringify(address)} is no node of the test cluster`))
        : Effect.succeed(found)
    })

  const refused: Fault = { reason: "Refused", detail: "the node is stopped" }
  const transport: Context.Tag.Service<Transport> = {
    connect: () =>
      Effect.map(InFlight.make, (inFlight) => ({
        post: (address, command, body, deadline) =>
          Effect.flatMap(member(address), ({ node, running }) => {
            if (!running) return Effect.fail(refused)
            const text = textOf(body)
            return text === undefined
              ? Effect.succeed(withheld)
              : inFlight.run(address, node.handle(command, stringOf(text)), deadline)
          }),
        interrupt: inFlight.interrupt,
        release: () => Effect.void
      }))
  }

  const cluster: TestClusterService = {
    nodes,
    stop: (address) =>
      Effect.flatMap(member(address), (found) => {
        found.running = false
        return found.node.stop
      }),
    start: Effect.fnUntraced(function* (address, { dialect, keep } = {}) {
      const found = yield* member(address)
      if (dialect === undefined || dialect === found.node.dialect) yield* found.node.start({ keep })
      else {
        yield* found.node.leave
        found.node = yield* makeNode(address, dialect)
      }
      found.running = true
    }),
    node: (address) => Effect.map(member(address), ({ node }) => node),
    leader: Effect.findFirst(nodes, (address) => Effect.flatMap(member(address), ({ node }) => node.isLeader)),
    stepDown: raftGroup.stepDown
  }
  return { cluster, transport }
})

/**
 * A cluster in memory that a test can stop, start and look into.
 *
 * @example
 * import { Effect } from "effect"
 * import { GhostDB, TestCluster } from "effect-ghostdb"
 *
 * const test = Effect.gen(function* () {
 *   const cluster = yield* TestCluster
 *   yield* cluster.stop("node-1")
 *   yield* GhostDB.put("key", "value") // goes to the next live node
 * }).pipe(Effect.provide(TestCluster.layer({ nodes: 3 })))
 */
export class TestCluster extends Context.Tag("effect-ghostdb/TestCluster")<TestCluster, TestClusterService>() {
  /** A client and its nodes. Entries expire exactly, by the Effect `Clock`: `TestClock` moves them. */
  static layer({ client, nodes = 3, ...options }: TestClusterOptions = {}): Layer.Layer<GhostDB | TestCluster> {
    const addresses = typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => `node-${i + 1}`) : nodes
    return Layer.unwrapScoped(
      Effect.map(makeCluster(addresses, options), ({ cluster, transport }) =>
        Layer.merge(
          Client.layer({ retry: Schedule.stop, ...client, nodes: addresses }).pipe(
            Layer.provide(Layer.succeed(Transport, transport)),
            Layer.orDie
          ),
          Layer.succeed(TestCluster, cluster)
        )
      )
    )
  }
}

/** Three nodes in memory. {@link TestCluster} gives a hold of them. */
export const GhostDBTest: Layer.Layer<GhostDB> = Layer.map(TestCluster.layer(), Context.omit(TestCluster))
