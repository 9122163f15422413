/**
 * Who leads the raft cluster: asked when a command needs to know. Leadership is a lease: whoever was found to lead is read as
 * the leader for a while, and asked again in the background while there are reads.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
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
import type { Suspicion } from "./Suspicion.js"

export interface LeaderSearch {
  /**
   * Asks the raft members among the live nodes for their leader, unless that found none a moment ago; callers at the
   * same time share the search. None at `deadline`, milliseconds of the monotonic clock, at the latest.
   */
  readonly findLeader: (deadline: number) => Effect.Effect<Option.Option<string>>
  /**
   * For each read that the leader gets: asks it again in the background whether it leads, once half of its lease is over.
   * `now` is milliseconds of the monotonic clock.
   */
  readonly renewLease: (now: number) => void
}

const minSearchInterval = 50

/** A search makes so many requests one after the other: two pings, the leader's address, and twice a leader's command. */
const requestsInTurn = 5

const hostOf = (address: string, port: number): string => NodeAddress.parseAddress(address, port).host

/**
 * The addresses that members name as their leader's: the one that a majority of `members` names as soon as it does, then
 * the others when all have answered, those with more votes first.
 */
const elected = <E>(votes: Stream.Stream<string, E>, members: number): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    const counts = new Map<string, number>()
    const byMajority = votes.pipe(
      Stream.map((address) => {
        const count = (counts.get(address) ?? 0) + 1
        counts.set(address, count)
        return { address, count }
      }),
      Stream.filter(({ count }) => count === Math.floor(members / 2) + 1),
      Stream.map(({ address }) => address)
    )
    const byFewer = Stream.suspend(() =>
      Stream.fromIterable(
        [...counts]
          .filter(([, count]) => count * 2 <= members)
          .sort(([, a], [, b]) => b - a)
          .map(([address]) => address)
      )
    )
    return Stream.concat(byMajority, byFewer)
  })

/** Searches over `connections`; a leader that is no live node may be a dead one that is back, which `revival` finds. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: one search, whose steps share what it knows
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { handshake, ping }: Handshake,
  { probeDead }: Revival,
  { isSilent, timedOut, unanswered }: Suspicion,
  connections: Connections,
  { attemptTimeout, leaderLease, port }: Settings
): Effect.fn.Return<LeaderSearch, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Effect.clock
  const runtime = yield* Effect.runtime()
  const now = () => Monotonic.unsafeNow(clock)

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
            Effect.flatMap((protocol) =>
              // Nobody may use a member that is gone as long as others serve: the search is what finds it dead.
              Effect.tapError(request(connections, node, toRequest(protocol), endsAt), (fault) =>
                ClusterState.classify(fault) === "down" ? timedOut(node, fault) : Effect.void
              )
            ),
            Effect.map((answer) => ({ node, answer })),
            Effect.option
          ),
        { concurrency: "unbounded", unordered: true }
      ),
      Stream.filterMap((answer) => answer)
    )

  /** The leader, and when it was asked: the first member to answer a command that only a leader does. */
  const findByLeaderOnlyCommand = (nodes: ReadonlyArray<string>, endsAt: number) =>
    Effect.suspend(() => {
      const askedAt = now()
      return Stream.runHead(queryMembers(nodes, (protocol) => protocol.nodeSize, endsAt)).pipe(
        Effect.flatten,
        Effect.map(({ node }) => ({ node, askedAt }))
      )
    })

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
  let renewAt = Number.NEGATIVE_INFINITY
  // Members tell the leader's raft address, whose port says nothing of HTTP: its host says who is asked first.
  const search = Effect.fnUntraced(function* (endsAt: number) {
    const asked = yield* ref.state
    const answering = ClusterState.liveNodes(asked).filter(({ node }) => !isSilent(node))
    const nodes = answering.map(({ node }) => node)
    const members = answering.filter(({ dialect }) => dialect === undefined || dialect === "raft")
    let isLed = false
    const voters = members.map(({ node }) => node)
    const votes = queryMembers(voters, (protocol) => protocol.getLeader, endsAt).pipe(
      Stream.filterMap(({ answer }) => answer),
      Stream.tap(() => Effect.sync(() => (isLed = true)))
    )
    const found = yield* elected(votes, voters.length).pipe(
      Stream.mapEffect((address) => {
        const host = hostOf(address, port)
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
      const { askedAt, node } = found.value
      renewAt = askedAt + leaderLease / 2
      const until = askedAt + leaderLease
      const { after } = yield* ref.transition((self) => ClusterState.leaderFound(self, node, { asked, until }))
      return Option.fromNullable(after.leader)
    }
    if (isLed) yield* Effect.forkIn(probeDead(endsAt), scope)
    searchAgainAt = now() + minSearchInterval
    return Option.none<string>()
  })
  const searches = yield* Shared.make<Option.Option<string>, never>({
    work: (_, endsAt) => search(endsAt),
    timeout: attemptTimeout * patience * requestsInTurn,
    timedOut: Exit.succeed(Option.none()),
    late: Exit.succeed(Option.none()),
    closed: Exit.succeed(Option.none())
  })

  const renew = (leader: string, askedAt: number) =>
    handshake(leader, askedAt + attemptTimeout).pipe(
      Effect.flatMap((protocol) =>
        request(connections, leader, protocol.nodeSize, askedAt + attemptTimeout * patience)
      ),
      Effect.matchEffect({
        onSuccess: () => ref.transition((self) => ClusterState.leaseRenewed(self, leader, askedAt + leaderLease)),
        onFailure: (fault) =>
          ref
            .transition((self) => ClusterState.disconnected(self, leader))
            .pipe(
              Effect.zipRight(fault.reason === "AttemptTimeout" ? unanswered(leader, fault) : Effect.void),
              Effect.zipRight(searches.run("leader", Number.POSITIVE_INFINITY))
            )
      })
    )
  return {
    findLeader: (deadline) =>
      Effect.suspend(() => (now() < searchAgainAt ? Effect.succeedNone : searches.run("leader", deadline))),
    renewLease: (at) => {
      const { leader } = ref.unsafeState()
      if (at < renewAt || leader === undefined) return
      renewAt = at + leaderLease / 2
      Runtime.runFork(runtime)(renew(leader, at), { scope })
    }
  }
})
