/** A user's module that exports stores can be built with its declarations. */
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"
import { programOf, projectOptions, root } from "../support/compiler.js"

const module = `
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

describe("declarations", () => {
  it("of a module that exports stores name nothing that is not public", () => {
    const file = `${root}test/exported-stores.ts`
    const settings: ts.CompilerOptions = {
      ...projectOptions,
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      incremental: false
    }
    const program = programOf(new Map([[file, module]]), settings)
    const source = program.getSourceFile(file)
    let written = ""
    const { diagnostics } = program.emit(source, (_, text) => {
      written = text
    })
    const problems = [...program.getSemanticDiagnostics(source), ...diagnostics]
    assert.deepStrictEqual(
      problems.map(({ code, messageText }) => `TS${code}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`),
      []
    )
    assert.match(written, /export declare const users: import\("effect-ghostdb"\)\.Store<User, /)
    assert.notMatch(written, /import\("(?!effect-ghostdb"|effect\/|effect")/)
  })
})
