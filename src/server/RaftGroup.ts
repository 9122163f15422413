/**
 * A raft cluster in one process, as its clients see one: a leader that takes the writes, followers that apply them a
 * little later, and a time without a leader after each that is lost. Nothing is sent between the members; they share the
 * log. Its time is what its members' requests bring along, so that no timer runs.
 *
 * A write is committed where a majority of the members is up: all of these hold it, so that none is lost as long as one
 * of them stays up. Real servers need a majority for that.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { format } from "../model/NodeAddress.js"
import type { CacheEntries, Entry, Write } from "./CacheEntries.js"

/** How a {@link RaftGroup} takes its time. */
export interface RaftGroupOptions {
  /**
   * How much later than the leader the followers apply a write, and a restarted member what the others hold. Default: 0.
   */
  readonly replicationDelay?: Duration.DurationInput | undefined
  /** How long the group is without a leader once it has lost one, or its majority is back. Default: 1 second. */
  readonly electionTime?: Duration.DurationInput | undefined
}

/** A simulated raft cluster. Its members are the nodes that are made with it; the first one leads at once. */
export interface RaftGroup {
  /** The leader's raft address, as `getLeader` answers it; none while there is no leader. */
  readonly leader: Effect.Effect<Option.Option<string>>
  /** The leader becomes a follower, and after the election time another member leads. Nothing where none does. */
  readonly stepDown: Effect.Effect<void>
  /** @internal The node whose entries these are becomes a member, up and with all that the others hold. */
  readonly join: (entries: CacheEntries, host: string, now: number) => Membership
}

/** A node's place in its raft group, each operation at a time in milliseconds since the epoch. */
export interface Membership {
  /** Brings the group to that time: elections that are over, writes that are due. */
  readonly settle: (now: number) => void
  /** Whether it leads, as last settled. */
  readonly isLeader: () => boolean
  /** The leader's raft address, as last settled; empty while there is none. */
  readonly leader: () => string
  /** A write through the leader, which this is. Tells what `CacheEntries.apply` does. */
  readonly commit: (write: Write, now: number) => boolean
  /** The member is gone, until it starts. */
  readonly stop: (now: number) => void
  /** It is back, until it has caught up with the entries that it has: none, or with `keep` those that it had. */
  readonly start: (keep: boolean, now: number) => void
  /** It is no member any more. */
  readonly leave: (now: number) => void
}

interface Member {
  readonly address: string
  readonly entries: CacheEntries
  up: boolean
  /** The index in the log of the first write that it has not applied. */
  next: number
  /** The term of the last write that it held when it stopped. */
  term: number
  /** What it takes over from another, and when; the writes from `next` on come after that. */
  incoming: { readonly entries: ReadonlyArray<readonly [string, Entry]>; readonly dueAt: number } | undefined
}

const firstRaftPort = 11_000

/**
 * A group without members. Give it to the nodes that are to form it: `NodeServer.make({ dialect: "raft", raftGroup })`.
 *
 * @example
 * import { Effect } from "effect"
 * import { NodeServer, RaftGroup } from "effect-ghostdb"
 *
 * const program = Effect.gen(function* () {
 *   const raftGroup = yield* RaftGroup.make({ replicationDelay: "50 millis", electionTime: "2 seconds" })
 *   const servers = yield* NodeServer.cluster({ dialect: "raft", nodes: 3, raftGroup })
 *   yield* raftGroup.stepDown
 *   return servers
 * }).pipe(Effect.scoped)
 */
