/**
 * A raft cluster in one process, as its clients see one: a leader that takes the writes, followers that apply them a
 * little later, and a time without a leader after each that is lost. Its members can be cut off from each other, lag, and
 * restart empty. Time is the Effect `Clock`'s, as of each request or look; no timer runs.
 *
 * A write is committed where the leader reaches a majority, and all members that it reaches hold it from then on, so that
 * none is lost as long as one of them stays up. Real servers need a majority for that.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { DurationLike } from "../model/Ttl.js"
import type { CacheEntries, Write } from "./CacheEntries.js"
import * as GroupState from "./GroupState.js"
import * as Replica from "./Replica.js"

/**
 * The timing of a {@link RaftGroup}.
 *
 * @category options
 * @since 0.1.0
 */
export interface RaftGroupOptions {
  /**
   * How much later than the leader the followers apply a write, and how much later a restarted or reconnected member
   * holds what the others do. Default: 0.
   */
  readonly replicationDelay?: DurationLike | undefined
  /** How long the group is without a leader once it has lost one, or its majority is back. Default: 1 second. */
  readonly electionTime?: DurationLike | undefined
  /**
   * How long a leader that no longer reaches a majority still takes itself for the leader: `getLeader` on it names itself,
   * and it serves reads, while it refuses writes. It stops as soon as it hears of another leader. Default: 0.
   */
  readonly leaseTime?: DurationLike | undefined
}

/**
 * A simulated raft cluster. Its members are the nodes that are made with it; the first one leads at once. They are named
 * by their raft addresses, `raftAddress` of a node; any other name is a defect.
 *
 * @category models
 * @since 0.1.0
 */
export interface RaftGroup {
  /** The raft addresses of the members, in the order in which they joined. */
  readonly members: Effect.Effect<ReadonlyArray<string>>
  /** The raft address of the leader that reaches a majority; none without one. */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** The leader becomes a follower, and after the election time another member leads. Does nothing without a leader. */
  readonly stepDown: Effect.Effect<void>
  /** Messages of the first no longer reach the second; the other direction stays as it is. */
  readonly cut: (from: string, to: string) => Effect.Effect<void>
  /** Cuts these members off from all others, in both directions. Clients still reach them. */
  readonly partition: (members: ReadonlyArray<string>) => Effect.Effect<void>
  /**
   * The member forgets what it holds and leads a cluster of its own for so long, as a real server that was started with the
   * arguments that once formed the group: it answers, and takes writes, which are lost when that is over. Then it takes
   * over what the others hold. As long as they have elected nobody after it, they name it as their leader. Does nothing
   * to a member that is stopped.
   */
  readonly bootstrap: (member: string, duration: DurationLike) => Effect.Effect<void>
  /** The member applies writes that much later than the `replicationDelay`, from the next write on. */
  readonly lag: (member: string, delay: DurationLike) => Effect.Effect<void>
  /**
   * All members reach each other again, none leads alone, and none lags; with a member, all that concerns that one. Those
   * who were cut off catch up.
   */
  readonly heal: (member?: string) => Effect.Effect<void>
  /** @internal The node whose entries these are becomes a member, up and with all that the others hold. */
  readonly join: (entries: CacheEntries, host: string, now: number) => Membership
}

/**
 * A node's place in its raft group. Each operation takes its time, in milliseconds since the epoch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Membership {
  /** The member's raft address. */
  readonly address: string
  /** Brings the group to that time: elections that are over, writes that are due. */
  readonly settle: (now: number) => void
  /** Whether it leads and reaches a majority, or leads alone, as last settled: whether it takes writes. */
  readonly isLeader: () => boolean
  /** The raft address of the leader that this member knows of; empty without one. */
  readonly leader: (now: number) => string
  /** A write through the leader, which this member is. Returns what `CacheEntries.apply` does. */
  readonly commit: (write: Write, now: number) => boolean
  /** The member is gone, until it starts. */
  readonly stop: (now: number) => void
  /** It is back: empty, or with `keep` with the entries that it had. It takes over what it lacks. */
  readonly start: (keep: boolean, now: number) => void
  /** It is no longer a member. */
  readonly leave: (now: number) => void
}

