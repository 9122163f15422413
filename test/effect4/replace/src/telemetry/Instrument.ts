/** Replaced, since Effect 4 has no metric keys: a metric has attributes, and is found in the registry at each update. */
import * as Metric from "effect/Metric"

export type Labels = Readonly<Record<string, string>>

const labelled = (labels: Labels) => ({ "db.system.name": "ghostdb", ...labels })

/** A number that only grows. */
export const counter = (name: string, description: string, labels: Labels = {}): Metric.Counter<number> =>
  Metric.counter(name, { description, incremental: true, attributes: labelled(labels) })

/** A number that grows and shrinks. */
export const upDownCounter = (name: string, description: string, labels: Labels): Metric.Counter<number> =>
  Metric.counter(name, { description, attributes: labelled(labels) })

/** Boundaries of a histogram. */
export const boundaries: (values: Iterable<number>) => ReadonlyArray<number> = Metric.boundariesFromIterable

/** Observations, counted by the boundaries between which they fall. */
export const histogram = (
  name: string,
  boundaries: ReadonlyArray<number>,
  description: string,
  labels: Labels
): Metric.Histogram<number> => Metric.histogram(name, { boundaries, description, attributes: labelled(labels) })
