/** Who leads the raft cluster: asked when a command needs to know. */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Settings } from "../model/GhostDBConfig.js"
import * as NodeAddress from "../model/NodeAddress.js"
import type * as Protocol from "../protocol/Protocol.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import { type Handshake, orElseClosed } from "./Handshake.js"
import type { Revival } from "./Revival.js"
import type { StateRef } from "./StateRef.js"

export interface LeaderSearch {
  /**
   * Asks the raft members among the live nodes for their leader, unless that found none a moment ago; callers at the
   * same time share the question.
   */
  readonly findLeader: Effect.Effect<Option.Option<string>>
}

const minSearchInterval = 50

const hostOf = (address: string, port: number): string => NodeAddress.parseAddress(address, port).host

/** Searches over `connections`; a leader that is no live node may be a dead one that is back, which `revival` finds. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { handshake }: Handshake,
  { probeDead }: Revival,
  connections: Connections,
  { port }: Settings
): Effect.fn.Return<LeaderSearch, never, Scope.Scope> {
  /** What raft members answer, as it comes; nothing of those that fail, and of nodes that are none. */
  const queryMembers = <A>(
    nodes: ReadonlyArray<string>,
    toRequest: (protocol: Protocol.Protocol) => Protocol.Request<A>
  ) =>
    Stream.fromIterable(nodes).pipe(
      Stream.mapEffect(
        (node) =>
          handshake(node).pipe(
            Effect.filterOrFail(({ dialect }) => dialect === "raft"),
            Effect.flatMap((protocol) => {
              const { body, command, decode } = toRequest(protocol)
              return Effect.flatMap(connections.post(node, command, body), decode)
            }),
            Effect.map((answer) => ({ node, answer })),
            Effect.option
          ),
        { concurrency: "unbounded", unordered: true }
      ),
      Stream.filterMap((answer) => answer)
    )

  /** The leader: the first member to answer a command that only a leader does. */
  const findByLeaderOnlyCommand = (nodes: ReadonlyArray<string>) =>
    Stream.runHead(queryMembers(nodes, (protocol) => protocol.nodeSize)).pipe(
      Effect.flatten,
      Effect.map(({ node }) => node)
    )

  let searchAgainAt = Number.NEGATIVE_INFINITY
  const scope = yield* Effect.scope
  // Members tell the leader's raft address, whose port says nothing of HTTP: its host says who is asked first.
  const search = Effect.gen(function* () {
    const { live } = (yield* ref.state).topology
    const nodes = live.map(({ node }) => node)
    const hosts = new Set<string>()
    const found = yield* queryMembers(nodes, (protocol) => protocol.getLeader).pipe(
      Stream.filterMap(({ answer }) => Option.map(answer, (address) => hostOf(address, port))),
      Stream.filter((host) => !hosts.has(host)),
      Stream.tap((host) => Effect.sync(() => hosts.add(host))),
      Stream.mapEffect((host) => {
        const [others, named] = Arr.partition(nodes, (node) => hostOf(node, port) === host)
        return Effect.option(Effect.orElse(findByLeaderOnlyCommand(named), () => findByLeaderOnlyCommand(others)))
      }),
      Stream.filterMap((leader) => leader),
      Stream.runHead
    )
    if (Option.isSome(found)) {
      const { after } = yield* ref.transition((self) => ClusterState.leaderFound(self, found.value))
      return Option.fromNullable(after.leader)
    }
    if (hosts.size > 0) yield* Effect.forkIn(probeDead, scope)
    searchAgainAt = (yield* Clock.currentTimeMillis) + minSearchInterval
    return Option.none()
  })
  const searches = yield* RcMap.make({ lookup: (_: "leader") => search })
  return {
    findLeader: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      now < searchAgainAt ? Effect.succeedNone : Effect.scoped(RcMap.get(searches, "leader"))
    ).pipe(orElseClosed(() => Effect.succeedNone))
  }
})
