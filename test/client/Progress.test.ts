import { describe, expect, it } from "@effect/vitest"
import * as Progress from "../../src/client/Progress.js"
import * as ClusterState from "../../src/cluster/ClusterState.js"
import * as Routing from "../../src/cluster/Routing.js"
import type { Dialect } from "../../src/model/Dialect.js"
import type { FailureReason, NodeFailure } from "../../src/model/GhostDBError.js"

const failure = (node: string, reason: FailureReason = "Refused"): NodeFailure => ({ node, reason, detail: "" })

/** A cluster of these nodes, each with what it is: its dialect, "new", or "dead". */
const cluster = (nodes: Readonly<Record<string, Dialect | "new" | "dead">>, leader?: string) => {
  const initial = ClusterState.make(Object.keys(nodes), { replicas: 1, dialect: undefined, now: 0 })
  const state = Object.entries(nodes).reduce((self, [node, what]) => {
    if (what === "dead") return ClusterState.died(self, node, failure(node), 1)
    return what === "new" ? self : ClusterState.dialectKnown(self, node, what)
  }, initial)
  return leader === undefined ? state : ClusterState.leaderFound(state, leader)
}

/** "k" belongs to this one of three nodes. */
const owner = (() => {
  const route = Routing.route(cluster({ a: "v2", b: "v2", c: "v2" }), "k", false)
  return typeof route === "string" ? "" : route.node
})()
const others = ["a", "b", "c"].filter((node) => node !== owner)
const three = (what: Dialect | "new" | "dead", ownerIs: Dialect | "new" | "dead" = what) => ({
  a: what,
  b: what,
  c: what,
  [owner]: ownerIs
})

const write: Progress.Target = { route: (state) => Routing.route(state, "k", true) }
const read: Progress.Target = { ...write, withoutLeader: (state) => Routing.route(state, "k", false) }
const onOwner: Progress.Target = { only: owner, route: (state) => Routing.routeTo(state, owner, false) }
const { initial } = Progress
const tried = (node: string) => Progress.attempting(initial, node)

/** What a step says, without the route. */
const shown = (step: Progress.Step) => {
  if (step._tag === "Attempt") return `Attempt ${step.node}`
  return step._tag === "Fail" ? step.failures.map(({ node, reason }) => `${node} ${reason}`) : step._tag
}

describe("nextStep", () => {
  const refused = Progress.afterFailure(tried(owner), failure(owner, "NotLeader"), "redirect")
  const searched = Progress.afterSearch(initial, undefined)
  const awaited = Progress.awaitingLeader(searched, cluster(three("raft", "dead")))

  for (const [name, target, progress, state, late, expected] of [
    ["the live owner", write, initial, cluster(three("v2")), false, `Attempt ${owner}`],
    ["an owner that has not been spoken to", write, initial, cluster(three("new")), false, `Attempt ${owner}`],
    ["no live node: the dead are probed", write, initial, cluster(three("dead")), false, "ProbeDead"],
    [
      "no live node after a probe: what they died of",
      write,
      Progress.afterProbe(initial),
      cluster(three("dead")),
      false,
      ["a Refused", "b Refused", "c Refused"]
    ],
    ["no node at all: nothing to tell", write, Progress.afterProbe(initial), cluster({}), false, []],
    ["the one node is dead", onOwner, initial, cluster(three("v2", "dead")), false, [`${owner} Refused`]],
    ["the one node has left", onOwner, initial, cluster({ other: "dead" }), false, []],
    [
      "a write to a raft member: its leader",
      write,
      initial,
      cluster(three("raft"), others[0]),
      false,
      `Attempt ${others[0]}`
    ],
    ["no leader known", write, initial, cluster(three("raft")), false, "FindLeader"],
    ["no leader found: a write waits", write, searched, cluster(three("raft")), false, "AwaitLeader"],
    ["no leader found: a read does without", read, searched, cluster(three("raft")), false, `Attempt ${owner}`],
    ["the leader is the one that refused", write, refused, cluster(three("raft"), owner), false, "FindLeader"],
    [
      "the search finds it again: a write waits",
      write,
      Progress.afterSearch(refused, owner),
      cluster(three("raft"), owner),
      false,
      "AwaitLeader"
    ],
    [
      "the search finds another",
      write,
      Progress.afterSearch(refused, others[0]),
      cluster(three("raft"), others[0]),
      false,
      `Attempt ${others[0]}`
    ],
    [
      "after the wait it is asked again",
      write,
      Progress.afterWait(refused, true),
      cluster(three("raft"), owner),
      false,
      `Attempt ${owner}`
    ],
    [
      "the wait is over: the members that cannot serve it",
      write,
      Progress.afterWait(awaited, false),
      cluster(three("raft", "dead")),
      false,
      ["a", "b", "c"].map((node) => `${node} ${node === owner ? "Refused" : "NotLeader"}`)
    ],
    [
      "too late, and nothing was tried: the dead",
      write,
      initial,
      cluster(three("v2", "dead")),
      true,
      [`${owner} Refused`]
    ],
    [
      "too late between attempts: what has failed",
      write,
      Progress.afterFailure(tried(owner), failure(owner, "Reset"), "dead"),
      cluster(three("v2")),
      true,
      [`${owner} Reset`]
    ]
  ] as const) {
    it(name, () => {
      expect(shown(Progress.nextStep(target, progress, state, late))).toEqual(expected)
    })
  }
})

describe("afterFailure", () => {
  const live = cluster(three("v2"))
  const next = (progress: Progress.Progress, state = live) => shown(Progress.nextStep(write, progress, state, false))

  it("dead: the next owner, and what this one died of is told once", () => {
    const first = Progress.afterFailure(tried(owner), failure(owner), "dead")
    expect(next(first, cluster(three("v2", "dead")))).toMatch(/^Attempt /)
    expect(Progress.afterFailure(first, failure(owner), "dead").failures).toEqual([failure(owner)])
    expect(Progress.afterFailure(first, failure(owner, "Reset"), "dead").failures).toHaveLength(2)
  })

  it("suspect and local: the command ends, whatever else there is", () => {
    for (const [verdict, reason] of [
      ["suspect", "BadReply"],
      ["local", "Overloaded"]
    ] as const) {
      expect(next(Progress.afterFailure(tried(owner), failure(owner, reason), verdict))).toEqual([`${owner} ${reason}`])
    }
  })

  it("retry: the same node, and nothing to tell", () => {
    const progress = Progress.afterFailure(tried(owner), failure(owner, "BadReply"), "retry")
    expect(progress.failures).toEqual([])
    expect(next(progress)).toBe(`Attempt ${owner}`)
  })

  it("a deadline ends the command, after what failed before", () => {
    const dead = Progress.afterFailure(tried("a"), failure("a"), "dead")
    expect(next(Progress.afterDeadline(dead, failure("b", "Deadline")))).toEqual(["a Refused", "b Deadline"])
  })
})
