/**
 * The state of a simulated raft group: who is up, who reaches whom, who leads, and how much of the log each member holds.
 * The transitions are pure; what the members hold is beside it, in their {@link Replica}s.
 *
 * It follows raft in what clients can see, and leaves out the messages: a write is on all members that the leader reaches
 * at once, and the group knows at once when its leader has lost the majority.
 */

import { format } from "../model/NodeAddress.js"

/** How much of the log a member holds: the term of the last leader it has followed, and the number of writes. */
export interface Position {
  readonly term: number
  readonly index: number
}

/** A member of the group. */
export interface Member {
  /** Raft address, `host:port`; unique in the group. */
  readonly address: string
  readonly up: boolean
  readonly held: Position
  /** A deposed leader that has not heard of it takes itself for the leader until then, in milliseconds. */
  readonly believesUntil: number
  /** It leads a cluster of its own until then, in milliseconds; 0 where it does not. */
  readonly aloneUntil: number
}

/** A raft group at one moment. */
export interface GroupState {
  /** In the order in which they joined. */
  readonly members: ReadonlyArray<Member>
  /** Pairs of addresses, as {@link link} writes them, between which no message passes in that direction. */
  readonly cuts: ReadonlySet<string>
  /** The leader, which reaches a majority; undefined while there is none. */
  readonly leader: string | undefined
  /** Whoever led last is the last candidate of the next election. */
  readonly lastLeader: string | undefined
  /** The time of the next election; `Infinity` while there is a leader, and while there can be none. */
  readonly electionAt: number
  readonly term: number
}

/** How long elections take and leases last, in milliseconds. */
export interface Timing {
  readonly electionTime: number
  readonly leaseTime: number
}

/** A member takes over what another one holds. */
export interface Transfer {
  readonly from: string
  readonly to: string
}

/** A group without members. */
export const empty: GroupState = {
  members: [],
  cuts: new Set(),
  leader: undefined,
  lastLeader: undefined,
  electionAt: Number.POSITIVE_INFINITY,
  term: 0
}

/** One direction between two members. */
export const link = (from: string, to: string): string => `${from}>${to}`

const origin: Position = { term: 0, index: 0 }

const isBehind = (a: Position, b: Position): boolean => a.term < b.term || (a.term === b.term && a.index < b.index)

/** The member of that address, undefined where it is none. */
export const find = (state: GroupState, address: string): Member | undefined =>
  state.members.find((member) => member.address === address)

const isAlone = (state: GroupState, address: string): boolean => (find(state, address)?.aloneUntil ?? 0) > 0

/**
 * Whether messages of one member arrive at the other. A member that is up reaches itself, and one that leads a cluster of
 * its own nobody else.
 */
export const reaches = (state: GroupState, from: string, to: string): boolean =>
  find(state, from)?.up === true &&
  find(state, to)?.up === true &&
  (from === to || !(isAlone(state, from) || isAlone(state, to))) &&
  !state.cuts.has(link(from, to))

/** Whether the member takes writes: it leads the group, or a cluster of its own. */
export const leads = (state: GroupState, address: string): boolean =>
  state.leader === address || isAlone(state, address)

/** The members that exchange messages with this one in both directions, itself among them. */
const peers = (state: GroupState, address: string): ReadonlyArray<Member> =>
  state.members.filter((other) => reaches(state, address, other.address) && reaches(state, other.address, address))

const isMajority = (state: GroupState, count: number): boolean => count * 2 > state.members.length

const hasQuorum = (state: GroupState, address: string): boolean => isMajority(state, peers(state, address).length)

const update = (state: GroupState, address: string, change: Partial<Member>): GroupState => ({
  ...state,
  members: state.members.map((member) => (member.address === address ? { ...member, ...change } : member))
})

/** The members that the leader's messages reach, without itself: those that follow it. */
export const followers = (state: GroupState): ReadonlyArray<string> => {
  const { leader } = state
  return leader === undefined
    ? []
    : state.members.flatMap(({ address }) => (address !== leader && reaches(state, leader, address) ? [address] : []))
}

