import { readFileSync } from "node:fs"
import { crc32 as zlibCrc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { FastCheck, Option, Schema } from "effect"
import { crc32 } from "../../src/ring/crc32.js"
import * as Ring from "../../src/ring/Ring.js"

const Vectors = Schema.parseJson(
  Schema.Struct({
    rings: Schema.Array(
      Schema.Struct({
        nodes: Schema.Array(Schema.String),
        replicas: Schema.Number,
        owners: Schema.Array(Schema.Tuple(Schema.String, Schema.String))
      })
    )
  })
)
const vectors = Schema.decodeSync(Vectors)(
  readFileSync(new URL("../fixtures/ring-vectors.json", import.meta.url), "utf8")
).rings

/** The specification, word by word: hashes are strings, sorted and compared as such. */
const hex = (text: string) => zlibCrc32(Buffer.from(new TextEncoder().encode(text))).toString(16)
const pointsOf = (nodes: ReadonlyArray<string>, replicas: number) =>
  nodes
    .flatMap((node) =>
      Array.from({ length: replicas }, (_, i) => ({ hash: hex(i === 0 ? node : `${node}:${i}`), node }))
    )
    .sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0))
const reference = (nodes: ReadonlyArray<string>, replicas: number) => {
  const points = pointsOf(nodes, replicas)
  return (key: string) => (points.find(({ hash }) => hash >= hex(key)) ?? points[0])?.node
}
/** The place of a hash, from 1, among all hashes in order: a walk through the tree whose edges are digits. */
const position = (hash: string) =>
  hash === "0"
    ? 1
    : Array.from(hash).reduce(
        (sum, digit, i) => sum + 1 + (Number.parseInt(digit, 16) - (i === 0 ? 1 : 0)) * ((16 ** (8 - i) - 1) / 15),
        1
      )

const key = FastCheck.oneof(FastCheck.string(), FastCheck.string16bits(), FastCheck.fullUnicodeString())
const keys = FastCheck.array(key, { minLength: 50, maxLength: 50 })
const address = FastCheck.oneof(FastCheck.ipV4(), FastCheck.domain(), key)
const addresses = FastCheck.uniqueArray(address, { maxLength: 12 })
const replicas = FastCheck.integer({ min: 1, max: 8 })

// two addresses with the CRC-32 813e9bcb
const [first, second] = ["10.31.104.100", "172.101.144.1"] as const

