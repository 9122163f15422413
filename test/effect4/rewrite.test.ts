/** What the codemod makes of snippets. That the whole package compiles, and passes its tests, `npm run test:effect4` shows. */
import { describe, expect, it } from "@effect/vitest"
import { document, rewrite } from "./codemod/Rewrite.js"
import type { Surface } from "./codemod/Surface.js"

const exports: Readonly<Record<string, string>> = {
  "effect/Clock": "Clock monotonicTimeNanos",
  "effect/Context": "Service Reference",
  "effect/Deferred": "make makeUnsafe Deferred",
  "effect/Effect":
    "Effect Success andThen callback catch fail flatMap forEach fork forkChild gen map result succeed timeoutOrElse withSpan",
  "effect/Fiber": "await interrupt",
  "effect/Option": "Option none some",
  "effect/Random": "nextIntBetween",
  "effect/Queue": "offerUnsafe",
  "effect/Request": "TaggedClass",
  "effect/Result": "Result Success Failure fail succeed isFailure match",
  "effect/Schema": "Codec Literals Schema SchemaError String Struct Union",
  "effect/Stream": "switchMap flatMap succeed",
  "effect/http/HttpClient": "HttpClient"
}

const surface: Surface = {
  exportsOf: (module) => (module in exports ? new Set(exports[module]?.split(" ")) : undefined)
}

const rewritten = (code: string) => {
  const { problems, text } = rewrite("src/cache/A.ts", code, surface)
  expect(problems).toEqual([])
  return text
}

const problemsOf = (code: string) =>
  rewrite("src/cache/A.ts", code, surface).problems.map(({ file, line, message }) => `${file}:${line}: ${message}`)

describe("names", () => {
  it("members and types are renamed where they are those of a namespace, and nowhere else", () => {
    expect(
      rewritten(`import * as Effect from "effect/Effect"
const async = 1
export const a: Effect.Effect<number> = Effect.async<number>((resume) => resume(Effect.succeed(async)))
export type A = Effect.Effect.Success<typeof a>
`)
    ).toBe(`import * as Effect from "effect/Effect"
const async = 1
export const a: Effect.Effect<number> = Effect.callback<number>((resume) => resume(Effect.succeed(async)))
export type A = Effect.Success<typeof a>
`)
  })

  it("a member that has moved brings its module along, and a module that nobody uses is not imported", () => {
    expect(
      rewritten(`import * as Effect from "effect/Effect"
export const clock = Effect.clock
`)
    ).toBe(`import * as Clock from "effect/Clock"
export const clock = Clock.Clock
`)
  })

  it("durations are measured by the monotonic clock, as in Effect 3", () => {
    expect(
      rewritten(`import * as Clock from "effect/Clock"
export const now = Clock.currentTimeNanos
export const of = (clock: Clock.Clock) => [clock.unsafeCurrentTimeNanos(), clock.unsafeCurrentTimeMillis()]
`)
    ).toBe(`import * as Clock from "effect/Clock"
export const now = Clock.monotonicTimeNanos
export const of = (clock: Clock.Clock) => [clock.monotonicTimeNanosUnsafe(), clock.currentTimeMillisUnsafe()]
`)
  })

  it("the upper bound of a random number is excluded, as in Effect 3", () => {
    expect(
      rewritten(`import * as Random from "effect/Random"
export const index = Random.nextIntBetween(0, 5)
`)
    ).toBe(`import * as Random from "effect/Random"
export const index = Random.nextIntBetween(0, 5, { halfOpen: true })
`)
  })

  it("a module of which no more than types are used is imported as a type", () => {
    expect(
      rewritten(`import type { ParseError } from "effect/ParseResult"
export type Errors = ParseError | undefined
`)
    ).toBe(`import type * as Schema from "effect/Schema"
export type Errors = Schema.SchemaError | undefined
`)
  })

  it("namespaces of a barrel come from the barrel that has them", () => {
    expect(
      rewritten(`import { HttpClient } from "@effect/platform"
import { Effect, Either } from "effect"
export const a = Effect.either(Effect.map(HttpClient.HttpClient, Either.right))
`)
    ).toBe(`import { HttpClient } from "effect/http"
import { Effect, Result } from "effect"
export const a = Effect.result(Effect.map(HttpClient.HttpClient, Result.succeed))
`)
  })

  it("an Either is a Result: its members, tags and options too", () => {
    expect(
      rewritten(`import * as Either from "effect/Either"
export const a = (e: Either.Either<number, string>) =>
  Either.isLeft(e) ? e.left : Either.match(e, { onLeft: String, onRight: String }) + e.right + (e._tag === "Right")
`)
    ).toBe(`import * as Result from "effect/Result"
export const a = (e: Result.Result<number, string>) =>
  Result.isFailure(e) ? e.failure : Result.match(e, { onFailure: String, onSuccess: String }) + e.success + (e._tag === "Success")
`)
  })
})

