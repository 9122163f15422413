import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as GroupState from "../../src/server/GroupState.js"

type State = GroupState.GroupState
type Step = readonly [now: number, transition: (state: State) => State]

const timing: GroupState.Timing = { electionTime: 1000, leaseTime: 300 }

const [a, b, c] = ["a:11000", "b:11000", "c:11000"]

/** Each step as the group takes it: what is due, the change, its consequences. */
const take = (
  [state]: readonly [State, ReadonlyArray<GroupState.Transfer>],
  [now, transition]: Step
): readonly [State, ReadonlyArray<GroupState.Transfer>] => {
  const [settled, due] = GroupState.catchUp(GroupState.settle(state, timing, now))
  const changed = GroupState.reconsider(transition(settled), timing, now)
  const [next, transfers] = GroupState.catchUp(GroupState.settle(changed, timing, now))
  return [next, [...due, ...transfers]]
}

const start: readonly [State, ReadonlyArray<GroupState.Transfer>] = [
  ([a, b, c] as const).reduce<State>(
    (state, address) => GroupState.catchUp(GroupState.join(state, address))[0],
    GroupState.empty
  ),
  []
]

const nothing = (state: State) => state
const stop = (address: string) => (state: State) => GroupState.stop(state, address)
const begin = (address: string, keep: boolean) => (state: State) => GroupState.start(state, address, keep)
const leave = (address: string) => (state: State) => GroupState.leave(state, address)
const cut = (from: string, to: string) => (state: State) => GroupState.cut(state, from, to)
const partition = (side: ReadonlyArray<string>) => (state: State) => GroupState.partition(state, side)
const bootstrap = (address: string, until: number) => (state: State) => GroupState.bootstrap(state, address, until)
const heal = (address?: string) => (state: State) => GroupState.heal(state, address)

interface Row {
  readonly steps: ReadonlyArray<Step>
  readonly leader: string | undefined
  /** The leader that each member knows of, at the last step's time. */
  readonly known?: readonly [string | undefined, string | undefined, string | undefined]
  /** What the last step has members take over. */
  readonly transfers?: ReadonlyArray<readonly [from: string, to: string]>
  /** How many writes each member holds. */
  readonly held?: ReadonlyArray<number>
  readonly electionAt?: number
}

