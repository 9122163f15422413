import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Settings } from "../model/GhostDBConfig.js"
import * as Monotonic from "../model/Monotonic.js"
import * as NodeAddress from "../model/NodeAddress.js"
import type * as Protocol from "../protocol/Protocol.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import { type Handshake, patience } from "./Handshake.js"
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

/** A member that was started leads after so many milliseconds at the earliest, by the configuration of real servers. */
const shortestElection = 1000

/** For how long, in milliseconds, members may name a leader that is gone. Real servers notice after 1 to 2 seconds. */
const followerTimeout = 3000

/** What a member has answered that says it leads. */
interface Answer {
  readonly node: string
  readonly isEmpty: boolean
}

/** A search makes so many requests one after the other: two pings, the leader's address, and twice a leader's command. */
const requestsInTurn = 5

const hostOf = (address: string, port: number): string => NodeAddress.parseAddress(address, port).host

/** What members have answered when asked who leads. */
class Votes {
  private readonly counts = new Map<string, number>()

  constructor(private readonly members: number) {}

  /** Whether any of them names a leader. */
  get isLed(): boolean {
    return this.counts.size > 0
  }

  /** Counts a vote; true where it gives the address a majority. */
  add(address: string): boolean {
    const count = (this.counts.get(address) ?? 0) + 1
    this.counts.set(address, count)
    return count === Math.floor(this.members / 2) + 1
  }

  /** Whether a majority names one of the addresses. */
  isMajorityFor(isOne: (address: string) => boolean): boolean {
    return [...this.counts].some(([address, count]) => count * 2 > this.members && isOne(address))
  }

  /** The addresses without a majority, those with more votes first. */
  get others(): ReadonlyArray<string> {
    return [...this.counts]
      .filter(([, count]) => count * 2 <= this.members)
      .sort(([, a], [, b]) => b - a)
      .map(([address]) => address)
  }
}

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

  /** What a raft member answers; none where it fails, and of other nodes. */
  const ask = <A>(
    node: string,
    toRequest: (protocol: Protocol.Protocol) => Protocol.Request<A>,
    endsAt: number
  ): Effect.Effect<Option.Option<A>> =>
    handshake(node, endsAt).pipe(
      Effect.filterOrFail(({ dialect }) => dialect === "raft"),
      Effect.flatMap((protocol) =>
        // Nobody may use a member that is gone as long as others serve: the search is what finds it dead.
        Effect.tapError(request(connections, node, toRequest(protocol), endsAt), (fault) =>
          ClusterState.classify(fault) === "down" ? timedOut(node, fault) : Effect.void
        )
      ),
      Effect.option
    )

  /** The leader, and when it was asked: the first member that is trusted to answer a command that only a leader does. */
  const findByLeaderOnlyCommand = (
    nodes: ReadonlyArray<string>,
    endsAt: number,
    isTrusted: (answer: Answer) => boolean
  ) =>
    Effect.suspend(() => {
      const askedAt = now()
      const asked = nodes.map((node) =>
        Effect.flatMap(
          ask(node, (protocol) => protocol.nodeSize, endsAt),
          (size) =>
            Option.isSome(size) && isTrusted({ node, isEmpty: Option.getOrUndefined(size.value) === 0 })
              ? Effect.succeed({ node, askedAt })
              : Effect.fail("no answer" as const)
        )
      )
      const [only] = asked
      return only === undefined ? Effect.succeedNone : Effect.option(asked.length === 1 ? only : Effect.raceAll(asked))
    })

  /** The leader that was found last, and when it ceased to be known as one. */
  let last: { readonly node: string; lostAt: number | undefined } | undefined
  yield* Effect.forkScoped(
    Stream.runForEach(ref.states, ({ leader }) =>
      Effect.sync(() => {
        if (last !== undefined && leader !== last.node) last.lostAt ??= now()
      })
    )
  )
  /**
   * Whether a member that says it leads is believed. After a reset it may have been restarted with nothing, and lead a cluster
   * of its own: the majority must name it. Of the former leader the others may not have noticed that it was gone: where it
   * is empty, it must have led too soon for a restart, or for longer than the others take to notice.
   */
  const isBelieved = (state: ClusterState.ClusterState, { isEmpty, node }: Answer, votes: Votes) => {
    const member = state.nodes.get(node)
    if (member === undefined || !ClusterState.isDoubted(state, member)) return true
    if (!votes.isMajorityFor((address) => hostOf(address, port) === hostOf(node, port))) return false
    if (!isEmpty || last?.node !== node) return true
    const lostFor = now() - (last.lostAt ?? now())
    return lostFor < shortestElection || lostFor >= followerTimeout
  }

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
    const voters = members.map(({ node }) => node)
    const votes = new Votes(voters.length)
    const majority = yield* Deferred.make<Option.Option<string>>()
    const voting = yield* Effect.forEach(
      voters,
      (node) =>
        Effect.map(
          ask(node, (protocol) => protocol.getLeader, endsAt),
          (answer) => {
            const address = Option.getOrUndefined(Option.flatten(answer))
            if (address !== undefined && votes.add(address))
              Deferred.unsafeDone(majority, Exit.succeed(Option.some(address)))
          }
        ),
      { concurrency: "unbounded", discard: true }
    ).pipe(Effect.ensuring(Deferred.succeed(majority, Option.none())), Effect.fork)
    const isTrusted = (answer: Answer) => isBelieved(asked, answer, votes)
    const findAt = (address: string) => {
      const host = hostOf(address, port)
      const isNamed = (node: string) => hostOf(node, port) === host
      const named = nodes.filter(isNamed)
      const others = nodes.filter((node) => !isNamed(node))
      return identify(named, endsAt).pipe(
        Effect.zipRight(findByLeaderOnlyCommand(named, endsAt, isTrusted)),
        Effect.flatMap((found) =>
          Option.isSome(found) ? Effect.succeed(found) : findByLeaderOnlyCommand(others, endsAt, isTrusted)
        )
      )
    }
    const elected = yield* Deferred.await(majority)
    let found = Option.isSome(elected) ? yield* findAt(elected.value) : Option.none()
    if (Option.isNone(found)) yield* Fiber.await(voting)
    for (const address of votes.others) {
      if (Option.isNone(found)) found = yield* findAt(address)
    }
    if (Option.isSome(found)) {
      const { askedAt, node } = found.value
      last = { node, lostAt: undefined }
      renewAt = askedAt + leaderLease / 2
      const until = askedAt + leaderLease
      const { after } = yield* ref.transition((self) => ClusterState.leaderFound(self, node, { asked, until }))
      return Option.fromNullable(after.leader)
    }
    if (votes.isLed) yield* Effect.forkIn(probeDead(endsAt), scope)
    searchAgainAt = now() + minSearchInterval
    return Option.none<string>()
  })
  const searches = yield* Shared.make<Option.Option<string>, never>({
    work: (_, endsAt) => search(endsAt),
    timeout: attemptTimeout * patience * requestsInTurn,
    isolated: connections.isolatesCallers === true,
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
              Effect.zipRight(fault.reason === "AttemptTimeout" ? unanswered(leader) : Effect.void),
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
      Runtime.runFork(runtime)(Effect.forkIn(renew(leader, at), scope))
    }
  }
})
