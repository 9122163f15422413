/**
 * The functions of `@effect/vitest` that the tests use. Version 4 of that package needs a vitest that does not run on
 * Node.js 20, which this package supports; the vitest that does runs Effect 4 all the same.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as V from "vitest"

export * from "vitest"

/** Time by the test's clock, and no log lines, as in `@effect/vitest`. */
const testServices = Layer.merge(TestClock.layer(), Logger.layer([]))

const run = async <A, E>(effect: Effect.Effect<A, E>, signal: AbortSignal): Promise<A> => {
  const exit = await Effect.runPromiseExit(effect, { signal })
  if (Exit.isSuccess(exit)) return exit.value
  throw Cause.hasInterruptsOnly(exit.cause)
    ? new Error("all fibers were interrupted without errors")
    : Cause.prettyErrors(exit.cause)[0]
}

type Body<Args extends ReadonlyArray<unknown>, R> = (...args: Args) => Effect.Effect<unknown, unknown, R>

/** Arbitraries by name or by place, of which a property gets the values in the same form. */
type Arbitraries<T> = { readonly [K in keyof T]: fc.Arbitrary<T[K]> }

const arbitraryOf = <T>(arbitraries: Arbitraries<T>): fc.Arbitrary<T> =>
  // Both give what T says.
  (Array.isArray(arbitraries) ? fc.tuple(...arbitraries) : fc.record(arbitraries as object)) as fc.Arbitrary<T>

const timeout = (milliseconds: number | undefined) => (milliseconds === undefined ? {} : { timeout: milliseconds })

/** A test whose body is an effect, for which `provide` has what it needs. */
const makeTester = <R>(provide: (effect: Effect.Effect<unknown, unknown, R>) => Effect.Effect<unknown, unknown>) => {
  const start = (effect: () => Effect.Effect<unknown, unknown, R>, { signal }: V.TestContext) =>
    run(provide(Effect.suspend(effect)), signal)
  const test = (name: string, body: Body<[V.TestContext], R>, options?: number) =>
    V.it(name, timeout(options), (context) => start(() => body(context), context).then(() => {}))
  return Object.assign(test, {
    each:
      <A>(cases: ReadonlyArray<A>) =>
      (name: string, body: Body<[A], R>, options?: number) =>
        V.it.for(cases)(name, timeout(options), (value, context) =>
          start(() => body(value as A), context).then(() => {})
        ),
    prop: <T>(
      name: string,
      arbitraries: Arbitraries<T>,
      body: Body<[T], R>,
      options?: { readonly fastCheck?: fc.Parameters<[T]> }
    ) =>
      V.it(name, (context) =>
        fc.assert(
          fc.asyncProperty(arbitraryOf(arbitraries), async (values) => {
            await start(() => body(values), context)
          }),
          options?.fastCheck
        )
      )
  })
}

type Tester<R> = ReturnType<typeof makeTester<R>>

const scopedTest = makeTester<Scope.Scope>((effect) => Effect.provide(Effect.scoped(effect), testServices))
const scopedLive = makeTester<Scope.Scope>(Effect.scoped)

/** `it` with tests whose bodies are effects. In Effect 4 they are all scoped. */
export const it = Object.assign(V.it, {
  effect: scopedTest,
  scoped: scopedTest,
  live: scopedLive,
  scopedLive,
  prop: <T>(
    name: string,
    arbitraries: Arbitraries<T>,
    body: (values: T) => void,
    options?: { readonly fastCheck?: fc.Parameters<[T]> }
  ) => V.it(name, () => fc.assert(fc.property(arbitraryOf(arbitraries), body), options?.fastCheck))
})

/** `it` whose tests have what a layer gives. */
type Own<R> = Omit<typeof it, "effect" | "scoped"> & {
  readonly effect: Tester<R | Scope.Scope>
  readonly scoped: Tester<R | Scope.Scope>
}

/** Tests that share a layer, which is built before the first of them. */
export const layer =
  <R, E>(shared: Layer.Layer<R, E>, options?: { readonly excludeTestServices?: boolean }) =>
  (...args: [name: string, f: (own: Own<R>) => void] | [f: (own: Own<R>) => void]) => {
    const [name, f] = args.length === 1 ? [undefined, args[0]] : args
    const tests = () => {
      const scope = Effect.runSync(Scope.make())
      const all = options?.excludeTestServices === true ? shared : Layer.provideMerge(shared, testServices)
      const context = Effect.runSync(Effect.cached(Effect.orDie(Layer.buildWithScope(all, scope))))
      V.beforeAll(() => Effect.runPromise(Effect.asVoid(context)))
      V.afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
      const effect = makeTester<R | Scope.Scope>((body) =>
        Effect.flatMap(context, (built) => Effect.provide(Effect.scoped(body), built))
      )
      f(Object.assign(Object.create(it), { effect, scoped: effect }))
    }
    if (name === undefined) tests()
    else V.describe(name, tests)
  }
