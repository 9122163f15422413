import { assert, describe, it } from "@effect/vitest"
import { publicDeclarations } from "./public.js"

/** The headings of the reference, in which readers look for an export. */
const categories = [
  "service",
  "commands",
  "caching",
  "outages",
  "administration",
  "layers",
  "constructors",
  "options",
  "models",
  "errors",
  "types",
  "functions",
  "combining",
  "reading",
  "metrics",
  "constants",
  "symbols"
]

describe("the reference", () => {
  const declarations = publicDeclarations()
  const without = (has: (one: (typeof declarations)[number]) => boolean) =>
    declarations.filter((one) => !has(one)).map(({ file, name }) => `${file}: ${name}`)

  it("covers what is public", () => {
    const names = declarations.map(({ name }) => name)
    assert.includeMembers(names, ["GhostDB", "GhostDBLive", "GhostDBTest", "layerConfig", "NoMoreServers", "lookup"])
    assert.notInclude(names, "tag")
  })

  it("says something of each export", () => {
    assert.deepStrictEqual(
      without(({ tags, text }) => text !== "" || tags.includes("see")),
      []
    )
  })

  it("has each export under a heading, with the version that it came with", () => {
    assert.deepStrictEqual(
      without(({ tags }) => tags.includes("since")),
      []
    )
    assert.deepStrictEqual(
      without(({ category }) => categories.includes(category)),
      []
    )
  })
})
