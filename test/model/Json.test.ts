import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { assertMatch, deepStrictEqual } from "@effect/vitest/utils"
import ts from "typescript"

const root = fileURLToPath(new URL("../..", import.meta.url))
const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile)
const strict = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root).options

const prelude = `
import { GhostDB } from "effect-ghostdb"
interface Loose { readonly a: string; readonly b: number | undefined }
interface Person { readonly name: string; readonly email?: string; readonly tags: ReadonlyArray<string> }
interface Open { readonly b?: number | undefined }
class Account { constructor(readonly balance: number) {} isEmpty() { return this.balance === 0 } }
`
const parsed = new Map<string, ts.SourceFile | undefined>()

/** What the compiler says of each statement: nothing, or each error with what it adds to it. */
const check = (statements: ReadonlyArray<string>, options: ts.CompilerOptions): ReadonlyArray<string> => {
  const texts = new Map(statements.map((statement, at) => [`${root}test/snippet-${at}.ts`, prelude + statement]))
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  const program = ts.createProgram([...texts.keys()], options, {
    ...host,
    fileExists: (file) => texts.has(file) || fileExists(file),
    getSourceFile: (file, languageVersion) => {
      const text = texts.get(file)
      if (text !== undefined) return ts.createSourceFile(file, text, languageVersion)
      if (!parsed.has(file)) parsed.set(file, getSourceFile(file, languageVersion))
      return parsed.get(file)
    }
  })
  return [...texts.keys()].map((file) =>
    [
      ...program.getSyntacticDiagnostics(program.getSourceFile(file)),
      ...program.getSemanticDiagnostics(program.getSourceFile(file))
    ]
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))
      // what the prelude declares and a statement does not need
      .filter((message) => !/is declared but (its value is )?never used|its value is never read/.test(message))
      .join("\n\n")
  )
}

const refused = [
  [`GhostDB.put("k", undefined)`, "value can be undefined, which JSON cannot hold"],
  [`GhostDB.add("k", undefined)`, "value can be undefined, which JSON cannot hold"],
  [`GhostDB.put("k", 1n)`, "value is a bigint, which JSON cannot hold"],
  [`GhostDB.put("k", Symbol())`, "value is a symbol, which JSON cannot hold"],
  [`GhostDB.put("k", () => 1)`, "value is a function, which JSON cannot hold"],
  [`GhostDB.put("k", new Date())`, "value is a Date, which JSON cannot hold: GhostDB.forSchema encodes it"],
  [
    `GhostDB.put("k", new Map([["a", 1]]))`,
    "value is a Map or Set, which JSON cannot hold: GhostDB.forSchema encodes it"
  ],
  [`GhostDB.put("k", Promise.resolve(1))`, "value has to be run first: it is no value yet"],
  [
    `GhostDB.put("k", {} as { readonly at: ReadonlyArray<{ readonly day: Date }> })`,
    "value.at[].day is a Date, which JSON cannot hold: GhostDB.forSchema encodes it"
  ],
  [`GhostDB.put("k", new Account(1))`, "value.isEmpty is a function, which JSON cannot hold"],
  [`GhostDB.put("k", {} as Loose)`, "value.b can be undefined, which JSON cannot hold"]
] as const

describe("Json, for the compiler", () => {
  it("a value that JSON cannot hold is refused in a sentence that names the part", { timeout: 60_000 }, () => {
    const statements = refused.map(([statement]) => statement)
    check(statements, strict).forEach((message, at) => {
      const [statement, expected] = refused[at]!
      const [first = "", ...details] = message.split("\n")
      assert.include(first, `is not assignable to parameter of type 'Json | NotJson<"${expected}">'`)
      assert.isBelow(first.length, 220, statement)
      assert.isBelow(details.length, 12, statement)
    })
  })

  it("what is unknown is to be Json", { timeout: 60_000 }, () => {
    const [unknown] = check([`GhostDB.put("k", {} as unknown)`], strict)
    assertMatch(unknown ?? "", /^Argument of type 'unknown' is not assignable to parameter of type 'Json'/)
  })

  it("optional members are accepted without exactOptionalPropertyTypes too", { timeout: 60_000 }, () => {
    const accepted = [
      `GhostDB.put("k", {} as Person)`,
      `GhostDB.put("k", [{} as Person])`,
      `GhostDB.put("k", { name: "a", tags: [] } satisfies Person)`
    ]
    for (const exactOptionalPropertyTypes of [true, false]) {
      deepStrictEqual(
        check(accepted, { ...strict, exactOptionalPropertyTypes }),
        accepted.map(() => "")
      )
    }
    // where the compiler cannot tell an absent member from an undefined one, it does not refuse it
    deepStrictEqual(check([`GhostDB.put("k", {} as Open)`], { ...strict, exactOptionalPropertyTypes: false }), [""])
  })
})
