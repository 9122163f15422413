import { HashMap, Inspectable, Logger, type Record } from "effect"

export interface Line {
  readonly level: string
  readonly text: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** A logger in place of the default one, and what it has been given. */
export const recorder = () => {
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>(({ annotations, cause, logLevel, message }) => {
    lines.push({
      level: logLevel.label,
      text: `${Inspectable.toStringUnknown(message)} ${Inspectable.toStringUnknown(cause)}`,
      annotations: Object.fromEntries(HashMap.toEntries(annotations))
    })
  })
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}
