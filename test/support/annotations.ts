import type { Logger } from "effect"

/** The annotations of what is logged. */
export const annotationsOf = ({ annotations }: Logger.Logger.Options<unknown>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(annotations)