export const make = (options: RaftGroupOptions = {}): Effect.Effect<RaftGroup> =>
  Effect.sync(() => {
    const replicationDelay = Duration.toMillis(options.replicationDelay ?? Duration.zero)
    const electionTime = Duration.toMillis(options.electionTime ?? Duration.seconds(1))

    let members: ReadonlyArray<Member> = []
    let leader: Member | undefined
    let lastLeader: Member | undefined
    /** Infinity while there is a leader, and while there can be none. */
    let electionAt = Number.POSITIVE_INFINITY
    let term = 0
    /** The term of the last write that the members hold which are up. */
    let lastTerm = 0
    /** The writes that a member which is up has not applied yet, from the index `first` on. */
    let log: Array<{ readonly write: Write; readonly at: number }> = []
    let first = 0

    const others = (member: Member) => members.filter((other) => other.up && other !== member)

    /** The member applies what is due by then. */
    const catchUp = (member: Member, until: number): void => {
      if (member.incoming !== undefined) {
        if (member.incoming.dueAt > until) return
        member.entries.replace(member.incoming.entries)
        member.incoming = undefined
      }
      for (;;) {
        const pending = log[member.next - first]
        if (pending === undefined || pending.at + replicationDelay > until) return
        member.entries.apply(pending.write, pending.at)
        member.next++
      }
    }

    const compact = (): void => {
      const end = first + log.length
      const applied = members.reduce((least, { next, up }) => (up ? Math.min(least, next) : least), end) - first
      // At least the half at a time: what is left has to be moved.
      if (applied === 0 || applied * 2 < log.length) return
      log = log.slice(applied)
      first += applied
    }

    const lead = (member: Member): void => {
      catchUp(member, Number.POSITIVE_INFINITY)
      leader = member
      lastLeader = member
      electionAt = Number.POSITIVE_INFINITY
      lastTerm = ++term
    }

    /** Any member that is up can lead: each holds what all hold. Whoever led last comes last. */
    const elect = (): void => {
      const after = lastLeader === undefined ? 0 : members.indexOf(lastLeader) + 1
      const candidate = [...members.slice(after), ...members.slice(0, after)].find(({ up }) => up)
      if (candidate !== undefined) lead(candidate)
    }

    const settle = (now: number): void => {
      if (now >= electionAt) elect()
      for (const member of members) {
        if (member.up) catchUp(member, now)
      }
      if (log.length > 0) compact()
    }

    /** Members have come or gone. */
    const reconsider = (now: number): void => {
      if (members.filter(({ up }) => up).length * 2 <= members.length) {
        leader = undefined
        electionAt = Number.POSITIVE_INFINITY
      } else if (leader === undefined) {
        electionAt = Math.min(electionAt, now + electionTime)
      }
      settle(now)
    }

    const stop = (member: Member, now: number): void => {
      settle(now)
      if (!member.up) return
      catchUp(member, Number.POSITIVE_INFINITY)
      member.up = false
      member.term = lastTerm
      if (leader === member) leader = undefined
    }

    const takeOver = (member: Member, source: Member, now: number): void => {
      member.incoming = {
        entries: source.incoming?.entries ?? source.entries.list(now),
        dueAt: now + replicationDelay
      }
      member.next = source.next
    }

    const start = (member: Member, now: number): void => {
      settle(now)
      const present = others(member)
      const [source] = present
      const end = first + log.length
      // As in raft, the last write's term decides who holds more, then its index.
      const holdsMore = member.term > lastTerm || (member.term === lastTerm && member.next > end)
      if (source !== undefined && !holdsMore) takeOver(member, source, now)
      else {
        log = []
        first = member.next
        lastTerm = member.term
        for (const other of present) takeOver(other, member, now)
      }
      member.up = true
      reconsider(now)
    }

    const addressOf = (host: string): string => {
      const taken = new Set(members.map(({ address }) => address))
      for (let port = firstRaftPort; ; port++) {
        const address = format(host, port)
        if (!taken.has(address)) return address
      }
    }

    const join = (entries: CacheEntries, host: string, now: number): Membership => {
      const member: Member = { address: addressOf(host), entries, up: false, next: 0, term: 0, incoming: undefined }
      members = [...members, member]
      start(member, now)
      if (members.length === 1) lead(member)
      return {
        settle,
        isLeader: () => leader === member,
        leader: () => leader?.address ?? "",
        commit: (write, now) => {
          const done = entries.apply(write, now)
          // What the leader has found out is not found out again: a follower may have evicted the key.
          if (write._tag === "Add" && !done) return false
          log.push({ write: write._tag === "Add" ? { ...write, _tag: "Put" } : write, at: now })
          member.next++
          lastTerm = term
          settle(now)
          return done
        },
        stop: (now) => {
          stop(member, now)
          reconsider(now)
        },
        start: (keep, now) => {
          if (member.up) return
          if (!keep) {
            member.next = 0
            member.term = 0
          }
          start(member, now)
        },
        leave: (now) => {
          stop(member, now)
          members = members.filter((other) => other !== member)
          reconsider(now)
        }
      }
    }

    return {
      leader: Effect.map(Clock.currentTimeMillis, (now) => {
        settle(now)
        return Option.map(Option.fromNullable(leader), ({ address }) => address)
      }),
      stepDown: Effect.map(Clock.currentTimeMillis, (now) => {
        settle(now)
        leader = undefined
        reconsider(now)
      }),
      join
    }
  })
