/** Replaced, since a logger of Effect 4 finds annotations in the fiber. */
import { type Logger, References } from "effect"

/** The annotations of what is logged. */
export const annotationsOf = ({ fiber }: Logger.Options<unknown>): Readonly<Record<string, unknown>> =>
  fiber.getRef(References.CurrentLogAnnotations)
