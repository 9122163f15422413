import { assert, describe, it } from "@effect/vitest"
import { assertMatch, deepStrictEqual } from "@effect/vitest/utils"
import ts from "typescript"
import { programOf, root, projectOptions as strict } from "../support/compiler.js"

const prelude = `
import { GhostDB } from "effect-ghostdb"
interface Loose { readonly a: string; readonly b: number | undefined }
interface Person { readonly name: string; readonly email?: string; readonly tags: ReadonlyArray<string> }
interface Open { readonly b?: number | undefined }
class Account { constructor(readonly balance: number) {} isEmpty() { return this.balance === 0 } }
`

/** What the compiler says of each statement: nothing, or each error with what it adds to it. */
const check = (statements: ReadonlyArray<string>, options: ts.CompilerOptions): ReadonlyArray<string> => {
  const texts = new Map(statements.map((statement, at) => [`${root}test/snippet-${at}.ts`, prelude + statement]))
  const program = programOf(texts, options)
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

const unknown = `GhostDB.put("k", {} as unknown)`

const accepted = [
  `GhostDB.put("k", {} as Person)`,
  `GhostDB.put("k", [{} as Person])`,
  `GhostDB.put("k", { name: "a", tags: [] } satisfies Person)`
]

describe("Json, for the compiler", () => {
  const statements = [...refused.map(([statement]) => statement), unknown, ...accepted]
  let messages: ReadonlyMap<string, string> | undefined
  const messageOf = (statement: string) => {
    messages ??= new Map(check(statements, strict).map((message, at) => [statements[at] ?? "", message]))
    return messages.get(statement)
  }

  it("a value that JSON cannot hold is refused in a sentence that names the part", () => {
    for (const [statement, expected] of refused) {
      const [first = "", ...details] = messageOf(statement)?.split("\n") ?? []
      assert.include(first, `is not assignable to parameter of type 'Json | NotJson<"${expected}">'`)
      assert.isBelow(first.length, 220, statement)
      assert.isBelow(details.length, 12, statement)
    }
  })

  it("what is unknown is to be Json", () => {
    assertMatch(messageOf(unknown) ?? "", /^Argument of type 'unknown' is not assignable to parameter of type 'Json'/)
  })

  it("optional members are accepted without exactOptionalPropertyTypes too", () => {
    const open = `GhostDB.put("k", {} as Open)`
    for (const statement of accepted) assert.strictEqual(messageOf(statement), "", statement)
    // where the compiler cannot tell an absent member from an undefined one, it does not refuse it
    deepStrictEqual(
      check([...accepted, open], { ...strict, exactOptionalPropertyTypes: false }),
      [...accepted, open].map(() => "")
    )
  })
})
