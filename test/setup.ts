/**
 * Runs before each file of tests. Files share their process, and with it the module cache; `layer` of @effect/vitest replaces
 * the methods of the one `it` by its own, which would then provide that layer to the tests of the next file too.
 */
import { chai, it, makeMethods } from "@effect/vitest"
import { Option } from "effect"

makeMethods(it)

// Where two values have not the same number of keys, chai compares what they iterate over: an Option is an iterable of one
// object that shows nothing, so that a none would equal a some.
const comparator = (left: unknown, right: unknown): boolean | null =>
  Option.isOption(left) && Option.isOption(right) && left._tag !== right._tag ? false : null

chai.config.deepEqual = (left: unknown, right: unknown) => chai.util.eql(left, right, { comparator })
