import { describe, expect, it } from "@effect/vitest"
import * as CacheEntries from "../../src/server/CacheEntries.js"
import * as Replica from "../../src/server/Replica.js"

const limits = { keyspaceSize: 100, maxMemory: 1_000_000 }
const replica = () => Replica.make(CacheEntries.make(limits))
const put = (key: string, value: string): CacheEntries.Write => ({
  _tag: "Put",
  key,
  entry: { value, expiresAt: Number.POSITIVE_INFINITY }
})
const held = ({ entries }: Replica.Replica, now: number) => entries.list(now).map(([key, { value }]) => [key, value])

describe("Replica", () => {
  it("applies what it has received in order, each write when it is due", () => {
    const member = replica()
    member.receive(put("a", "1"), 0, 100)
    member.receive(put("b", "1"), 10, 110)
    member.receive({ _tag: "Delete", key: "a" }, 20, 120)
    member.applyDue(99)
    expect(held(member, 99)).toEqual([])
    member.applyDue(110)
    expect(held(member, 110)).toEqual([
      ["a", "1"],
      ["b", "1"]
    ])
    member.applyDue(120)
    expect(held(member, 120)).toEqual([["b", "1"]])
  })

  it("a write that is due waits for those before it", () => {
    const member = replica()
    member.receive(put("a", "1"), 0, 200)
    member.receive(put("a", "2"), 0, 100)
    member.applyDue(150)
    expect(held(member, 150)).toEqual([])
    member.applyDue(200)
    expect(held(member, 200)).toEqual([["a", "2"]])
  })

  it("takes over what another one holds and still waits to apply, and nothing of its own remains", () => {
    const [source, member] = [replica(), replica()]
    source.entries.apply(put("a", "1"), 0)
    source.receive(put("b", "1"), 0, 500)
    member.entries.apply(put("own", "1"), 0)
    member.receive(put("other", "1"), 0, 50)
    member.takeOver(source, 10, 100)
    source.entries.apply(put("later", "1"), 20)
    member.applyDue(99)
    expect(held(member, 99)).toEqual([["own", "1"]])
    member.applyDue(100)
    expect(held(member, 100)).toEqual([["a", "1"]])
    member.applyDue(500)
    expect(held(member, 500)).toEqual([
      ["a", "1"],
      ["b", "1"]
    ])
  })

  it("what waits to be taken over can be taken over by a third", () => {
    const [source, second, third] = [replica(), replica(), replica()]
    source.entries.apply(put("a", "1"), 0)
    second.takeOver(source, 0, 1000)
    third.takeOver(second, 0, 10)
    third.applyDue(10)
    expect(held(third, 10)).toEqual([["a", "1"]])
    expect(held(second, 10)).toEqual([])
  })

  it("what has been applied is not kept", () => {
    const member = replica()
    for (let i = 0; i < 1000; i++) member.receive(put("k", `${i}`), i, i)
    member.applyDue(600)
    expect(member.contents(600).pending).toHaveLength(399)
    member.applyDue(999)
    expect(member.contents(999).pending).toEqual([])
  })
})
