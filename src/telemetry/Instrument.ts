/** The metrics of the client, each resolved once for its labels: resolving one costs more than encoding a command. */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"

export type Labels = Readonly<Record<string, string>>

const labelled = (labels: Labels) =>
  MetricKey.taggedWithLabels(
    Object.entries({ "db.system.name": "ghostdb", ...labels }).map(([name, value]) => MetricLabel.make(name, value))
  )

/** A number that only grows. */
export const counter = (name: string, description: string, labels: Labels = {}): Metric.Metric.Counter<number> =>
  Metric.fromMetricKey(MetricKey.counter(name, { description, incremental: true }).pipe(labelled(labels)))

/** A number that grows and shrinks. */
export const upDownCounter = (name: string, description: string, labels: Labels): Metric.Metric.Counter<number> =>
  Metric.fromMetricKey(MetricKey.counter(name, { description }).pipe(labelled(labels)))

/** Boundaries of a histogram. The same ones, not equal ones, make the same metric. */
export const boundaries: (values: Iterable<number>) => MetricBoundaries.MetricBoundaries = MetricBoundaries.fromIterable

/** Observations, counted by the boundaries between which they fall. */
export const histogram = (
  name: string,
  boundaries: MetricBoundaries.MetricBoundaries,
  description: string,
  labels: Labels
): Metric.Metric.Histogram<number> =>
  Metric.fromMetricKey(MetricKey.histogram(name, boundaries, description).pipe(labelled(labels)))
