/**
 * Runs before each file of tests. Files share their process, and with it the module cache; `layer` of @effect/vitest replaces
 * the methods of the one `it` by its own, which would then provide that layer to the tests of the next file too.
 */
import { it, makeMethods } from "@effect/vitest"

makeMethods(it)
