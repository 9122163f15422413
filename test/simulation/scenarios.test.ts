import { describe, expect, it } from "vitest"
import { violations } from "./invariants.js"
import { scenarios } from "./scenarios.js"
import * as World from "./World.js"

describe("what befalls real clusters", () => {
  it.each(scenarios)("$name", ({ broken, scenario }) => {
    for (const seed of [1, 2, 3]) {
      const history = World.run(scenario(seed))
      expect(history.entries.length).toBeGreaterThan(0)
      expect({ seed, broken: broken(history), violations: violations(history) }).toEqual({
        seed,
        broken: [],
        violations: []
      })
    }
  })
})
