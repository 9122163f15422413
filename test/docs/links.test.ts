import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { published, root } from "./snippets.js"

const below = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file))

const documents = [
  ...readdirSync(root).filter((file) => file.endsWith(".md")),
  ...["src", "test", "examples", ".github"].flatMap(below).filter((file) => file.endsWith(".md"))
]

const text = (file: string) => readFileSync(join(root, file), "utf8")

/** The names by which a document's headings are linked to. */
const anchors = (file: string) =>
  [...text(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-")
  )

describe("the documents", () => {
  for (const file of documents) {
    it(`${file}: its links lead somewhere`, () => {
      for (const [, link = ""] of text(file).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(link)) continue
        const [path = "", anchor] = link.split("#")
        const target = path === "" ? file : join(dirname(file), path)
        assert.isTrue(existsSync(join(root, target)), link)
        if (anchor !== undefined) assert.include(anchors(target), anchor, link)
      }
    })
  }

  for (const file of published()) {
    it(`${file}: its links lead to what is published`, () => {
      // Images are not published: the package would be twice as large.
      for (const [, link = ""] of text(file).matchAll(/(?<!!\[[^\]]*)\]\(([^)\s#]+)[^)]*\)/g)) {
        if (/^https?:/.test(link)) continue
        const target = join(dirname(file), link)
        assert.match(target, /^(src|examples)\/|^[A-Z]+\.md$/, link)
        assert.notMatch(target, /^src\/cli\/.*\.(ts|mjs)$/, `${link} is not published`)
      }
    })
  }

  for (const file of ["src/README.md", ".github/CONTRIBUTING.md"]) {
    it(`${file}: the files that it names are there`, () => {
      const named = [...text(file).matchAll(/`((?:[a-z]+\/)+\w[\w.-]*\.\w+)`/gi)].map(([, name = ""]) => name)
      assert.isNotEmpty(named)
      for (const name of named) {
        assert.isTrue(
          [name, join("src", name)].some((path) => existsSync(join(root, path))),
          name
        )
      }
    })
  }
})
