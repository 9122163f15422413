/** The assertions of `@effect/vitest/utils` that the tests use; see EffectVitest.ts. */
import * as assert from "node:assert"

export const deepStrictEqual = <A>(actual: A, expected: A, message?: string): void =>
  assert.deepStrictEqual(actual, expected, message)

export const strictEqual = <A>(actual: A, expected: A, message?: string): void =>
  assert.strictEqual(actual, expected, message)

export function assertTrue(self: unknown): asserts self {
  assert.strictEqual(self, true)
}

export const assertFalse = (self: unknown, message?: string): void => assert.strictEqual(self, false, message)

export const assertMatch = (actual: string, regexp: RegExp): void => assert.match(actual, regexp)

export const assertInclude = (actual: string | undefined, expected: string): void =>
  assert.ok(actual?.includes(expected), `expected\n\n${actual}\n\nto include\n\n${expected}`)

export function assertInstanceOf<A>(value: unknown, type: new (...args: Array<never>) => A): asserts value is A {
  assert.ok(value instanceof type, `expected an instance of ${type.name}`)
}
