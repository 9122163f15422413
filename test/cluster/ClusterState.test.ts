import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { assertTrue, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import { DateTime, FastCheck, Option } from "effect"
import * as ClusterState from "../../src/cluster/ClusterState.js"
import * as Routing from "../../src/cluster/Routing.js"
import { Dialect } from "../../src/model/Dialect.js"
import { FailureReason, type Fault } from "../../src/model/GhostDBError.js"
import type { Topology } from "../../src/model/Topology.js"
import * as Ring from "../../src/ring/Ring.js"

const refused: Fault = { reason: "Refused", detail: "ECONNREFUSED" }
const reset: Fault = { reason: "Reset", detail: "" }

const three = () => ClusterState.make(["a", "b", "c"], { replicas: 1, dialect: undefined, now: 100 })
const node = (self: ClusterState.ClusterState, name: string) => self.nodes.get(name)
const live = (self: ClusterState.ClusterState) => self.view.topology.live.map(({ node }) => node)
const dead = (self: ClusterState.ClusterState) => self.view.topology.dead.map(({ node }) => node)

/** The live owner of a key. */
const ownerOf = (self: ClusterState.ClusterState, key: string) => {
  const route = Routing.route(self, key, false)
  return typeof route === "string" ? undefined : route.node
}

const shown = ({ dead, leader, live, placement }: Topology) => ({
  live: live.map(({ dialect, node, since }) => ({
    node,
    dialect: Option.getOrUndefined(dialect),
    since: DateTime.toEpochMillis(since)
  })),
  dead: dead.map(({ failure, node, since }) => ({ node, failure, since: DateTime.toEpochMillis(since) })),
  placement,
  leader: Option.getOrUndefined(leader)
})

/** Everything that a state holds, as text. */
const snapshot = ({ counts, leader, nodes, ring, view }: ClusterState.ClusterState) =>
  JSON.stringify([
    ...[...nodes.values()],
    counts,
    leader,
    ...[...ring.addresses, ...ring.points, ...ring.owners],
    shown(view.topology)
  ])

const freeze = (self: ClusterState.ClusterState) => {
  for (const state of self.nodes.values()) Object.freeze(state)
  Object.freeze(self.view.topology.live)
  Object.freeze(self.view.topology.dead)
  return Object.freeze(self)
}

// The model: what DESIGN says of a node, in as few words as it takes, each rule over the whole list of nodes

interface Entry {
  readonly node: string
  readonly dialect: Dialect | undefined
  /** Doubtful failures since the last success, or since its death or birth. */
  readonly consecutiveFailures: number
  readonly killer: Fault | undefined
  readonly since: number
}
interface Model {
  readonly entries: ReadonlyArray<Entry>
  readonly leader: string | undefined
}

type Event =
  | { readonly _tag: "Succeeded"; readonly node: string }
  | { readonly _tag: "Died"; readonly node: string; readonly fault: Fault }
  | { readonly _tag: "Doubted"; readonly node: string; readonly fault: Fault }
  | { readonly _tag: "Identified"; readonly node: string; readonly dialect: Dialect }
  | { readonly _tag: "Revived"; readonly node: string; readonly dialect: Dialect }
  | { readonly _tag: "Led"; readonly node: string }
  | { readonly _tag: "Deposed"; readonly node: string }
  | { readonly _tag: "Reloaded"; readonly nodes: ReadonlyArray<string> }

interface Rules {
  readonly threshold: number
  readonly replicas: number
  readonly dialect: Dialect | undefined
}

const born = (node: string, { dialect }: Rules, now: number): Entry => ({
  node,
  dialect,
  consecutiveFailures: 0,
  killer: undefined,
  since: now
})

const next = (self: ReadonlyArray<Entry>, event: Event, rules: Rules, now: number): ReadonlyArray<Entry> => {
  if (event._tag === "Reloaded") {
    return [...new Set(event.nodes)].map((name) => self.find(({ node }) => node === name) ?? born(name, rules, now))
  }
  return self.map((entry) => {
    if (entry.node !== event.node) return entry
    const alive = entry.killer === undefined
    switch (event._tag) {
      case "Succeeded":
        return { ...entry, consecutiveFailures: 0 }
      case "Died":
        return alive ? { ...entry, consecutiveFailures: 0, killer: event.fault, since: now } : entry
      case "Doubted": {
        if (!alive) return entry
        const last = entry.consecutiveFailures + 1 === rules.threshold
        return last
          ? { ...entry, consecutiveFailures: 0, killer: event.fault, since: now }
          : { ...entry, consecutiveFailures: entry.consecutiveFailures + 1 }
      }
      case "Identified":
        return { ...entry, dialect: event.dialect }
      case "Revived":
        return alive
          ? entry
          : { ...born(event.node, rules, now), dialect: event.dialect, consecutiveFailures: rules.threshold - 1 }
      default:
        return entry
    }
  })
}

const model = (self: Model, event: Event, rules: Rules, now: number): Model => {
  const entries = next(self.entries, event, rules, now)
  const mayLead = (name: string) =>
    entries.some(({ dialect, killer, node }) => node === name && killer === undefined && dialect === "raft")
  if (event._tag === "Led" && mayLead(event.node)) return { entries, leader: event.node }
  if (event._tag === "Deposed" && self.leader === event.node) return { entries, leader: undefined }
  return { entries, leader: self.leader !== undefined && mayLead(self.leader) ? self.leader : undefined }
}

const apply = (self: ClusterState.ClusterState, event: Event, rules: Rules, now: number): ClusterState.ClusterState => {
  switch (event._tag) {
    case "Succeeded":
      return ClusterState.succeeded(self, event.node)
    case "Died":
      return ClusterState.died(self, event.node, event.fault, now)
    case "Doubted":
      return ClusterState.suspected(self, event.node, event.fault, rules.threshold, now)
    case "Identified":
      return ClusterState.dialectKnown(self, event.node, event.dialect)
    case "Revived":
      return ClusterState.revived(self, event.node, event.dialect, rules.threshold, now)
    case "Led":
      return ClusterState.leaderFound(self, event.node)
    case "Deposed":
      return ClusterState.leaderLost(self, event.node)
    case "Reloaded":
      return ClusterState.reloaded(self, event.nodes, { dialect: rules.dialect, now })
  }
}

const modelShown = ({ entries, leader }: Model) => {
  const live = entries.flatMap(({ dialect, killer, node, since }) =>
    killer === undefined ? [{ node, dialect, since }] : []
  )
  const raft = live.some(({ dialect }) => dialect === "raft")
  const ring = live.some(({ dialect }) => dialect === "v1" || dialect === "v2")
  return {
    live,
    dead: entries.flatMap(({ killer, node, since }) =>
      killer === undefined ? [] : [{ node, failure: { node, ...killer }, since }]
    ),
    placement: raft && ring ? "mixed" : raft ? "replicated" : "ring",
    leader
  }
}

// Few nodes, so that histories come back to them; two of them have the same CRC-32
const universe = ["10.31.104.100", "172.101.144.1", "10.0.0.1", "10.0.0.2:8000", "cache.example", "[::1]"]
const anyNode = FastCheck.constantFrom(...universe)
const anyNodes = FastCheck.array(anyNode, { minLength: 1, maxLength: 8 })
const anyDialect = FastCheck.constantFrom(...Dialect.literals, "raft" as const, "raft" as const)
const anyFault = (kind: ClusterState.FaultClass) =>
  FastCheck.record({
    reason: FastCheck.constantFrom(
      ...FailureReason.literals.filter((reason) => ClusterState.classify({ reason, detail: "" }) === kind)
    ),
    detail: FastCheck.string({ maxLength: 3 })
  })
const anyEvent: FastCheck.Arbitrary<Event> = FastCheck.oneof(
  {
    weight: 4,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Doubted" as const),
      node: anyNode,
      fault: anyFault("suspect")
    })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("Died" as const), node: anyNode, fault: anyFault("down") })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("Revived" as const), node: anyNode, dialect: anyDialect })
  },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Succeeded" as const), node: anyNode }) },
  {
    weight: 1,
    arbitrary: FastCheck.record({ _tag: FastCheck.constant("Identified" as const), node: anyNode, dialect: anyDialect })
  },
  {
    weight: 2,
    arbitrary: FastCheck.record({ _tag: FastCheck.constantFrom("Led" as const, "Deposed" as const), node: anyNode })
  },
  { weight: 1, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Reloaded" as const), nodes: anyNodes }) }
)
/** Each event with the milliseconds since the one before. */
const anyHistory = FastCheck.array(FastCheck.tuple(anyEvent, FastCheck.nat(2)), { maxLength: 30, size: "max" })
const anyRules: FastCheck.Arbitrary<Rules> = FastCheck.record({
  threshold: FastCheck.integer({ min: 1, max: 4 }),
  replicas: FastCheck.integer({ min: 1, max: 4 }),
  dialect: FastCheck.option(anyDialect, { nil: undefined })
})
const keys = Array.from({ length: 12 }, (_, i) => `key-${i * 7919}`)

