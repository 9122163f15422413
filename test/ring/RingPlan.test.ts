import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Ring, RingPlan } from "effect-ghostdb"

const nodes = FastCheck.uniqueArray(FastCheck.ipV4(), { minLength: 2, maxLength: 8 })
const replicas = FastCheck.integer({ min: 1, max: 12 })
const keys = Array.from({ length: 4000 }, (_, i) => `key-${i}`)

describe("RingPlan", () => {
  it.prop(
    "a new node takes keys and moves no other: what it takes is its share",
    [nodes, replicas],
    ([all, replicas]) => {
      const [added = "", ...rest] = all
      const before = Ring.make(rest, { replicas })
      const after = Ring.add(before, added)
      const change = RingPlan.compare(before, after)
      for (const { to } of change.moves) assert.strictEqual(to, added)
      assert.closeTo(change.moved, Ring.shares(after).get(added) ?? -1, 1e-9)
      for (const { after, before, node } of change.shares) {
        const lost = change.moves.filter(({ from }) => from === node).reduce((sum, { share }) => sum + share, 0)
        assert.closeTo(before - lost + (node === added ? change.moved : 0), after, 1e-9)
      }
    }
  )

  it("what it says of the key space holds for keys", () => {
    const before = Ring.make(["10.0.0.1", "10.0.0.2", "10.0.0.3"], { replicas: 40 })
    const after = Ring.remove(Ring.add(before, "10.0.0.4"), "10.0.0.1")
    const { moves } = RingPlan.compare(before, after)
    for (const { from, share, to } of moves) {
      const moved = keys.filter((key) => Ring.owner(before, key) === from && Ring.owner(after, key) === to)
      assert.closeTo(moved.length / keys.length, share, 0.04)
    }
  })

  it.prop(
    "the keys of a dead node go to its heirs, and the busiest has the most then",
    [nodes, replicas],
    ([all, n]) => {
      const ring = Ring.make(all, { replicas: n })
      const [node = ""] = all
      const { busiest, heirs } = RingPlan.death(ring, node)
      const inherited = heirs.reduce((sum, { share }) => sum + share, 0)
      assert.closeTo(inherited, Ring.shares(ring).get(node) ?? -1, 1e-9)
      assert.closeTo(busiest?.share ?? -1, Math.max(...Ring.shares(Ring.remove(ring, node)).values()), 1e-9)
    }
  )

  it("more replicas make the shares more even; one node has it all", () => {
    const many = Array.from({ length: 50 }, (_, i) => `10.0.0.${i + 1}`)
    const [one, hundred] = RingPlan.evenness(many, [1, 100])
    assert.isBelow(hundred?.imbalance ?? 0, one?.imbalance ?? 0)
    assert.closeTo(one?.imbalance ?? 0, (one?.largest ?? 0) * 50, 1e-9)
    const lonely = RingPlan.death(Ring.make(["a"]), "a")
    assert.deepStrictEqual(lonely, { node: "a", heirs: [], busiest: undefined })
  })
})
