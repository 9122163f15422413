/**
 * What the compiler says to those who use the package. It is in one file, and most of it in one program: most of the work
 * is to read the declarations of packages.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { assertMatch, deepStrictEqual } from "@effect/vitest/utils"
import ts from "typescript"
import { messageOf, optionsOf, problemsOf, programOf, root } from "./support/compiler.js"
import { neutral, sourceOf } from "./support/entries.js"

const strict = optionsOf("tsconfig.json")

const typeTests = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test-d.ts"))
  .sort()

const testsFolder = join(root, "test")

const stores = `
import { Effect, Request, RequestResolver, Schema } from "effect"
import { GhostDB, type JsonEncoded, NearCache, Resolver } from "effect-ghostdb"

class User extends Schema.Class<User>("User")({ id: Schema.Number, born: Schema.Date }) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class Find extends Request.TaggedClass("Find")<User, never, { readonly id: number }> {}

export const users = GhostDB.forSchema(User, {
  prefix: "user:",
  ttl: "5 minutes",
  expiry: "exact",
  staleFor: "1 hour",
  timeout: { hard: "1 second" },
  failure: { schema: NotFound, ttl: 10 },
  lock: true,
  onOutage: "fail"
})
export const { getOrElse, put } = users
export const user = (id: number) => users.getOrElse(String(id), new NotFound())
export const storeOf = <A, I>(schema: Schema.Schema<A, I> & JsonEncoded<I>) => GhostDB.forSchema(schema)
export const remembered = GhostDB.cached("rate", { schema: Schema.Number, ttl: 60 })
export const many = GhostDB.getMany(["a"])
export const events = GhostDB.cacheEvents
export const near = NearCache.layer({ capacity: 10, ttl: 2 })
export const resolver = Resolver.cached(
  RequestResolver.fromEffect((_: Find) => Effect.never),
  { store: users, key: ({ id }) => String(id) }
)
`

const storesFile = join(testsFolder, "exported-stores.ts")

const prelude = `
import { GhostDB } from "effect-ghostdb"
interface Loose { readonly a: string; readonly b: number | undefined }
interface Person { readonly name: string; readonly email?: string; readonly tags: ReadonlyArray<string> }
interface Open { readonly b?: number | undefined }
class Account { constructor(readonly balance: number) {} isEmpty() { return this.balance === 0 } }
`

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

/** The statements as modules, each behind the prelude, by their files. */
const modulesOf = (statements: ReadonlyArray<string>): ReadonlyMap<string, string> =>
  new Map(statements.map((statement, at) => [join(testsFolder, `statement-${at}.ts`), prelude + statement]))

const statements = [...refused.map(([statement]) => statement), unknown, ...accepted]

/** All that is compiled with the project's own options. */
let program: ts.Program

beforeAll(() => {
  program = programOf(
    typeTests.map((file) => join(testsFolder, file)),
    new Map([...modulesOf(statements), [storesFile, stores]]),
    { ...strict, noEmit: false, declaration: true, emitDeclarationOnly: true }
  )
})

// Reading and checking are two steps, so that neither keeps the process from answering for long.
beforeAll(async () => {
  await setImmediate()
  program.getTypeChecker()
})

interface TypeTest {
  readonly name: string
  readonly pos: number
  readonly end: number
}

/** The tests of a file, each with the place of its text. */
const testsIn = (file: string): ReadonlyArray<TypeTest> => {
  const found: Array<TypeTest> = []
  const visit = (node: ts.Node, groups: string): void => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      const [name] = node.arguments
      if (name !== undefined && ts.isStringLiteralLike(name)) {
        if (node.expression.text === "it") found.push({ name: groups + name.text, pos: node.pos, end: node.end })
        if (node.expression.text === "describe") {
          ts.forEachChild(node, (child) => visit(child, `${groups}${name.text} > `))
          return
        }
      }
    }
    ts.forEachChild(node, (child) => visit(child, groups))
  }
  visit(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest), "")
  return found
}

const show = (problem: ts.Diagnostic): string => {
  const line = problem.file?.getLineAndCharacterOfPosition(problem.start ?? 0).line ?? 0
  return `line ${line + 1}: TS${problem.code}: ${messageOf(problem)}`
}

