import { Cause, Exit, Option } from "effect"

/** What an effect died of, as text. Empty where it did not. */
export const defectOf = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) ? Option.match(Cause.dieOption(exit.cause), { onNone: () => "", onSome: String }) : ""
