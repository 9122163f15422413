import { describe, expect, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import * as CacheEntries from "../../src/server/CacheEntries.js"

const never = Number.POSITIVE_INFINITY
const entry = (value: string | Uint8Array, expiresAt = never): CacheEntries.Entry => ({ value, expiresAt })
const keys = (entries: CacheEntries.CacheEntries, now = 0) => entries.list(now).map(([key]) => key)

describe("CacheEntries", () => {
  it("evicts the least recently used until the bytes fit", () => {
    const size = CacheEntries.bytesOf("a", entry("x".repeat(100)))
    const entries = CacheEntries.make({ keyspaceSize: 100, maxMemory: 3 * size })
    for (const key of ["a", "b", "c"]) entries.apply({ _tag: "Put", key, entry: entry("x".repeat(100)) }, 0)
    expect(keys(entries)).toEqual(["a", "b", "c"])
    entries.use("a", 0)
    entries.apply({ _tag: "Add", key: "d", entry: entry("x".repeat(150)) }, 0)
    expect(keys(entries)).toEqual(["a", "d"])
    entries.apply({ _tag: "Put", key: "a", entry: entry("") }, 0)
    entries.apply({ _tag: "Put", key: "e", entry: entry("") }, 0)
    expect(keys(entries)).toEqual(["d", "a", "e"])
  })

  it("an entry larger than all the memory is not stored, and its old value is gone", () => {
    const entries = CacheEntries.make({ keyspaceSize: 100, maxMemory: 1000 })
    const large = entry(new Uint8Array(1000))
    entries.apply({ _tag: "Put", key: "other", entry: entry("1") }, 0)
    expect(entries.apply({ _tag: "Put", key: "k", entry: entry("1") }, 0)).toBe(true)
    expect(entries.apply({ _tag: "Put", key: "k", entry: large }, 0)).toBe(false)
    expect(entries.apply({ _tag: "Add", key: "k", entry: large }, 0)).toBe(false)
    expect(keys(entries)).toEqual(["other"])
  })

  it("frees the bytes of what is deleted, flushed, expired, overwritten or replaced", () => {
    const entries = CacheEntries.make({ keyspaceSize: 100, maxMemory: 2000 })
    const half = (expiresAt?: number) => entry("x".repeat(400), expiresAt)
    const put = (key: string, expiresAt?: number) => entries.apply({ _tag: "Put", key, entry: half(expiresAt) }, 0)
    put("kept")
    put("deleted")
    entries.apply({ _tag: "Delete", key: "deleted" }, 0)
    put("expires", 10)
    expect(keys(entries)).toEqual(["kept", "expires"])
    expect(entries.size(10)).toBe(1)
    for (let i = 0; i < 10; i++) put("again")
    expect(keys(entries)).toEqual(["kept", "again"])
    entries.apply({ _tag: "Flush" }, 0)
    put("a")
    put("b")
    expect(keys(entries)).toEqual(["a", "b"])
    entries.replace([
      ["c", half()],
      ["d", half()]
    ])
    expect(keys(entries)).toEqual(["c", "d"])
  })

  it.prop(
    "never holds more than its limits, and never drops what fits",
    [fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "e"), fc.integer({ min: 0, max: 400 })), { maxLength: 80 })],
    ([puts]) => {
      const maxMemory = 1500
      const entries = CacheEntries.make({ keyspaceSize: 4, maxMemory })
      let expected: ReadonlyArray<readonly [string, number]> = []
      for (const [key, length] of puts) {
        entries.apply({ _tag: "Put", key, entry: entry("x".repeat(length)) }, 0)
        expected = [...expected.filter(([other]) => other !== key), [key, length] as const]
        const total = () =>
          expected.reduce((sum, [key, length]) => sum + CacheEntries.bytesOf(key, entry("x".repeat(length))), 0)
        while (expected.length > 4 || total() > maxMemory) expected = expected.slice(1)
        expect(keys(entries)).toEqual(expected.map(([key]) => key))
      }
    }
  )
})
