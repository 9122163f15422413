import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Utils } from "effect"
import { keyPicker, operationPicker } from "../../src/cli/commands/bench/workload.js"
import { cluster, folder, live } from "./scene.js"
import { type Ended, plain, startHere } from "./support.js"

interface Report {
  readonly operations: number
  readonly errors: number
  readonly nodes: { readonly dead: ReadonlyArray<{ readonly node: string }> }
}

const reportOf = (ended: Effect.Effect<Ended>) => Effect.map(ended, ({ stdout }): Report => JSON.parse(stdout))

describe("the workload", () => {
  const draw = (pick: () => number, size: number) => {
    const counts = new Array<number>(size).fill(0)
    for (let i = 0; i < 100_000; i++) counts[pick()]! += 1
    return counts
  }

  it("keys are picked as the distribution says, and all are keys", () => {
    const random = new Utils.PCGRandom(7)
    const uniform = () => random.number()
    const size = 100
    const even = draw(keyPicker("uniform", size, uniform), size)
    assert.strictEqual(even.length, size)
    assert.isBelow(Math.max(...even), 2 * Math.min(...even))
    const zipf = draw(keyPicker("zipf", size, uniform), size)
    assert.strictEqual(zipf.length, size)
    // 1 over the sum of 1/i^0.99 for the first hundred
    assert.closeTo(zipf[0]! / 100_000, 0.19, 0.02)
    assert.closeTo(zipf[1]! / zipf[0]!, 0.5, 0.05)
    const gaussian = draw(keyPicker("gaussian", size, uniform), size)
    assert.strictEqual(gaussian.length, size)
    const middle = gaussian.slice(33, 67).reduce((sum, count) => sum + count, 0)
    assert.closeTo(middle / 100_000, 0.69, 0.05)
  })

  it("commands are picked as often as they weigh", () => {
    const random = new Utils.PCGRandom(7)
    const pick = operationPicker({ get: 3, put: 1, add: 0, delete: 0 }, () => random.number())
    const all = Array.from({ length: 20_000 }, pick)
    assert.deepStrictEqual(new Set(all), new Set(["get", "put"]))
    assert.closeTo(all.filter((name) => name === "get").length / all.length, 0.75, 0.03)
  })
})

describe("bench", () => {
  live("nodes that are dead are named, and the exit code says so; CSV and a histogram", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb, servers } = yield* cluster({ nodes: 2 })
      yield* servers[0]!.stop
      const args = ["bench", "--requests", "500", "--keys", "20", "--warmup", "1ms", "--distribution", "zipf"]
      const { code, stderr, stdout } = yield* ghostdb(args)
      assert.strictEqual(code, 1)
      assert.strictEqual(stderr, `ghostdb: 1 of 2 nodes do not answer: ${addresses[0]}\n`)
      assert.match(stdout, /^nodes: 1 of 2 live; [\d,]+ failed attempts, [\d,]+ failovers$/m)
      assert.match(stdout, new RegExp(`^dead: ${addresses[0]}, (connection refused|does not answer)`, "m"))
      assert.match(stdout, /^client: [\d.]+% of a CPU, [\d.]+ µs a command$/m)
      const file = join(folder, "latencies.hgrm")
      const csv = yield* ghostdb([...args, "--csv", "--histogram", file])
      assert.match(csv.stdout, /^command,operations,errors,ops_per_second,p50_ms,.*\n(?:get|put),\d+,0,[\d.]+,[\d.]+,/)
      const histogram = readFileSync(file, "utf8")
      assert.match(histogram, /^ +Value +Percentile TotalCount 1\/\(1-Percentile\)\n\n +[\d.]+ 0\.0{12} +0 +1\.00\n/)
      assert.match(histogram, /\n +[\d.]+ 1\.0{12} +\d+ +inf\n#\[Mean +=/)
      const percentiles = [...histogram.matchAll(/^ +([\d.]+) ([01]\.\d{12})/gm)].map(([, value, share]) => [
        Number(value),
        Number(share)
      ])
      percentiles.slice(1).forEach(([value = 0, share = 0], i) => {
        assert.isAtLeast(value, percentiles[i]?.[0] ?? 0)
        assert.isAbove(share, percentiles[i]?.[1] ?? 1)
      })
      const { errors, nodes, operations } = yield* reportOf(ghostdb([...args, "--json"]))
      assert.deepStrictEqual([errors, operations > 400, nodes.dead.map(({ node }) => node)], [0, true, [addresses[0]]])
    })
  )

  live("progress is one line, however narrow the terminal is", () =>
    Effect.gen(function* () {
      const { file } = yield* cluster({ nodes: 1 })
      const bench = yield* startHere(["bench", "--seconds", "1", "--keys", "10"], { nodes: file, columns: 40 })
      assert.strictEqual(yield* Fiber.join(bench.fiber), 0)
      const drawn = bench.stderr().split("\r").slice(1, -1)
      assert.isAbove(drawn.length, 3)
      for (const line of drawn) assert.isBelow([...plain(line)].length, 40)
      assert.notInclude(bench.stderr(), "\n")
    })
  )
})
