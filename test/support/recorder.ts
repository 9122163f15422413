import { Inspectable, Logger, type Record } from "effect"
import { annotationsOf } from "./annotations.js"

export interface Line {
  readonly level: string
  readonly text: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** A logger in place of the default one, and what it has been given. */
export const recorder = () => {
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>((options) => {
    const { cause, logLevel, message } = options
    lines.push({
      level: logLevel.label,
      text: `${Inspectable.toStringUnknown(message)} ${Inspectable.toStringUnknown(cause)}`,
      annotations: annotationsOf(options)
    })
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}