/**
 * A group without members. Give it to the nodes that will form it: `NodeServer.make({ dialect: "raft", raftGroup })`.
 *
 * @example
 * import { Effect } from "effect"
 * import { NodeServer, RaftGroup } from "effect-ghostdb"
 *
 * const program = Effect.gen(function* () {
 *   const raftGroup = yield* RaftGroup.make({ electionTime: "2 seconds", leaseTime: "30 seconds" })
 *   const servers = yield* NodeServer.cluster({ dialect: "raft", nodes: 3, raftGroup })
 *   const [leader = ""] = yield* raftGroup.members
 *   yield* raftGroup.partition([leader]) // the others elect a leader; the old one serves stale reads
 *   yield* Effect.sleep("5 seconds")
 *   yield* raftGroup.heal()
 *   return servers
 * }).pipe(Effect.scoped)
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: RaftGroupOptions = {}): Effect.Effect<RaftGroup> =>
  Effect.sync(() => {
    const group = new Group({
      electionTime: DurationLike.toMillis("electionTime", options.electionTime ?? "1 second"),
      leaseTime: DurationLike.toMillis("leaseTime", options.leaseTime ?? Duration.zero),
      replicationDelay: DurationLike.toMillis("replicationDelay", options.replicationDelay ?? Duration.zero)
    })
    const change = (transition: (state: GroupState.GroupState) => GroupState.GroupState): Effect.Effect<void> =>
      Effect.map(Clock.currentTimeMillis, (now) => group.change(transition, now))
    const known = (address: string): Effect.Effect<string> =>
      Effect.suspend(() =>
        GroupState.find(group.state, address) === undefined
          ? Effect.die(new Cause.IllegalArgumentException(`${JSON.stringify(address)} is no member of the raft group`))
          : Effect.succeed(address)
      )

    return {
      members: Effect.sync(() => group.state.members.map(({ address }) => address)),
      leader: Effect.map(Clock.currentTimeMillis, (now) => {
        group.settle(now)
        return Option.fromNullable(group.state.leader)
      }),
      stepDown: change(GroupState.stepDown),
      cut: (from, to) =>
        Effect.zipRight(
          Effect.zip(known(from), known(to)),
          change((state) => GroupState.cut(state, from, to))
        ),
      partition: (members) =>
        Effect.zipRight(
          Effect.forEach(members, known),
          change((state) => GroupState.partition(state, members))
        ),
      bootstrap: (member, duration) =>
        Effect.map(Effect.zip(known(member), Clock.currentTimeMillis), ([address, now]) =>
          group.bootstrap(address, now, DurationLike.toMillis("duration", duration))
        ),
      lag: (member, delay) =>
        Effect.map(known(member), () => void group.lags.set(member, DurationLike.toMillis("delay", delay))),
      heal: (member) =>
        Effect.suspend(() => {
          if (member === undefined) group.lags.clear()
          else group.lags.delete(member)
          return change((state) => GroupState.heal(state, member))
        }),
      join: (entries, host, now) => group.join(entries, host, now)
    }
  })

/** The state, what the members hold, and the one place where both change. */
class Group {
  state = GroupState.empty
  readonly lags = new Map<string, number>()
  private readonly replicas = new Map<string, Replica.Replica>()

  constructor(private readonly timing: GroupState.Timing & { readonly replicationDelay: number }) {}

  settle(now: number): void {
    if (now >= GroupState.nextChange(this.state)) this.enter(GroupState.settle(this.state, this.timing, now), now)
    for (const { address, up } of this.state.members) {
      if (up) this.replicas.get(address)?.applyDue(now)
    }
  }

  change(transition: (state: GroupState.GroupState) => GroupState.GroupState, now: number): void {
    this.settle(now)
    this.enter(GroupState.reconsider(transition(this.state), this.timing, now), now)
    this.settle(now)
  }

  join(entries: CacheEntries, host: string, now: number): Membership {
    const address = GroupState.freeAddress(this.state, host)
    const replica = Replica.make(entries)
    this.replicas.set(address, replica)
    this.change((state) => GroupState.join(state, address), now)
    return {
      address,
      settle: (now) => this.settle(now),
      isLeader: () => GroupState.leads(this.state, address),
      leader: (now) => GroupState.leaderKnownTo(this.state, address, now) ?? "",
      commit: (write, now) =>
        this.state.leader === address ? this.commit(replica, write, now) : replica.entries.apply(write, now),
      stop: (now) => this.stop(address, (state) => GroupState.stop(state, address), now),
      start: (keep, now) => {
        if (GroupState.find(this.state, address)?.up === false) {
          this.change((state) => GroupState.start(state, address, keep), now)
        }
      },
      leave: (now) => {
        this.stop(address, (state) => GroupState.leave(state, address), now)
        this.replicas.delete(address)
        this.lags.delete(address)
      }
    }
  }

  bootstrap(address: string, now: number, duration: number): void {
    this.change((state) => GroupState.bootstrap(state, address, now + duration), now)
    if (GroupState.leads(this.state, address)) this.replicas.get(address)?.empty()
  }

  private stop(
    address: string,
    transition: (state: GroupState.GroupState) => GroupState.GroupState,
    now: number
  ): void {
    this.settle(now)
    // What it has received is in its log, from which it starts again.
    if (GroupState.find(this.state, address)?.up === true)
      this.replicas.get(address)?.applyDue(Number.POSITIVE_INFINITY)
    this.change(transition, now)
  }

  private commit(leader: Replica.Replica, write: Write, now: number): boolean {
    const done = leader.entries.apply(write, now)
    if (write._tag === "Add" && !done) return false
    // What the leader has found is not found again on followers, which may have evicted other keys: there an `Add` that
    // stored is a put, and a `Put` that was too large a delete.
    const replicated: Write =
      write._tag === "Add"
        ? { ...write, _tag: "Put" }
        : write._tag === "Put" && !done
          ? { _tag: "Delete", key: write.key }
          : write
    for (const follower of GroupState.followers(this.state)) {
      this.replicas.get(follower)?.receive(replicated, now, this.dueAt(follower, now))
    }
    this.state = GroupState.commit(this.state)
    this.settle(now)
    return done
  }

  /** Members take over what they lack in the new state, and a new leader applies all that it holds. */
  private enter(state: GroupState.GroupState, now: number): void {
    const { leader } = this.state
    const [next, transfers] = GroupState.catchUp(state)
    if (next.leader !== undefined && next.leader !== leader) {
      this.replicas.get(next.leader)?.applyDue(Number.POSITIVE_INFINITY)
    }
    for (const { from, to } of transfers) {
      const source = this.replicas.get(from)
      if (source !== undefined) this.replicas.get(to)?.takeOver(source, now, this.dueAt(to, now))
    }
    this.state = next
  }

  private dueAt(address: string, now: number): number {
    return now + this.timing.replicationDelay + (this.lags.get(address) ?? 0)
  }
}
