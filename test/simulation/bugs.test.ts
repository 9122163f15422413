import { describe, expect, it } from "vitest"
import { bugs } from "./bugs.js"
import { sourcesWith } from "./plant.js"

describe("bugs to be planted", () => {
  it.each(bugs)("$name: fits the sources as they are", (bug) => {
    expect(sourcesWith(bug).size).toBeGreaterThan(0)
  })
})