describe("ClusterState", () => {
  describe("random histories", () => {
    it.prop(
      "agree with the model",
      { nodes: anyNodes, rules: anyRules, history: anyHistory },
      ({ history, nodes, rules }) => {
        let now = 1000
        let expected: Model = {
          entries: [...new Set(nodes)].map((node) => born(node, rules, now)),
          leader: undefined
        }
        let state = freeze(ClusterState.make(nodes, { replicas: rules.replicas, dialect: rules.dialect, now }))
        const past: Array<readonly [ClusterState.ClusterState, string]> = []

        const check = () => {
          const alive = expected.entries.filter(({ killer }) => killer === undefined)
          const names = alive.map(({ node }) => node)
          deepStrictEqual(
            [...state.nodes.values()].map(({ lastReset: _, ...entry }) => entry),
            expected.entries.map(({ killer, ...entry }) => ({
              ...entry,
              death: killer && { node: entry.node, ...killer }
            }))
          )
          deepStrictEqual(
            [...state.nodes.keys()],
            [...state.nodes.values()].map(({ node }) => node)
          )
          strictEqual(state.leader, expected.leader)
          deepStrictEqual(shown(state.view.topology), modelShown(expected))
          for (const { death, consecutiveFailures } of state.nodes.values()) {
            if (death === undefined) assert.isBelow(consecutiveFailures, rules.threshold)
          }

          deepStrictEqual(live(state), names)
          const ring = Ring.make(names, { replicas: rules.replicas })
          for (const key of keys) {
            const owner = Ring.owner(ring, key)
            strictEqual(ownerOf(state, key), owner)
            strictEqual(Routing.route(state, key, false), state.nodes.get(owner ?? "") ?? "no node")
            strictEqual(Routing.route(state, key, true), routed(owner, "no node"))
          }
          for (const node of universe) {
            const alive = names.includes(node)
            strictEqual(Routing.routeTo(state, node, false), alive ? state.nodes.get(node) : "gone")
            strictEqual(Routing.routeTo(state, node, true), routed(alive ? node : undefined, "gone"))
          }
          past.push([state, snapshot(state)])
        }
        /** Where a command that wants the leader goes from a live node. */
        const routed = (node: string | undefined, nowhere: string) => {
          const entry = expected.entries.find((entry) => entry.node === node)
          if (entry === undefined) return nowhere
          if (entry.dialect !== "raft") return state.nodes.get(entry.node)
          return expected.leader === undefined ? "no leader" : state.nodes.get(expected.leader)
        }

        check()
        for (const [event, elapsed] of history) {
          now += elapsed
          const before = { state, expected }
          expected = model(expected, event, rules, now)
          state = freeze(apply(state, event, rules, now))
          check()
          strictEqual(
            state.view === before.state.view,
            isDeepStrictEqual(modelShown(before.expected), modelShown(expected)),
            "the topology is a new one when it changes"
          )
          // Who watches the Ref need not hear of a step that changes nothing
          if (event._tag !== "Led" && isDeepStrictEqual(before.expected, expected)) strictEqual(state, before.state)
        }
        for (const [state, then] of past) strictEqual(snapshot(state), then)
      },
      { fastCheck: { numRuns: 500 } }
    )
  })

  it("classifies every reason: down, suspect, redirect, or not the node's fault", () => {
    deepStrictEqual(
      Object.fromEntries(
        FailureReason.literals.map((reason) => [reason, ClusterState.classify({ reason, detail: "" })])
      ),
      {
        Refused: "down",
        Unreachable: "down",
        UnknownHost: "down",
        ConnectTimeout: "down",
        Reset: "suspect",
        AttemptTimeout: "suspect",
        BadReply: "suspect",
        NotLeader: "redirect",
        Deadline: "local",
        ReplyTooLarge: "local",
        QueueTimeout: "local",
        Overloaded: "local"
      }
    )
  })

  describe("make", () => {
    it("has all nodes live, in the order of the file, a duplicate once", () => {
      const state = ClusterState.make(["b", "a", "b"], { replicas: 2, dialect: "raft", now: 5 })
      deepStrictEqual([...state.nodes.keys()], ["b", "a"])
      deepStrictEqual(state.ring, Ring.make(["b", "a"], { replicas: 2 }))
      deepStrictEqual(shown(state.view.topology), {
        live: [
          { node: "b", dialect: "raft", since: 5 },
          { node: "a", dialect: "raft", since: 5 }
        ],
        dead: [],
        placement: "replicated",
        leader: undefined
      })
    })

    it("shows no dialect that is not known", () => {
      deepStrictEqual(three().view.topology.live[0]?.dialect, Option.none())
    })
  })

  describe("dialectKnown", () => {
    it("shows the dialect, and a later one in its place", () => {
      const v1 = ClusterState.dialectKnown(three(), "b", "v1")
      deepStrictEqual(v1.view.topology.live[1]?.dialect, Option.some("v1"))
      deepStrictEqual(ClusterState.dialectKnown(v1, "b", "v2").view.topology.live[1]?.dialect, Option.some("v2"))
    })

    it("changes nothing where it says nothing new, or of a stranger", () => {
      const v1 = ClusterState.dialectKnown(three(), "b", "v1")
      strictEqual(ClusterState.dialectKnown(v1, "b", "v1"), v1)
      strictEqual(ClusterState.dialectKnown(v1, "z", "v1"), v1)
    })

    it("keeps the dialect of a dead node, and the topology, which does not show it", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      const after = ClusterState.dialectKnown(state, "b", "v2")
      strictEqual(node(after, "b")?.dialect, "v2")
      strictEqual(after.view.topology, state.view.topology)
    })
  })

  describe("succeeded", () => {
    it("clears the consecutiveFailures, and shows nothing of it", () => {
      const suspected = ClusterState.suspected(three(), "b", reset, 3, 200)
      const state = ClusterState.succeeded(suspected, "b")
      strictEqual(node(suspected, "b")?.consecutiveFailures, 1)
      strictEqual(node(state, "b")?.consecutiveFailures, 0)
      strictEqual(state.view.topology, suspected.view.topology)
      strictEqual(state.ring, suspected.ring)
    })

    it("changes nothing where there was no doubt, and brings nobody back", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      for (const name of ["a", "b", "z"]) strictEqual(ClusterState.succeeded(state, name), state)
    })
  })

  describe("died", () => {
    it("takes the node out of the ring and says why and since when", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      deepStrictEqual(live(state), ["a", "c"])
      deepStrictEqual(shown(state.view.topology).dead, [
        { node: "b", failure: { node: "b", reason: "Refused", detail: "ECONNREFUSED" }, since: 200 }
      ])
    })

    it("happens once: a dead node stays dead of what it died of", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      strictEqual(ClusterState.died(state, "b", reset, 300), state)
      strictEqual(ClusterState.died(state, "z", reset, 300), state)
    })

    it("leaves an empty ring in the end", () => {
      const state = ["a", "b", "c"].reduce((self, name) => ClusterState.died(self, name, refused, 200), three())
      strictEqual(ownerOf(state, "k"), undefined)
      deepStrictEqual(live(state), [])
      deepStrictEqual(dead(state), ["a", "b", "c"])
    })
  })

  describe("suspected", () => {
    it("kills at the threshold, of the last failure", () => {
      const once = ClusterState.suspected(three(), "b", reset, 3, 200)
      const twice = ClusterState.suspected(once, "b", reset, 3, 300)
      strictEqual(node(twice, "b")?.consecutiveFailures, 2)
      strictEqual(twice.view.topology, once.view.topology)
      const last: Fault = { reason: "BadReply", detail: "HTTP status 500" }
      const thrice = ClusterState.suspected(twice, "b", last, 3, 400)
      deepStrictEqual(shown(thrice.view.topology).dead, [{ node: "b", failure: { node: "b", ...last }, since: 400 }])
      deepStrictEqual(live(thrice), ["a", "c"])
    })

    it("counts in a row: a success between starts anew", () => {
      const doubt = (self: ClusterState.ClusterState) => ClusterState.suspected(self, "b", reset, 3, 200)
      const state = doubt(doubt(ClusterState.succeeded(doubt(doubt(three())), "b")))
      strictEqual(node(state, "b")?.consecutiveFailures, 2)
      deepStrictEqual(dead(state), [])
    })

    it("counts for each node alone", () => {
      const state = ["a", "b", "c", "a", "b", "c"].reduce(
        (self, name) => ClusterState.suspected(self, name, reset, 3, 200),
        three()
      )
      deepStrictEqual(live(state), ["a", "b", "c"])
    })

    it("at a threshold of 1 kills at once", () => {
      deepStrictEqual(dead(ClusterState.suspected(three(), "b", reset, 1, 200)), ["b"])
    })

    it("changes nothing of the dead and of strangers", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      for (const name of ["b", "z"]) strictEqual(ClusterState.suspected(state, name, reset, 1, 300), state)
    })
  })

  describe("revived", () => {
    const killed = () => ClusterState.died(three(), "b", refused, 200)
    const back = (threshold = 3) => ClusterState.revived(killed(), "b", "v2", threshold, 300)

    it("puts the node back in its place, with its dialect and since when", () => {
      deepStrictEqual(back().ring, three().ring)
      deepStrictEqual(shown(back().view.topology), {
        live: [
          { node: "a", dialect: undefined, since: 100 },
          { node: "b", dialect: "v2", since: 300 },
          { node: "c", dialect: undefined, since: 100 }
        ],
        dead: [],
        placement: "ring",
        leader: undefined
      })
    })

    it("is half-open: one more doubtful failure sends it back", () => {
      for (const threshold of [1, 2, 3, 10]) {
        deepStrictEqual(dead(ClusterState.suspected(back(threshold), "b", reset, threshold, 400)), ["b"])
      }
    })

    it("is whole again after a success", () => {
      const state = ClusterState.succeeded(back(), "b")
      const suspected = ClusterState.suspected(ClusterState.suspected(state, "b", reset, 3, 400), "b", reset, 3, 400)
      deepStrictEqual(live(suspected), ["a", "b", "c"])
      deepStrictEqual(dead(ClusterState.suspected(suspected, "b", reset, 3, 400)), ["b"])
    })

    it("changes nothing of the living and of strangers: a ping clears no count", () => {
      const state = ClusterState.suspected(three(), "a", reset, 3, 200)
      for (const name of ["a", "b", "z"]) strictEqual(ClusterState.revived(state, name, "v2", 3, 300), state)
    })

    it("gives a colliding point back to the node that the file names first", () => {
      const [first, second] = ["10.31.104.100", "172.101.144.1"] as const
      const state = ClusterState.make([first, second], { replicas: 1, dialect: undefined, now: 100 })
      const killed = ClusterState.died(state, first, refused, 200)
      strictEqual(ownerOf(killed, "k"), second)
      strictEqual(ownerOf(ClusterState.revived(killed, first, "v2", 3, 300), "k"), first)
    })
  })

  describe("led and leaderLost", () => {
    const raft = () => ClusterState.make(["a", "b", "c"], { replicas: 1, dialect: "raft", now: 100 })

    it("show the leader, and take the leader's commands to it", () => {
      const state = ClusterState.leaderFound(raft(), "b")
      deepStrictEqual(state.view.topology.leader, Option.some("b"))
      for (const key of keys) {
        strictEqual(Routing.route(state, key, true), node(state, "b"))
        strictEqual(Routing.route(state, key, false), node(state, ownerOf(state, key) ?? ""))
      }
      strictEqual(Routing.routeTo(state, "a", true), node(state, "b"))
      strictEqual(Routing.routeTo(state, "a", false), node(state, "a"))
      strictEqual(ClusterState.leaderFound(state, "b"), state)
      deepStrictEqual(ClusterState.leaderFound(state, "c").view.topology.leader, Option.some("c"))
    })

    it("have no leader until it is found, and after it has refused", () => {
      const state = ClusterState.leaderLost(ClusterState.leaderFound(raft(), "b"), "b")
      for (const leaderless of [raft(), state]) {
        deepStrictEqual(leaderless.view.topology.leader, Option.none())
        strictEqual(Routing.route(leaderless, "k", true), "no leader")
        strictEqual(Routing.routeTo(leaderless, "a", true), "no leader")
      }
    })

    it("change nothing of those who cannot lead or do not", () => {
      const killed = ClusterState.died(raft(), "b", refused, 200)
      for (const name of ["b", "z"]) strictEqual(ClusterState.leaderFound(killed, name), killed)
      const ring = ClusterState.dialectKnown(three(), "a", "v2")
      for (const name of ["a", "b"]) strictEqual(ClusterState.leaderFound(ring, name), ring)
      const led = ClusterState.leaderFound(raft(), "b")
      for (const name of ["a", "z"]) strictEqual(ClusterState.leaderLost(led, name), led)
    })

    it("believe no search that asked a member before its latest loss of a connection, however many it had before", () => {
      const asked = ClusterState.disconnected(ClusterState.leaderFound(raft(), "b"), "b")
      const lostAgain = ClusterState.disconnected(asked, "b")
      strictEqual(ClusterState.leaderFound(lostAgain, "b", { asked }), lostAgain)
      strictEqual(ClusterState.leaderFound(lostAgain, "b", { asked: lostAgain }).leader, "b")
    })

    it("forget a leader that dies, leaves, or turns out to be no raft member", () => {
      const led = ClusterState.leaderFound(raft(), "b")
      for (const state of [
        ClusterState.died(led, "b", refused, 200),
        ClusterState.reloaded(led, ["a", "c"], { dialect: "raft", now: 200 }),
        ClusterState.dialectKnown(led, "b", "v2")
      ]) {
        strictEqual(state.leader, undefined)
        deepStrictEqual(state.view.topology.leader, Option.none())
      }
    })

    it("follow the ring in a mixed cluster: only a raft owner's keys are the leader's", () => {
      const state = ClusterState.leaderFound(ClusterState.dialectKnown(raft(), "a", "v2"), "b")
      strictEqual(state.view.topology.placement, "mixed")
      for (const key of keys) {
        const owner = ownerOf(state, key)
        strictEqual(Routing.route(state, key, true), node(state, owner === "a" ? "a" : "b"))
      }
    })

    it("go nowhere where no node is live, or the one node is not", () => {
      const state = ["a", "b", "c"].reduce((self, name) => ClusterState.died(self, name, refused, 200), raft())
      strictEqual(Routing.route(state, "k", true), "no node")
      strictEqual(Routing.routeTo(state, "a", true), "gone")
      strictEqual(Routing.routeTo(state, "z", false), "gone")
    })
  })

  describe("reloaded", () => {
    const options = { dialect: undefined, now: 900 }

    it("adds and removes nodes and keeps the health of those that stay, in one step", () => {
      const before = ClusterState.died(ClusterState.suspected(three(), "a", reset, 3, 200), "b", refused, 300)
      const state = ClusterState.reloaded(before, ["d", "b", "a"], options)
      deepStrictEqual([...state.nodes.keys()], ["d", "b", "a"])
      strictEqual(node(state, "a"), node(before, "a"))
      strictEqual(node(state, "b"), node(before, "b"))
      deepStrictEqual(live(state), ["d", "a"])
      deepStrictEqual(shown(state.view.topology).live, [
        { node: "d", dialect: undefined, since: 900 },
        { node: "a", dialect: undefined, since: 100 }
      ])
      deepStrictEqual(dead(state), ["b"])
    })

    it("changes nothing where the file says the same", () => {
      const state = ClusterState.died(three(), "b", refused, 200)
      strictEqual(ClusterState.reloaded(state, ["a", "b", "c"], options), state)
      strictEqual(ClusterState.reloaded(state, ["a", "b", "a", "c"], options), state)
    })

    it("follows the order of the file, which decides between colliding points", () => {
      const [first, second] = ["10.31.104.100", "172.101.144.1"] as const
      const before = ClusterState.make([first, second], { replicas: 1, dialect: undefined, now: 100 })
      const state = ClusterState.reloaded(before, [second, first], options)
      strictEqual(ownerOf(before, "k"), first)
      strictEqual(ownerOf(state, "k"), second)
      assertTrue(state.view.topology !== before.view.topology)
    })

    it("keeps the topology where only a dead and a live node change places", () => {
      const before = ClusterState.died(three(), "b", refused, 200)
      const state = ClusterState.reloaded(before, ["b", "a", "c"], options)
      deepStrictEqual([...state.nodes.keys()], ["b", "a", "c"])
      strictEqual(state.view.topology, before.view.topology)
      deepStrictEqual(Ring.nodes(ClusterState.revived(state, "b", "v1", 3, 999).ring), ["b", "a", "c"])
    })

    it("forgets a node that left: when it returns, it is new", () => {
      const killed = ClusterState.died(three(), "b", refused, 200)
      const state = ClusterState.reloaded(ClusterState.reloaded(killed, ["a"], options), ["a", "b"], options)
      deepStrictEqual(live(state), ["a", "b"])
      assertTrue(node(state, "b")?.consecutiveFailures === 0)
    })

    it("tells new nodes the dialect that is set", () => {
      const state = ClusterState.reloaded(three(), ["a", "z"], { dialect: "v1", now: 900 })
      deepStrictEqual(
        state.view.topology.live.map(({ dialect }) => dialect),
        [Option.none(), Option.some("v1")]
      )
    })
  })
})
