import { inspect } from "node:util"
import { Cause } from "effect"

/** An error as whatever prints errors shows it. */
export const printed = (error: Error): ReadonlyArray<string> => [
  String(error),
  inspect(error),
  Cause.pretty(Cause.fail(error))
]
