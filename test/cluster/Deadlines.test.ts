import { assert, it } from "@effect/vitest"
import { Effect, Exit, Scope, TestClock } from "effect"
import * as Deadlines from "../../src/cluster/Deadlines.js"

const scene = Effect.gen(function* () {
  const deadlines = yield* Deadlines.make(false)
  const called: Array<string> = []
  return { called, add: (deadline: number, name: string) => deadlines.add(deadline, () => called.push(name)) }
})

it.scoped("each is called at its deadline and once, whatever order they were added in", () =>
  Effect.gen(function* () {
    const { add, called } = yield* scene
    add(20, "b")
    add(10, "a")
    add(20, "c")
    yield* TestClock.adjust(9)
    assert.deepStrictEqual(called, [])
    yield* TestClock.adjust(1)
    assert.deepStrictEqual(called, ["a"])
    yield* TestClock.adjust(100)
    assert.deepStrictEqual(called, ["a", "b", "c"])
  })
)

it.scoped("one that has been taken back is not called, and leaves the others of its millisecond", () =>
  Effect.gen(function* () {
    const { add, called } = yield* scene
    const takeBack = add(10, "a")
    add(10, "b")
    takeBack()
    takeBack()
    add(30, "c")()
    add(30, "d")
    yield* TestClock.adjust(30)
    assert.deepStrictEqual(called, ["b", "d"])
  })
)

it.scoped("one that has passed is called at once", () =>
  Effect.gen(function* () {
    const { add, called } = yield* scene
    yield* TestClock.adjust(10)
    add(5, "a")
    assert.deepStrictEqual(called, ["a"])
  })
)

it.effect("none is called once the scope has closed", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { add, called } = yield* Scope.extend(scene, scope)
    add(10, "a")
    yield* Scope.close(scope, Exit.void)
    add(10, "b")
    yield* TestClock.adjust(10)
    assert.deepStrictEqual(called, [])
  })
)
