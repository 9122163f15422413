/** Who leads the raft cluster: asked when a command needs to know. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Settings } from "../model/GhostDBConfig.js"
import * as NodeAddress from "../model/NodeAddress.js"
import type * as Protocol from "../protocol/Protocol.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import { type Handshake, patience } from "./Handshake.js"
import * as Monotonic from "./Monotonic.js"
import type { Revival } from "./Revival.js"
import { request } from "./request.js"
import * as Shared from "./Shared.js"
import type { StateRef } from "./StateRef.js"

export interface LeaderSearch {
  /**
   * Asks the raft members among the live nodes for their leader, unless that found none a moment ago; callers at the
   * same time share the search. None at `deadline`, milliseconds of the monotonic clock, at the latest.
   */
  readonly findLeader: (deadline: number) => Effect.Effect<Option.Option<string>>
}

const minSearchInterval = 50

/** A search makes so many requests one after the other: two pings, the leader's address, and twice a leader's command. */
const requestsInTurn = 5

const hostOf = (address: string, port: number): string => NodeAddress.parseAddress(address, port).host

/** Searches over `connections`; a leader that is no live node may be a dead one that is back, which `revival` finds. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { handshake, ping }: Handshake,
  { probeDead }: Revival,
  connections: Connections,
  { attemptTimeout, port }: Settings
): Effect.fn.Return<LeaderSearch, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock

  /** What raft members answer, as it arrives; nothing of those that fail, and of other nodes. */
  const queryMembers = <A>(
    nodes: ReadonlyArray<string>,
    toRequest: (protocol: Protocol.Protocol) => Protocol.Request<A>,
    endsAt: number
  ) =>
    Stream.fromIterable(nodes).pipe(
      Stream.mapEffect(
        (node) =>
          handshake(node, endsAt).pipe(
            Effect.filterOrFail(({ dialect }) => dialect === "raft"),
            Effect.flatMap((protocol) => request(connections, node, toRequest(protocol), endsAt)),
            Effect.map((answer) => ({ node, answer })),
            Effect.option
          ),
        { concurrency: "unbounded", unordered: true }
      ),
      Stream.filterMap((answer) => answer)
    )

  /** The leader: the first member to answer a command that only a leader does. */
  const findByLeaderOnlyCommand = (nodes: ReadonlyArray<string>, endsAt: number) =>
    Stream.runHead(queryMembers(nodes, (protocol) => protocol.nodeSize, endsAt)).pipe(
      Effect.flatten,
      Effect.map(({ node }) => node)
    )

  /** Members know the leader: a node that they name is one of them, whatever it answered when it was last pinged. */
  const identify = (nodes: ReadonlyArray<string>, endsAt: number) =>
    Effect.forEach(
      nodes.filter((node) => {
        const dialect = ref.unsafeState().nodes.get(node)?.dialect
        return dialect !== undefined && dialect !== "raft"
      }),
      (node) =>
        Effect.flatMap(ping(node, endsAt), (dialect) =>
          ref.transition((self) => ClusterState.dialectKnown(self, node, dialect))
        ).pipe(Effect.ignore),
      { concurrency: "unbounded", discard: true }
    )

  let searchAgainAt = Number.NEGATIVE_INFINITY
  // Members tell the leader's raft address, whose port says nothing of HTTP: its host says who is asked first.
  const search = Effect.fnUntraced(function* (endsAt: number) {
    const nodes = ClusterState.liveNodes(yield* ref.state).map(({ node }) => node)
    const hosts = new Set<string>()
    const found = yield* queryMembers(nodes, (protocol) => protocol.getLeader, endsAt).pipe(
      Stream.filterMap(({ answer }) => Option.map(answer, (address) => hostOf(address, port))),
      Stream.filter((host) => !hosts.has(host)),
      Stream.tap((host) => Effect.sync(() => hosts.add(host))),
      Stream.mapEffect((host) => {
        const [others, named] = Arr.partition(nodes, (node) => hostOf(node, port) === host)
        return Effect.zipRight(
          identify(named, endsAt),
          Effect.option(
            Effect.orElse(findByLeaderOnlyCommand(named, endsAt), () => findByLeaderOnlyCommand(others, endsAt))
          )
        )
      }),
      Stream.filterMap((leader) => leader),
      Stream.runHead
    )
    if (Option.isSome(found)) {
      const { after } = yield* ref.transition((self) => ClusterState.leaderFound(self, found.value))
      return Option.fromNullable(after.leader)
    }
    if (hosts.size > 0) yield* Effect.forkIn(probeDead(endsAt), scope)
    searchAgainAt = Monotonic.unsafeNow(clock) + minSearchInterval
    return Option.none<string>()
  })
  const searches = yield* Shared.make<Option.Option<string>, never>({
    work: (_, endsAt) => search(endsAt),
    timeout: attemptTimeout * patience * requestsInTurn,
    timedOut: Exit.succeed(Option.none()),
    late: Exit.succeed(Option.none()),
    closed: Exit.succeed(Option.none())
  })
  return {
    findLeader: (deadline) =>
      Effect.suspend(() =>
        Monotonic.unsafeNow(clock) < searchAgainAt ? Effect.succeedNone : searches.run("leader", deadline)
      )
  }
})
