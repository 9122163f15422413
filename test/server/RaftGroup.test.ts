import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FastCheck as fc, Option, TestClock } from "effect"
import { CacheNode } from "effect-ghostdb"
import * as RaftGroup from "../../src/server/RaftGroup.js"

const put = (key: string, value: number, ttl = -1) => `{"Gobj":{"Key":"${key}","Value":${value},"TTL":"${ttl}"}}`
const get = (key: string) => `{"Gobj":{"Key":"${key}"}}`

const message = ({ body }: CacheNode.NodeReply): string => JSON.parse(body).Message
const value = ({ body }: CacheNode.NodeReply): unknown => JSON.parse(body).Gobj.Value
const refused = "Error commiting to raft cluster"

/** A group of nodes whose hosts are `10.0.0.1` and so on. */
const groupOf = Effect.fnUntraced(function* (
  size: number,
  options: RaftGroup.RaftGroupOptions & CacheNode.CacheNodeOptions = {}
) {
  const group = yield* RaftGroup.make(options)
  const nodes = yield* Effect.forEach(Array.from({ length: size }), (_, i) =>
    CacheNode.make({ ...options, dialect: "raft", raftGroup: group, raftHost: `10.0.0.${i + 1}` })
  )
  const leading = Effect.map(
    Effect.filter(nodes, (node) => node.isLeader),
    (leaders) => leaders.map((node) => nodes.indexOf(node))
  )
  return { group, nodes, leading }
})

/** What each node answers, `null` for a miss. */
const everywhere = (nodes: ReadonlyArray<CacheNode.CacheNode>, key: string) =>
  Effect.forEach(nodes, (node) => Effect.map(node.handle("get", get(key)), value))