const rows: { readonly [name: string]: Row } = {
  "the first member leads": { steps: [], leader: a, known: [a, a, a] },
  "a write is on all members that the leader reaches": {
    steps: [
      [0, cut(a, c)],
      [0, GroupState.commit]
    ],
    leader: a,
    held: [1, 1, 0],
    known: [a, a, undefined]
  },
  "a leader that stops is followed by another after the election time": {
    steps: [[0, stop(a)]],
    leader: undefined,
    electionAt: 1000,
    known: [undefined, undefined, undefined]
  },
  "and not earlier": {
    steps: [
      [0, stop(a)],
      [999, nothing]
    ],
    leader: undefined
  },
  "and then the next one leads": {
    steps: [
      [0, stop(a)],
      [1000, nothing]
    ],
    leader: b
  },
  "further losses do not put an election off": {
    steps: [
      [0, GroupState.stepDown],
      [900, stop(a)],
      [1000, nothing]
    ],
    leader: b
  },
  "without a majority there is no election": {
    steps: [
      [0, stop(b)],
      [0, stop(c)]
    ],
    leader: undefined,
    electionAt: Number.POSITIVE_INFINITY
  },
  "a leader that loses its majority takes itself for the leader while its lease lasts": {
    steps: [
      [0, partition([a])],
      [299, nothing]
    ],
    leader: undefined,
    known: [a, undefined, undefined]
  },
  "and no longer": {
    steps: [
      [0, partition([a])],
      [300, nothing]
    ],
    leader: undefined,
    known: [undefined, undefined, undefined]
  },
  "it leads on where the majority is back before the lease is over": {
    steps: [
      [0, partition([a])],
      [299, heal()]
    ],
    leader: a,
    known: [a, a, a],
    transfers: [],
    electionAt: Number.POSITIVE_INFINITY
  },
  "and not where it is back later": {
    steps: [
      [0, partition([a])],
      [300, heal()]
    ],
    leader: undefined,
    electionAt: 1000
  },
  "the majority elects a leader, which the other one does not hear of": {
    steps: [
      [0, partition([a])],
      [1000, GroupState.commit]
    ],
    leader: b,
    held: [0, 1, 1],
    known: [undefined, b, b]
  },
  "a deposed leader takes over from the new one when it hears of it": {
    steps: [
      [0, partition([a])],
      [1000, GroupState.commit],
      [1000, heal()]
    ],
    leader: b,
    held: [1, 1, 1],
    known: [b, b, b],
    transfers: [[b, a]]
  },
  "a follower that is cut off does not depose the leader, and catches up": {
    steps: [
      [0, partition([c])],
      [0, GroupState.commit],
      [5000, heal(c)]
    ],
    leader: a,
    held: [1, 1, 1],
    transfers: [[a, c]]
  },
  "a leader whose messages do not arrive at the majority is deposed": {
    steps: [
      [0, cut(a, b)],
      [0, cut(a, c)],
      [1000, nothing]
    ],
    leader: b,
    known: [b, b, b]
  },
  "a leader that hears no majority is deposed as well": {
    steps: [
      [0, cut(b, a)],
      [0, cut(c, a)],
      [1000, nothing]
    ],
    leader: b,
    known: [undefined, b, b]
  },
  "whoever lacks writes takes them over from the others before it is elected": {
    steps: [
      [0, cut(a, b)],
      [0, GroupState.commit],
      [0, stop(a)],
      [1000, nothing]
    ],
    leader: b,
    held: [1, 1, 1]
  },
  "a member that restarts empty takes over from the leader": {
    steps: [
      [0, GroupState.commit],
      [0, stop(c)],
      [0, begin(c, false)]
    ],
    leader: a,
    held: [1, 1, 1],
    transfers: [[a, c]]
  },
  "one that has kept all takes over nothing": {
    steps: [
      [0, GroupState.commit],
      [0, stop(c)],
      [0, begin(c, true)]
    ],
    leader: a,
    transfers: []
  },
  "one that restarts empty behind a cut stays empty, and is not elected": {
    steps: [
      [0, GroupState.commit],
      [0, stop(c)],
      [0, partition([c])],
      [0, begin(c, false)],
      [0, stop(a)],
      [5000, nothing]
    ],
    leader: undefined,
    held: [1, 1, 0]
  },
  "what was kept by one that returns counts, where the others have lost it and there is no leader": {
    steps: [
      [0, GroupState.commit],
      [0, stop(c)],
      [0, stop(a)],
      [0, stop(b)],
      [0, begin(b, false)],
      [0, begin(c, true)]
    ],
    leader: undefined,
    held: [1, 1, 1],
    transfers: [[c, b]]
  },
  "and does not where they have elected a leader": {
    steps: [
      [0, GroupState.commit],
      [0, stop(c)],
      [0, stop(a)],
      [0, stop(b)],
      [0, begin(b, false)],
      [0, begin(a, false)],
      [1000, nothing],
      [1000, begin(c, true)]
    ],
    leader: b,
    held: [0, 0, 0],
    transfers: [[b, c]]
  },
  "a leader that leads alone is named by the others, until they elect one": {
    steps: [
      [0, GroupState.commit],
      [0, stop(a)],
      [0, begin(a, false)],
      [900, bootstrap(a, 2000)]
    ],
    leader: undefined,
    electionAt: 1000,
    known: [a, a, a],
    held: [0, 1, 1]
  },
  "and then not": {
    steps: [
      [0, GroupState.commit],
      [0, bootstrap(a, 2000)],
      [1500, nothing]
    ],
    leader: b,
    known: [a, b, b],
    held: [0, 1, 1]
  },
  "and when its time is over, it takes over what they hold": {
    steps: [
      [0, GroupState.commit],
      [0, bootstrap(a, 2000)],
      [5000, nothing]
    ],
    leader: b,
    known: [b, b, b],
    held: [1, 1, 1],
    transfers: [[b, a]]
  },
  "before they have elected one, too": {
    steps: [
      [0, GroupState.commit],
      [0, bootstrap(a, 500)],
      [600, nothing]
    ],
    leader: undefined,
    electionAt: 1000,
    known: [undefined, undefined, undefined],
    held: [1, 1, 1]
  },
  "a follower that leads alone is named by nobody else": {
    steps: [[0, bootstrap(c, 500)]],
    leader: a,
    known: [a, a, c]
  },
  "two that lead alone leave no majority, until one is back": {
    steps: [
      [0, bootstrap(a, 2000)],
      [0, bootstrap(b, 3000)],
      [2000, nothing]
    ],
    leader: undefined,
    electionAt: 3000,
    known: [undefined, b, undefined]
  },
  "what is healed leads alone no longer, and what is stopped neither": {
    steps: [
      [0, bootstrap(b, 9000)],
      [0, bootstrap(c, 9000)],
      [0, heal(b)],
      [0, stop(c)],
      [0, begin(c, true)]
    ],
    leader: a,
    known: [a, a, a]
  },
  "a member that leaves does not count any more": {
    steps: [
      [0, leave(b)],
      [0, leave(c)]
    ],
    leader: a
  },
  "nor do the cuts to it": {
    steps: [
      [0, partition([c])],
      [0, leave(c)],
      [0, (state) => GroupState.join(state, c)]
    ],
    leader: a,
    known: [a, a, a]
  }
}