/**
 * The leader as a member knows it: undefined while it knows of none. A deposed leader may still name itself, and so does one
 * that leads a cluster of its own; while the others have elected nobody, they have not noticed that it had been gone.
 */
export const leaderKnownTo = (state: GroupState, address: string, now: number): string | undefined => {
  const { lastLeader, leader } = state
  if (leader !== undefined && reaches(state, leader, address)) return leader
  const member = find(state, address)
  if (member?.up !== true) return undefined
  if (member.believesUntil > now || member.aloneUntil > 0) return address
  return leader === undefined && lastLeader !== undefined && isAlone(state, lastLeader) ? lastLeader : undefined
}

/** A free address on a host: raft's port, or the next that no member has. */
export const freeAddress = (state: GroupState, host: string): string => {
  for (let port = 11_000; ; port++) {
    const address = format(host, port)
    if (find(state, address) === undefined) return address
  }
}

/** The member leads, in a new term. */
export const lead = (state: GroupState, address: string): GroupState => {
  const term = state.term + 1
  const held = find(state, address)?.held ?? origin
  const leading: GroupState = {
    ...state,
    leader: address,
    lastLeader: address,
    electionAt: Number.POSITIVE_INFINITY,
    term
  }
  const following = followers(leading)
  return {
    ...leading,
    members: leading.members.map((member) => {
      const isFollower = following.includes(member.address)
      if (member.address !== address && !isFollower) return member
      // Whoever holds the same as the new leader stays in step with it; the others catch up.
      const inStep = member.held.term === held.term && member.held.index === held.index
      return { ...member, believesUntil: 0, held: inStep ? { term, index: held.index } : member.held }
    })
  }
}

/** The first member that wins: a majority that it reaches holds no more than it does. Whoever led last comes last. */
export const elect = (state: GroupState): GroupState => {
  const after = state.members.findIndex(({ address }) => address === state.lastLeader) + 1
  const candidates = [...state.members.slice(after), ...state.members.slice(0, after)]
  const winner = candidates.find(({ address, held }) =>
    isMajority(state, peers(state, address).filter((voter) => !isBehind(held, voter.held)).length)
  )
  return winner === undefined ? { ...state, electionAt: Number.POSITIVE_INFINITY } : lead(state, winner.address)
}

/** When the group changes by itself next: an election is over, or a member's time alone; `Infinity` where it does not. */
export const nextChange = (state: GroupState): number =>
  state.members.reduce((next, { aloneUntil }) => (aloneUntil > 0 ? Math.min(next, aloneUntil) : next), state.electionAt)

/**
 * The group at a later time: an election that is over has a leader, and a member whose time alone is over belongs to the
 * others again, and holds nothing.
 */
export const settle = (state: GroupState, timing: Timing, now: number): GroupState => {
  const at = nextChange(state)
  if (at > now) return state
  if (at === state.electionAt) return settle(elect(state), timing, now)
  return settle(
    reconsider(
      rejoined(state, ({ aloneUntil }) => aloneUntil === at),
      timing,
      at
    ),
    timing,
    now
  )
}

/** These members, where they lead clusters of their own, belong to the others again, and hold nothing. */
const rejoined = (state: GroupState, concerns: (member: Member) => boolean): GroupState => ({
  ...state,
  members: state.members.map((member) =>
    member.aloneUntil > 0 && concerns(member) ? { ...member, aloneUntil: 0, held: origin } : member
  )
})

/**
 * The members that do not hold what they should, each with the one that it takes over from: its leader or, while there is
 * no leader, the member that holds most of those that reach it.
 */
export const catchUp = (state: GroupState): readonly [GroupState, ReadonlyArray<Transfer>] => {
  const { leader } = state
  const transfers: Array<Transfer> = []
  const members = state.members.map((member) => {
    if (!member.up || member.address === leader) return member
    const sources = state.members.filter(({ address }) => reaches(state, address, member.address))
    const source =
      leader === undefined
        ? sources.reduce((most, other) => (isBehind(most.held, other.held) ? other : most), member)
        : (sources.find(({ address }) => address === leader) ?? member)
    if (source.held.term === member.held.term && source.held.index === member.held.index) return member
    transfers.push({ from: source.address, to: member.address })
    const believesUntil = source.address === leader ? 0 : member.believesUntil
    return { ...member, held: source.held, believesUntil }
  })
  return transfers.length === 0 ? [state, transfers] : [{ ...state, members }, transfers]
}