describe("Ring", () => {
  for (const { nodes, owners, replicas } of vectors) {
    it(`places keys as the Python SDK does: ${nodes.length} nodes, ${replicas} replicas`, () => {
      const ring = Ring.make(nodes, { replicas })
      assert.isAbove(owners.length, 0)
      for (const [key, node] of owners) {
        assert.deepStrictEqual(Ring.lookup(ring, key), Option.some(node), key)
      }
    })
  }

  it.prop("hashes UTF-8, a lone surrogate as U+FFFD", { key }, ({ key }) => {
    assert.strictEqual(crc32(key) >>> 0, zlibCrc32(Buffer.from(new TextEncoder().encode(key))))
  })

  it.prop(
    "orders hashes as their hexadecimal strings",
    // a shift makes short hashes as frequent as long ones
    { hashes: FastCheck.array(FastCheck.tuple(FastCheck.integer(), FastCheck.nat(31))) },
    ({ hashes }) => {
      const all = [0, 1, 0x10, 0x100, 0xf, 0xff, 0xffffffff, ...hashes.map(([hash, shift]) => hash >>> shift)]
      for (const a of all) {
        for (const b of all) {
          const [x, y] = [a.toString(16), b.toString(16)]
          assert.strictEqual(Math.sign(Ring.orderKey(a) - Ring.orderKey(b)), x < y ? -1 : x > y ? 1 : 0, `${x} ${y}`)
        }
      }
    }
  )

  it.prop("agrees with a naive ring of strings", { addresses, replicas, keys }, ({ addresses, keys, replicas }) => {
    const ring = Ring.make(addresses, { replicas })
    const expected = reference(addresses, replicas)
    for (const key of keys) {
      assert.strictEqual(Ring.owner(ring, key), expected(key))
      assert.deepStrictEqual(Ring.lookup(ring, key), Option.fromNullable(expected(key)))
    }
  })

  it.prop("is the same made at once or node by node", { addresses, replicas }, ({ addresses, replicas }) => {
    assert.deepStrictEqual(addresses.reduce(Ring.add, Ring.make([], { replicas })), Ring.make(addresses, { replicas }))
  })

  it.prop("remove undoes add", { addresses, replicas, address }, ({ address, addresses, replicas }) => {
    const ring = Ring.make(
      addresses.filter((other) => other !== address),
      { replicas }
    )
    assert.deepStrictEqual(Ring.remove(Ring.add(ring, address), address), ring)
    assert.strictEqual(Ring.remove(ring, address), ring)
  })

  it.prop("add changes nothing where the node is", { addresses, replicas }, ({ addresses, replicas }) => {
    const ring = Ring.make(addresses, { replicas })
    for (const node of addresses) {
      assert.strictEqual(Ring.add(ring, node), ring)
    }
    assert.deepStrictEqual(Ring.make([...addresses, ...addresses], { replicas }), ring)
  })

  it.prop("removing in any order leaves the ring of the rest", { addresses, replicas }, ({ addresses, replicas }) => {
    const half = addresses.filter((_, i) => i % 2 === 0)
    const rest = addresses.filter((_, i) => i % 2 === 1)
    const ring = Ring.make(addresses, { replicas })
    assert.deepStrictEqual(half.reduceRight(Ring.remove, ring), Ring.make(rest, { replicas }))
    assert.deepStrictEqual(Ring.nodes(ring), addresses)
  })

  it.prop("moves only the keys of a removed node", { addresses, replicas, keys }, ({ addresses, keys, replicas }) => {
    const ring = Ring.make(addresses, { replicas })
    for (const node of addresses) {
      const without = Ring.remove(ring, node)
      for (const key of keys) {
        const before = Ring.owner(ring, key)
        const after = Ring.owner(without, key)
        if (before === node) assert.notStrictEqual(after, node)
        else assert.strictEqual(after, before)
      }
    }
  })

  it.prop(
    "owners are those that take over as the ones before are removed",
    { addresses, replicas, key },
    ({ addresses, key, replicas }) => {
      const ring = Ring.make(addresses, { replicas })
      const owners = Ring.owners(ring, key)
      assert.strictEqual(owners.length, addresses.length)
      owners.reduce((ring, node) => {
        assert.strictEqual(Ring.owner(ring, key), node)
        return Ring.remove(ring, node)
      }, ring)
    }
  )

  it("gives colliding points to the node added first", () => {
    assert.strictEqual(hex(first), hex(second))
    // the hash of a node's address is the node's point
    assert.deepStrictEqual(Ring.owners(Ring.make([first, second]), first), [first, second])
    assert.deepStrictEqual(Ring.owners(Ring.make([second, first]), first), [second, first])
    for (const replicas of [1, 40]) {
      const ring = Ring.make(["10.0.0.1", first, "10.0.0.2", second], { replicas })
      assert.strictEqual(Ring.owner(ring, first), first)
      const uncovered = Ring.remove(ring, first)
      assert.strictEqual(Ring.owner(uncovered, first), second)
      assert.strictEqual(Ring.owner(Ring.add(uncovered, first), first), second)
      assert.strictEqual(Ring.owner(Ring.remove(ring, second), first), first)
    }
  })

  it("is empty without nodes", () => {
    for (const ring of [Ring.make([]), Ring.remove(Ring.make(["a"]), "a")]) {
      assert.deepStrictEqual(Ring.nodes(ring), [])
      assert.strictEqual(Ring.owner(ring, "k"), undefined)
      assert.deepStrictEqual(Ring.lookup(ring, "k"), Option.none())
      assert.deepStrictEqual(Ring.owners(ring, "k"), [])
      assert.strictEqual(Ring.shares(ring).size, 0)
    }
  })

  it("refuses replicas that are no count", () => {
    for (const replicas of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => Ring.make(["a"], { replicas }), RangeError, String(replicas))
    }
  })

  it("pipes", () => {
    const ring = Ring.make(["10.23.20.2"]).pipe(Ring.add("10.23.34.4"))
    assert.deepStrictEqual(ring, Ring.make(["10.23.20.2", "10.23.34.4"]))
    assert.deepStrictEqual(Ring.remove("10.23.20.2")(ring), Ring.remove(ring, "10.23.20.2"))
    assert.deepStrictEqual(Ring.lookup("k")(ring), Ring.lookup(ring, "k"))
    assert.deepStrictEqual(Ring.owners("k")(ring), Ring.owners(ring, "k"))
  })

  describe("shares", () => {
    it.prop("add up to the whole hash space", { addresses, replicas }, ({ addresses, replicas }) => {
      const shares = Ring.shares(Ring.make(addresses, { replicas }))
      assert.deepStrictEqual(Array.from(shares.keys()), addresses)
      const total = Array.from(shares.values()).reduce((sum, share) => sum + share, 0)
      assert.strictEqual(total, addresses.length === 0 ? 0 : 1)
    })

    it.prop("count the hashes after the point before", { addresses, replicas }, ({ addresses, replicas }) => {
      const expected = new Map(addresses.map((node) => [node, 0]))
      const points = pointsOf(addresses, replicas)
      points.forEach(({ hash, node }, i) => {
        const before = i === 0 ? position(points.at(-1)!.hash) - 2 ** 32 : position(points[i - 1]!.hash)
        expected.set(node, expected.get(node)! + (position(hash) - before) / 2 ** 32)
      })
      assert.deepStrictEqual(Ring.shares(Ring.make(addresses, { replicas })), expected)
    })

    it("a node whose only point collides owns nothing", () => {
      assert.deepStrictEqual(
        Ring.shares(Ring.make([first, second])),
        new Map([
          [first, 1],
          [second, 0]
        ])
      )
    })
  })
})
