/**
 * What the client promises, whatever happens: each promise is a function of a history that returns how it was broken.
 */
import * as Blame from "./invariants/blame.js"
import * as Cache from "./invariants/cache.js"
import type { Invariant } from "./invariants/common.js"
import * as Time from "./invariants/time.js"
import * as Values from "./invariants/values.js"
import type { History } from "./World.js"

/** The promises by their names. */
export const invariants: Readonly<Record<string, Invariant>> = { ...Time, ...Blame, ...Values, ...Cache }

/** A promise that a history breaks. */
export interface Violation {
  readonly invariant: string
  readonly details: ReadonlyArray<string>
}

/** Every promise that a history breaks. */
export const violations = (history: History): ReadonlyArray<Violation> =>
  Object.entries(invariants).flatMap(([invariant, check]) => {
    const details = check(history)
    return details.length === 0 ? [] : [{ invariant, details }]
  })
