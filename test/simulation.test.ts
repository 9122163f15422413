import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import { violations } from "./simulation/invariants.js"
import * as Scenario from "./simulation/Scenario.js"
import * as World from "./simulation/World.js"
import { run } from "./support/program.js"

/** The first seeds whose worlds have so many operations. */
const seedsOf = (count: number, from: number, to: number): ReadonlyArray<number> => {
  const seeds: Array<number> = []
  for (let seed = 1; seeds.length < count; seed++) {
    const { length } = Scenario.generate(seed).operations
    if (length >= from && length <= to) seeds.push(seed)
  }
  return seeds
}

/** What a world costs grows with its operations: many small ones, and some with bursts. */
const seeds = [...seedsOf(185, 0, 35), ...seedsOf(15, 80, 250)]

describe("the simulation", () => {
  it("breaks no promise in 200 worlds", async () => {
    const broken: Array<string> = []
    for (const seed of seeds) {
      const history = World.run(Scenario.generate(seed))
      for (const { details, invariant } of violations(history)) {
        broken.push(...details.map((detail) => `seed ${seed}, ${invariant}: ${detail}`))
      }
      // A world runs in one go: between two of them, whoever waits for this process has his turn.
      await setImmediate()
    }
    expect(broken).toEqual([])
  }, 900_000)

  it("tells the same story of the same seed, to the last event", () => {
    const [one, two] = [1, 2].map(() => World.run(Scenario.generate(7), { trace: true }))
    expect(one?.trace.length).toBeGreaterThan(50)
    expect(two?.trace).toEqual(one?.trace)
    expect(two?.digest).toBe(one?.digest)
  })

  it("tells the story of what happens without a trace", () => {
    for (const seed of [7, 11, 134]) {
      const [plain, traced] = [false, true].map((trace) => World.run(Scenario.generate(seed), { trace }))
      expect(traced?.events).toBe(plain?.events)
      expect(traced?.digest).toBe(plain?.digest)
    }
  })

  it("tells the same story in another process", async () => {
    const here = World.run(Scenario.generate(11), { trace: true })
    const there = await run(new URL("./simulation/main.ts", import.meta.url), { args: ["--seed", "11", "--trace"] })
    expect(there.split("\n").slice(0, here.trace.length)).toEqual(here.trace)
    expect(there).toContain(`digest ${here.digest.toString(16)}`)
  })
})