/**
 * Members have come or gone, or can reach each other or not: the leader keeps its place as long as it reaches a majority,
 * a deposed one that still takes itself for the leader gets it back, and otherwise there is an election, if one can be won.
 */
export const reconsider = (state: GroupState, { electionTime, leaseTime }: Timing, now: number): GroupState => {
  const { leader } = state
  if (leader !== undefined) {
    if (hasQuorum(state, leader)) return state
    return reconsider(
      { ...update(state, leader, { believesUntil: now + leaseTime }), leader: undefined },
      { electionTime, leaseTime },
      now
    )
  }
  const returning = state.members.find(
    ({ address, believesUntil, up }) => up && believesUntil > now && address === state.lastLeader
  )
  if (returning !== undefined && hasQuorum(state, returning.address)) {
    return {
      ...update(state, returning.address, { believesUntil: 0 }),
      leader: returning.address,
      electionAt: Number.POSITIVE_INFINITY
    }
  }
  const canElect = state.members.some(({ address }) => hasQuorum(state, address))
  return { ...state, electionAt: canElect ? Math.min(state.electionAt, now + electionTime) : Number.POSITIVE_INFINITY }
}

/** A node joins, up and with nothing. The first one leads at once. */
export const join = (state: GroupState, address: string): GroupState => {
  const joined: GroupState = {
    ...state,
    members: [...state.members, { address, up: true, held: origin, believesUntil: 0, aloneUntil: 0 }]
  }
  return joined.members.length === 1 ? lead(joined, address) : joined
}

/** The member is gone, until it starts. A leader that stops knows that it no longer leads. */
export const stop = (state: GroupState, address: string): GroupState => ({
  ...update(state, address, { up: false, believesUntil: 0, aloneUntil: 0 }),
  leader: state.leader === address ? undefined : state.leader
})

/** The member is back: empty, or with `keep` with what it held. */
export const start = (state: GroupState, address: string, keep: boolean): GroupState =>
  update(state, address, { up: true, ...(keep ? {} : { held: origin }) })

/** It is no longer a member. */
export const leave = (state: GroupState, address: string): GroupState => {
  const gone = heal(stop(state, address), address)
  return { ...gone, members: gone.members.filter((member) => member.address !== address) }
}

/** A member that is up holds nothing, and leads a cluster of its own until then. */
export const bootstrap = (state: GroupState, address: string, until: number): GroupState =>
  find(state, address)?.up === true
    ? {
        ...update(state, address, { aloneUntil: until, believesUntil: 0, held: origin }),
        leader: state.leader === address ? undefined : state.leader
      }
    : state

/** The leader becomes a follower. */
export const stepDown = (state: GroupState): GroupState => ({ ...state, leader: undefined })

/** A write through the leader: it and its followers hold one more. */
export const commit = (state: GroupState): GroupState => {
  const following = followers(state)
  return {
    ...state,
    members: state.members.map((member) =>
      member.address === state.leader || following.includes(member.address)
        ? { ...member, held: { term: state.term, index: member.held.index + 1 } }
        : member
    )
  }
}

/** No message passes from the one to the other. */
export const cut = (state: GroupState, from: string, to: string): GroupState => ({
  ...state,
  cuts: new Set([...state.cuts, link(from, to)])
})

/** No message passes between these members and the others. */
export const partition = (state: GroupState, side: ReadonlyArray<string>): GroupState => ({
  ...state,
  cuts: new Set([
    ...state.cuts,
    ...state.members.flatMap(({ address }) =>
      side.includes(address) ? [] : side.flatMap((member) => [link(address, member), link(member, address)])
    )
  ])
})

/** All messages pass again, and no member leads alone: all between all members, or those of one member. */
export const heal = (state: GroupState, address?: string): GroupState => ({
  ...rejoined(state, (member) => address === undefined || member.address === address),
  cuts:
    address === undefined
      ? new Set()
      : new Set([...state.cuts].filter((direction) => !direction.split(">").includes(address)))
})