describe("calls of another shape", () => {
  it.each([
    [`class A extends Context.Tag("A")<A, number>() {}`, `class A extends Context.Service<A, number>()("A") {}`],
    [`Deferred.unsafeMake<void>(FiberId.none)`, `Deferred.makeUnsafe<void>()`],
    [
      `Schema.Union(Schema.String, Schema.Literal("a", "b"))`,
      `Schema.Union([Schema.String, Schema.Literals(["a", "b"])])`
    ],
    [
      `Effect.timeoutFail(Effect.succeed(1), { duration: 5, onTimeout: () => "late" })`,
      `Effect.timeoutOrElse(Effect.succeed(1), { duration: 5, orElse: () => Effect.fail("late") })`
    ],
    [`Stream.flatMap(Stream.void, f, { switch: true })`, `Stream.switchMap(Stream.succeed(undefined), f)`],
    [`queue.unsafeOffer(event)`, `Queue.offerUnsafe(queue, event)`],
    [
      `Effect.withSpan(f, "a", { captureStackTrace: false, kind: "client" })`,
      `Effect.withSpan(f, "a", { kind: "client" })`
    ],
    [
      `class A extends Request.TaggedClass("A")<string, never, { readonly id: number }> {}`,
      `class A extends Request.TaggedClass("A")<{ readonly id: number }, string, never> {}`
    ],
    [`type A = Context.Tag.Service<Tag>`, `type A = Context.Service.Shape<typeof Tag>`],
    [`Effect.forEach(ids, f, { batching: true })`, `Effect.forEach(ids, f, { concurrency: "unbounded" })`],
    [`lines.push(logLevel.label)`, `lines.push(logLevel.toUpperCase())`],
    [`function* f() { yield* Fiber.interrupt(a) }`, `function* f() { yield* Fiber.interrupt(a) }`],
    [
      `function* f() { return yield* Fiber.interrupt(a) }`,
      `function* f() { return yield* Effect.andThen(Fiber.interrupt(a), Fiber.await(a)) }`
    ]
  ])("%s", (before, after) => {
    const modules = ["Context", "Deferred", "Effect", "Fiber", "FiberId", "Request", "Schema", "Stream"]
    const imports = modules.map((module) => `import * as ${module} from "effect/${module}"`).join("\n")
    expect(rewritten(`${imports}\n${before}\n`).split("\n").slice(-2)).toEqual([after, ""])
  })

  it("of one within another", () => {
    expect(
      rewritten(`import * as Effect from "effect/Effect"
Effect.timeoutFail(Effect.catchAll(f, () => Effect.fork(g)), { duration: 1, onTimeout })
`)
    ).toContain(
      "Effect.timeoutOrElse(Effect.catch(f, () => Effect.forkChild(g)), { duration: 1, orElse: () => Effect.fail((onTimeout)()) })"
    )
  })
})

describe("what there is no rule for", () => {
  it.each([
    ["a member that is gone", "\nEffect.whenever(1)", "no rule for Effect.whenever, which Effect 4 does not have"],
    ["a call that is no call", "\nconst f = Effect.timeoutFail", "no rule for Effect.timeoutFail outside of a call"],
    ["options that are not written there", "\nEffect.timeoutFail(a, options)", "options that cannot be read"]
  ])("%s is a problem with its file and line", (_, code, message) => {
    expect(problemsOf(`import * as Effect from "effect/Effect"\n${code}`)).toEqual([`src/cache/A.ts:3: ${message}`])
  })
})

describe("comments and documents", () => {
  it("the examples of a comment are rewritten as modules are", () => {
    expect(
      rewritten(`/**
 * A.
 *
 * @example
 * import { Effect } from "effect"
 *
 * const a = Effect.async(f)
 */
export const a = 1
`)
    ).toContain(` * const a = Effect.callback(f)`)
  })

  it("so are the programs of a document, and a problem has the document's line", () => {
    const { problems, text } = document(
      "README.md",
      `# A

\`\`\`ts
import { Effect } from "effect"
Effect.fork(a)
Effect.gone(a)
\`\`\`
`,
      surface
    )
    expect(text).toContain("Effect.forkChild(a)")
    expect(problems).toEqual([
      { file: "README.md", line: 6, message: "no rule for Effect.gone, which Effect 4 does not have" }
    ])
  })
})