for (const name of typeTests) {
  describe(name, () => {
    const file = join(testsFolder, name)
    const tests = testsIn(file)
    const holds =
      ({ start = 0 }: ts.Diagnostic) =>
      ({ end, pos }: TypeTest) =>
        pos <= start && start < end

    for (const test of tests) {
      it(test.name, () => {
        const problems = problemsOf(program, file).filter((problem) => holds(problem)(test))
        deepStrictEqual(problems.map(show), [])
      })
    }

    it("compiles beside its tests", () => {
      assert.isNotEmpty(tests)
      const problems = problemsOf(program, file).filter((problem) => !tests.some(holds(problem)))
      deepStrictEqual(problems.map(show), [])
    })
  })
}

describe("declarations", () => {
  it("of a module that exports stores name nothing that is not public", () => {
    let written = ""
    const { diagnostics } = program.emit(program.getSourceFile(storesFile), (_, text) => {
      written = text
    })
    deepStrictEqual([...problemsOf(program, storesFile), ...diagnostics].map(show), [])
    assert.match(written, /export declare const users: import\("effect-ghostdb"\)\.Store<User, /)
    assert.notMatch(written, /import\("(?!effect-ghostdb"|effect\/|effect")/)
  })

  /** Those of some sources and of all that they import, as the build emits them. */
  const declarationsOf = (sources: ReadonlyArray<string>): ReadonlyMap<string, string> => {
    const declarations = new Map<string, string>()
    // The type-check is the build's business: it takes much longer than the declarations.
    const options = { ...optionsOf("tsconfig.build.json"), emitDeclarationOnly: true, noCheck: true }
    programOf(
      sources.map((source) => join(root, source)),
      new Map(),
      { ...options, declarationMap: false }
    ).emit(undefined, (file, text) => declarations.set(file, text))
    return declarations
  }

  /** Those that an importer of `source` reads. */
  const readBy = (source: string, declarations: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
    const read = new Map<string, string>()
    const visit = (file: string): void => {
      const text = declarations.get(file)
      if (text === undefined || read.has(file)) return
      read.set(file, text)
      for (const [, name = ""] of text.matchAll(/(?:from |import\()"(\.[^"]+)\.js"/g))
        visit(join(file, "..", `${name}.d.ts`))
    }
    visit(join(root, source.replace(/^src/, "dist").replace(/\.ts$/, ".d.ts")))
    return read
  }

  it("of the platform-neutral entry points need no types of Node.js", () => {
    const declarations = declarationsOf(neutral.map(sourceOf))
    for (const name of neutral) {
      const read = readBy(sourceOf(name), declarations)
      assert.isNotEmpty([...read])
      for (const [file, text] of read) assert.notMatch(text, /\bBuffer\b|\bNodeJS\b|"node:/, file)
    }
  })
})

describe("Json, for the compiler", () => {
  /** What it says of each module: nothing, or each error with what it adds to it. */
  const verdicts = (program: ts.Program, statements: ReadonlyArray<string>): ReadonlyMap<string, string> =>
    new Map(
      [...modulesOf(statements).keys()].map((file, at) => [
        statements[at] ?? "",
        problemsOf(program, file)
          .map(messageOf)
          // what the prelude declares and a statement does not need
          .filter((message) => !/is declared but (its value is )?never used|its value is never read/.test(message))
          .join("\n\n")
      ])
    )

  it("a value that JSON cannot hold is refused in a sentence that names the part", () => {
    const said = verdicts(program, statements)
    for (const [statement, expected] of refused) {
      const [first = "", ...details] = said.get(statement)?.split("\n") ?? []
      assert.include(first, `is not assignable to parameter of type 'Json | NotJson<"${expected}">'`)
      assert.isBelow(first.length, 220, statement)
      assert.isBelow(details.length, 12, statement)
    }
  })

  it("what is unknown is to be Json", () => {
    assertMatch(
      verdicts(program, statements).get(unknown) ?? "",
      /^Argument of type 'unknown' is not assignable to parameter of type 'Json'/
    )
  })

  it("optional members are accepted without exactOptionalPropertyTypes too", () => {
    const said = verdicts(program, statements)
    for (const statement of accepted) assert.strictEqual(said.get(statement), "", statement)
    // where the compiler cannot tell an absent member from an undefined one, it does not refuse it
    const loose = [...accepted, `GhostDB.put("k", {} as Open)`]
    deepStrictEqual(
      [...verdicts(programOf([], modulesOf(loose), { ...strict, exactOptionalPropertyTypes: false }), loose).values()],
      loose.map(() => "")
    )
  })
})
