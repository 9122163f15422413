/** Replaced, since `inspect` shows the members of an error of Effect 4 in place of its message. */
import { Cause } from "effect"

/** An error as whatever prints errors shows it. */
export const printed = (error: Error): ReadonlyArray<string> => [String(error), Cause.pretty(Cause.fail(error))]