describe("GroupState", () => {
  for (const [name, { electionAt, held, known, leader, steps, transfers }] of Object.entries(rows)) {
    it(name, () => {
      const [state, moved] = steps.reduce(take, start)
      expect(state.leader).toBe(leader)
      const now = steps.at(-1)?.[0] ?? 0
      if (known !== undefined) {
        expect([a, b, c].map((address) => GroupState.leaderKnownTo(state, address, now))).toEqual(known)
      }
      if (transfers !== undefined) expect(moved.map(({ from, to }) => [from, to])).toEqual(transfers)
      if (held !== undefined) expect(state.members.map((member) => member.held.index)).toEqual(held)
      if (electionAt !== undefined) expect(state.electionAt).toBe(electionAt)
    })
  }

  const address = fc.constantFrom(a, b, c)
  const transition: fc.Arbitrary<(state: State) => State> = fc.oneof(
    fc
      .tuple(
        fc.constantFrom(stop, (address: string) => begin(address, true)),
        address
      )
      .map(([f, at]) => f(at)),
    fc.tuple(address, address).map(([from, to]) => cut(from, to)),
    fc.oneof(fc.constant(undefined), address).map(heal),
    fc.array(address).map(partition),
    fc.tuple(address, fc.integer({ min: 1, max: 20_000 })).map(([at, until]) => bootstrap(at, until)),
    fc.constantFrom(GroupState.stepDown, nothing)
  )

  it.prop(
    "a leader reaches a majority, and none of its voters holds more; it is never elected behind a cut",
    [fc.array(fc.tuple(fc.integer({ min: 0, max: 800 }), transition), { maxLength: 40 })],
    ([steps]) => {
      let now = 0
      let current = start
      for (const [wait, transition] of steps) {
        now += wait
        current = take(current, [now, transition])
        const [state] = current
        if (state.leader === undefined) continue
        const leader = state.leader
        const reached = state.members.filter(
          (member) =>
            GroupState.reaches(state, leader, member.address) && GroupState.reaches(state, member.address, leader)
        )
        expect(reached.length * 2).toBeGreaterThan(state.members.length)
        for (const follower of GroupState.followers(state)) {
          expect(GroupState.find(state, follower)?.held).toEqual(GroupState.find(state, leader)?.held)
        }
        current = take(current, [now, GroupState.commit])
      }
      const healed = take(
        take(current, [now, (state) => [a, b, c].reduce((s, m) => begin(m, true)(s), heal()(state))]),
        [now + 1000, nothing]
      )[0]
      expect(healed.leader).toBeDefined()
      expect(healed.electionAt).toBe(Number.POSITIVE_INFINITY)
      expect(new Set(healed.members.map(({ held }) => JSON.stringify(held))).size).toBe(1)
    }
  )
})
