/**
 * Runs before each file of tests. Files share their process, and with it the module cache; `layer` of @effect/vitest replaces
 * the methods of the one `it` by its own, which would then provide that layer to the tests of the next file too.
 */
import { setImmediate } from "node:timers/promises"
import { afterEach, chai, it, makeMethods } from "@effect/vitest"
import { Option } from "effect"

makeMethods(it)

// Between two tests whoever waits for this process has his turn. The runner gives up on a process that is silent for a minute,
// which on a busy machine a row of tests that never wait can be.
afterEach(() => setImmediate())

// Where two values have not the same number of keys, chai compares what they iterate over: an Option is an iterable of one
// object that shows nothing, so that a none would equal a some.
const comparator = (left: unknown, right: unknown): boolean | null =>
  Option.isOption(left) && Option.isOption(right) && left._tag !== right._tag ? false : null

chai.config.deepEqual = (left: unknown, right: unknown) => chai.util.eql(left, right, { comparator })