describe.concurrent("RaftGroup", () => {
  it.effect("the first member leads, and all tell its address", () =>
    Effect.gen(function* () {
      const { group, leading, nodes } = yield* groupOf(3)
      expect(yield* leading).toEqual([0])
      expect(yield* group.leader).toEqual(Option.some("10.0.0.1:11000"))
      for (const node of nodes) expect(message(yield* node.handle("getLeader", "{}"))).toBe("10.0.0.1:11000")
    })
  )

  it.effect("members on one host have ports of their own", () =>
    Effect.gen(function* () {
      const group = yield* RaftGroup.make()
      for (const host of ["::1", "::1", "::1"])
        yield* CacheNode.make({ dialect: "raft", raftGroup: group, raftHost: host })
      expect(yield* group.leader).toEqual(Option.some("[::1]:11000"))
      yield* group.stepDown
      yield* TestClock.adjust("1 second")
      expect(yield* group.leader).toEqual(Option.some("[::1]:11001"))
    })
  )

  it.effect("a member that leads a cluster of its own is empty, and its writes are lost when that is over", () =>
    Effect.gen(function* () {
      const { group, leading, nodes } = yield* groupOf(3)
      const [first, second] = nodes
      yield* first!.handle("put", put("k", 1))
      yield* group.bootstrap("10.0.0.1:11000", "2 seconds")
      expect(yield* everywhere(nodes, "k")).toEqual([null, 1, 1])
      expect(yield* group.leader).toEqual(Option.none())
      for (const node of nodes) expect(message(yield* node.handle("getLeader", "{}"))).toBe("10.0.0.1:11000")
      expect(message(yield* first!.handle("put", put("k", 2)))).toBe("STORED")
      expect(message(yield* second!.handle("put", put("k", 2)))).toBe(refused)
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toEqual([0, 1])
      expect(message(yield* second!.handle("getLeader", "{}"))).toBe("10.0.0.2:11000")
      expect(message(yield* second!.handle("put", put("k", 3)))).toBe("STORED")
      expect(yield* everywhere(nodes, "k")).toEqual([2, 3, 3])
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toEqual([1])
      expect(yield* everywhere(nodes, "k")).toEqual([3, 3, 3])
    })
  )

  it.effect("a node of another dialect is no member", () =>
    Effect.gen(function* () {
      const raftGroup = yield* RaftGroup.make()
      const node = yield* CacheNode.make({ raftGroup })
      expect(yield* raftGroup.leader).toEqual(Option.none())
      expect(yield* node.isLeader).toBe(false)
    })
  )

  it.effect("followers apply a write after the delay, and entries end on all at once", () =>
    Effect.gen(function* () {
      const { nodes } = yield* groupOf(3, { replicationDelay: "200 millis" })
      const [leader] = nodes
      expect(message(yield* leader!.handle("put", put("k", 1, 1)))).toBe("STORED")
      expect(message(yield* leader!.handle("add", put("k", 2)))).toBe("NOT_STORED")
      expect(yield* everywhere(nodes, "k")).toEqual([1, null, null])
      yield* TestClock.adjust("199 millis")
      expect(yield* everywhere(nodes, "k")).toEqual([1, null, null])
      expect(yield* Effect.forEach(nodes, ({ size }) => size)).toEqual([1, 0, 0])
      yield* TestClock.adjust("1 millis")
      expect(yield* Effect.forEach(nodes, ({ entries }) => entries)).toEqual(
        nodes.map(() => [{ key: "k", value: "1", expiresAt: 1000 }])
      )
      expect(yield* everywhere(nodes, "k")).toEqual([1, 1, 1])
      yield* TestClock.adjust("799 millis")
      expect(yield* everywhere(nodes, "k")).toEqual([1, 1, 1])
      yield* TestClock.adjust("1 millis")
      expect(yield* everywhere(nodes, "k")).toEqual([null, null, null])

      yield* leader!.handle("add", put("k", 3))
      yield* leader!.handle("put", put("other", 3))
      yield* TestClock.adjust("200 millis")
      yield* leader!.handle("delete", get("k"))
      expect(yield* everywhere(nodes, "k")).toEqual([null, 3, 3])
      yield* TestClock.adjust("100 millis")
      yield* leader!.handle("flush", "{}")
      expect(yield* everywhere(nodes, "other")).toEqual([null, 3, 3])
      yield* TestClock.adjust("100 millis")
      expect(yield* everywhere(nodes, "k")).toEqual([null, null, null])
      expect(yield* everywhere(nodes, "other")).toEqual([null, 3, 3])
      yield* TestClock.adjust("100 millis")
      expect(yield* everywhere(nodes, "other")).toEqual([null, null, null])
    })
  )

  it.effect("what the leader has evicted is deleted on those who still have it", () =>
    Effect.gen(function* () {
      const { nodes } = yield* groupOf(3, { keyspaceSize: 2 })
      const [leader, follower] = nodes
      yield* leader!.handle("put", put("a", 1))
      yield* leader!.handle("put", put("b", 1))
      yield* follower!.handle("get", get("a"))
      yield* leader!.handle("put", put("c", 1))
      expect(yield* everywhere(nodes, "a")).toEqual([null, 1, null])
      expect(message(yield* leader!.handle("delete", get("a")))).toBe("NOT_FOUND")
      expect(yield* everywhere(nodes, "a")).toEqual([null, null, null])
    })
  )

  it.effect("without its leader it has none for the election time, and then one that has every write", () =>
    Effect.gen(function* () {
      const { group, leading, nodes } = yield* groupOf(3, { replicationDelay: "1 hour", electionTime: "2 seconds" })
      yield* nodes[0]!.handle("put", put("k", 1))
      yield* nodes[0]!.stop
      for (let seconds = 0; seconds < 2; seconds++) {
        expect(yield* leading).toEqual([])
        for (const node of nodes.slice(1)) {
          expect(message(yield* node.handle("getLeader", "{}"))).toBe("")
          expect(message(yield* node.handle("put", put("k", 2)))).toBe(refused)
          expect(message(yield* node.handle("get", get("k")))).toBe("CACHE_MISS")
        }
        yield* TestClock.adjust("1 second")
      }
      expect(yield* leading).toEqual([1])
      expect(yield* group.leader).toEqual(Option.some("10.0.0.2:11000"))
      expect(yield* everywhere(nodes.slice(1), "k")).toEqual([1, null])
      expect(message(yield* nodes[1]!.handle("add", put("k", 2)))).toBe("NOT_STORED")
    })
  )

  it.effect("without a majority it has no leader, until the election time after that is back", () =>
    Effect.gen(function* () {
      const { leading, nodes } = yield* groupOf(3)
      yield* nodes[0]!.handle("put", put("k", 1))
      yield* nodes[1]!.stop
      expect(yield* leading).toEqual([0])
      yield* nodes[2]!.stop
      expect(yield* leading).toEqual([])
      yield* TestClock.adjust("1 hour")
      expect(yield* leading).toEqual([])
      expect(message(yield* nodes[0]!.handle("put", put("k", 2)))).toBe(refused)
      expect(value(yield* nodes[0]!.handle("get", get("k")))).toBe(1)

      yield* nodes[2]!.start()
      yield* TestClock.adjust("999 millis")
      expect(yield* leading).toEqual([])
      yield* TestClock.adjust("1 millis")
      expect(yield* leading).toEqual([2])
      expect(message(yield* nodes[2]!.handle("put", put("l", 2)))).toBe("STORED")
      expect(yield* everywhere([nodes[0]!, nodes[2]!], "k")).toEqual([1, 1])
      expect(yield* everywhere([nodes[0]!, nodes[2]!], "l")).toEqual([2, 2])
    })
  )

  it.effect("a restarted member is empty until it has caught up", () =>
    Effect.gen(function* () {
      const { leading, nodes } = yield* groupOf(3, { replicationDelay: "200 millis" })
      yield* nodes[0]!.handle("put", put("k", 1))
      yield* TestClock.adjust("1 second")
      yield* nodes[2]!.stop
      yield* nodes[0]!.handle("put", put("l", 1, 60))
      yield* nodes[2]!.start()
      yield* TestClock.adjust("100 millis")
      yield* nodes[0]!.handle("put", put("k", 2))
      expect(yield* nodes[2]!.size).toBe(0)
      yield* TestClock.adjust("100 millis")
      expect(yield* nodes[2]!.entries).toEqual(yield* nodes[1]!.entries)
      expect(yield* everywhere(nodes, "k")).toEqual([2, 1, 1])
      expect(yield* everywhere(nodes, "l")).toEqual([1, 1, 1])
      yield* TestClock.adjust("100 millis")
      expect(yield* everywhere(nodes, "k")).toEqual([2, 2, 2])

      // Restarted in one step, and again before it has caught up.
      yield* nodes[2]!.reset
      yield* nodes[2]!.reset
      expect((yield* nodes[2]!.commandCounts).get).toBe(0)
      expect(yield* nodes[2]!.size).toBe(0)
      yield* nodes[0]!.stop
      yield* nodes[1]!.stop
      yield* nodes[1]!.start({ keep: true })
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toEqual([1])
      expect(yield* everywhere(nodes.slice(1), "k")).toEqual([2, 2])
    })
  )

  it.effect("a leader steps down for another, and leads again where there is no other", () =>
    Effect.gen(function* () {
      const { group, leading, nodes } = yield* groupOf(3)
      for (const next of [1, 2, 0]) {
        yield* group.stepDown
        yield* group.stepDown
        expect(yield* leading).toEqual([])
        yield* TestClock.adjust("1 second")
        expect(yield* leading).toEqual([next])
      }
      yield* nodes[1]!.leave
      yield* nodes[2]!.leave
      expect(yield* leading).toEqual([0])
      yield* group.stepDown
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toEqual([0])
    })
  )

  it.effect("a member that kept what it had gets what it missed, and loses what the others never had", () =>
    Effect.gen(function* () {
      const { leading, nodes } = yield* groupOf(3)
      yield* nodes[0]!.handle("put", put("k", 1))
      yield* nodes[2]!.stop
      yield* nodes[0]!.handle("put", put("k", 2))
      yield* nodes[2]!.start({ keep: true })
      expect(yield* everywhere(nodes, "k")).toEqual([2, 2, 2])

      // Kept by the last one up alone, whose log is the longest: raft's rule makes that the one that counts.
      yield* nodes[0]!.stop
      yield* TestClock.adjust("1 second")
      yield* nodes[1]!.handle("put", put("k", 3))
      yield* nodes[2]!.stop
      yield* nodes[1]!.stop
      yield* nodes[0]!.start({ keep: true })
      expect(value(yield* nodes[0]!.handle("get", get("k")))).toBe(2)
      yield* nodes[1]!.start({ keep: true })
      yield* TestClock.adjust("1 second")
      expect(yield* everywhere([nodes[0]!, nodes[1]!], "k")).toEqual([3, 3])

      // All others come back with nothing, and write in a later term.
      yield* nodes[0]!.stop
      yield* nodes[1]!.stop
      yield* nodes[0]!.start()
      yield* nodes[2]!.start()
      yield* TestClock.adjust("1 second")
      expect(yield* leading).toHaveLength(1)
      expect(yield* nodes[0]!.size).toBe(0)
      yield* nodes[1]!.start({ keep: true })
      expect(yield* nodes[1]!.size).toBe(0)
    })
  )

  it.effect("starting what is up, and stopping what is not, does nothing", () =>
    Effect.gen(function* () {
      const { leading, nodes } = yield* groupOf(3)
      yield* nodes[0]!.handle("put", put("k", 1))
      yield* nodes[0]!.start({ keep: true })
      expect(yield* leading).toEqual([0])
      yield* nodes[2]!.stop
      yield* nodes[2]!.stop
      expect(yield* leading).toEqual([0])
      expect(yield* everywhere(nodes.slice(0, 2), "k")).toEqual([1, 1])
    })
  )

  type Step =
    | { readonly _tag: "put" | "add" | "delete"; readonly key: string; readonly value: number }
    | { readonly _tag: "flush" }
    | { readonly _tag: "stepDown" }
    | { readonly _tag: "stop" | "restart" | "return"; readonly node: number }
    | { readonly _tag: "adjust"; readonly millis: number }

  const key = fc.constantFrom("a", "b", "c")
  const of = <T extends string>(..._tag: ReadonlyArray<T>) => fc.constantFrom(..._tag)
  const step = fc.oneof<Array<fc.WeightedArbitrary<Step>>>(
    { weight: 8, arbitrary: fc.record({ _tag: of("put", "add", "delete"), key, value: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ _tag: of("flush", "stepDown") }) },
    { weight: 6, arbitrary: fc.record({ _tag: of("stop", "restart", "return"), node: fc.nat(4) }) },
    { weight: 6, arbitrary: fc.record({ _tag: of("adjust"), millis: fc.constantFrom(50, 100, 500, 1000) }) }
  )
  const delays = fc.constantFrom(...(["0 millis", "100 millis", "700 millis"] as const))

  it.effect.prop(
    "as long as one member is up, no acknowledged write is lost, whatever happens to the others",
    [fc.integer({ min: 1, max: 5 }), delays, fc.array(step, { maxLength: 60 })],
    ([size, replicationDelay, steps]) =>
      Effect.gen(function* () {
        const { group, leading, nodes } = yield* groupOf(size, { replicationDelay })
        const up = new Set(nodes.keys())
        const truth = new Map<string, number>()
        for (const step of steps) {
          const [leader, second] = yield* leading
          expect(second).toBeUndefined()
          if (leader !== undefined) {
            expect(up.has(leader)).toBe(true)
            expect(up.size * 2).toBeGreaterThan(size)
          }
          switch (step._tag) {
            case "put":
            case "add":
            case "delete":
            case "flush": {
              const body = step._tag === "flush" ? "{}" : put(step.key, step._tag === "delete" ? 0 : step.value)
              for (const node of up) {
                if (node !== leader) expect(message(yield* nodes[node]!.handle(step._tag, body))).toBe(refused)
              }
              if (leader === undefined) break
              const answer = message(yield* nodes[leader]!.handle(step._tag, body))
              if (step._tag === "flush") {
                truth.clear()
                break
              }
              const known = truth.has(step.key)
              expect(answer).toBe(
                step._tag === "delete"
                  ? known
                    ? "REMOVED"
                    : "NOT_FOUND"
                  : step._tag === "add" && known
                    ? "NOT_STORED"
                    : "STORED"
              )
              if (step._tag === "delete") truth.delete(step.key)
              else if (answer === "STORED") truth.set(step.key, step.value)
              break
            }
            case "stop":
              if (up.size > 1 && step.node < size) {
                up.delete(step.node)
                yield* nodes[step.node]!.stop
              }
              break
            case "restart":
            case "return":
              if (step.node < size && !up.has(step.node)) {
                up.add(step.node)
                yield* nodes[step.node]!.start({ keep: step._tag === "return" })
              }
              break
            case "stepDown":
              yield* group.stepDown
              break
            case "adjust":
              yield* TestClock.adjust(step.millis)
          }
        }
        yield* TestClock.adjust("2 seconds")
        expect(yield* leading).toHaveLength(up.size * 2 > size ? 1 : 0)
        for (const node of up) {
          const entries = yield* nodes[node]!.entries
          expect(new Map(entries.map(({ key, value }) => [key, Number(value)]))).toEqual(truth)
        }
      })
  )

  it.effect("names its members, and no others", () =>
    Effect.gen(function* () {
      const { group, nodes } = yield* groupOf(3)
      const members = yield* group.members
      expect(members).toEqual(["10.0.0.1:11000", "10.0.0.2:11000", "10.0.0.3:11000"])
      expect(nodes.map(({ raftAddress }) => raftAddress)).toEqual(members)
      for (const effect of [
        group.cut("10.0.0.1:11000", "node"),
        group.partition(["node"]),
        group.lag("node", "1 milli")
      ]) {
        expect(Exit.isFailure(yield* Effect.exit(effect))).toBe(true)
      }
      yield* nodes[1]!.leave
      expect(yield* group.members).toEqual(["10.0.0.1:11000", "10.0.0.3:11000"])
    })
  )

  type Disturbance =
    | { readonly _tag: "put"; readonly key: string; readonly value: number }
    | { readonly _tag: "cut"; readonly from: number; readonly to: number }
    | { readonly _tag: "partition"; readonly side: ReadonlyArray<number> }
    | { readonly _tag: "stop" | "return" | "lag" | "reconnect"; readonly node: number }
    | { readonly _tag: "heal" | "stepDown" }
    | { readonly _tag: "adjust"; readonly millis: number }

  const node = fc.nat(4)
  const disturbance = fc.oneof<Array<fc.WeightedArbitrary<Disturbance>>>(
    { weight: 10, arbitrary: fc.record({ _tag: of("put"), key, value: fc.nat(99) }) },
    { weight: 4, arbitrary: fc.record({ _tag: of("cut"), from: node, to: node }) },
    { weight: 2, arbitrary: fc.record({ _tag: of("partition"), side: fc.uniqueArray(node, { maxLength: 3 }) }) },
    { weight: 4, arbitrary: fc.record({ _tag: of("stop", "return", "lag", "reconnect"), node }) },
    { weight: 2, arbitrary: fc.record({ _tag: of("heal", "stepDown") }) },
    { weight: 5, arbitrary: fc.record({ _tag: of("adjust"), millis: fc.constantFrom(50, 500, 1000) }) }
  )

  it.effect.prop(
    "however it is parted, one member at most takes writes, and none that was acknowledged is lost",
    [fc.integer({ min: 1, max: 5 }), delays, fc.array(disturbance, { maxLength: 60 })],
    ([size, replicationDelay, disturbances]) =>
      Effect.gen(function* () {
        const { group, leading, nodes } = yield* groupOf(size, { replicationDelay, leaseTime: "10 minutes" })
        const addresses = yield* group.members
        const at = (index: number) => addresses[index % size]!
        const truth = new Map<string, number>()
        for (const step of disturbances) {
          switch (step._tag) {
            case "put": {
              const answers = yield* Effect.forEach(nodes, (node) => node.handle("put", put(step.key, step.value)))
              const stored = answers.map(message).filter((answer) => answer !== refused)
              expect(stored.length).toBeLessThanOrEqual(1)
              if (stored.length === 1) truth.set(step.key, step.value)
              break
            }
            case "cut":
              yield* group.cut(at(step.from), at(step.to))
              break
            case "partition":
              yield* group.partition(step.side.map(at))
              break
            case "stop":
              yield* nodes[step.node % size]!.stop
              break
            case "return":
              yield* nodes[step.node % size]!.start({ keep: true })
              break
            case "lag":
              yield* group.lag(at(step.node), "5 seconds")
              break
            case "reconnect":
              yield* group.heal(at(step.node))
              break
            case "heal":
              yield* group.heal()
              break
            case "stepDown":
              yield* group.stepDown
              break
            case "adjust":
              yield* TestClock.adjust(step.millis)
          }
          expect((yield* leading).length).toBeLessThanOrEqual(1)
        }
        yield* group.heal()
        for (const node of nodes) yield* node.start({ keep: true })
        yield* TestClock.adjust("10 seconds")
        expect(yield* leading).toHaveLength(1)
        for (const node of nodes) {
          const entries = yield* node.entries
          expect(new Map(entries.map(({ key, value }) => [key, Number(value)]))).toEqual(truth)
          expect(message(yield* node.handle("getLeader", "{}"))).toBe(Option.getOrThrow(yield* group.leader))
        }
      })
  )
})
