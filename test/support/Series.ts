/** The series of metrics that there are, as an exporter finds them. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/** One series: a metric with one set of labels. */
export interface Series {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Of a counter its count, of a histogram how many values it has had. */
  readonly count: number
}

/** All series, as they are now. */
export const all: Effect.Effect<ReadonlyArray<Series>> = Effect.map(Metric.snapshot, (pairs) =>
  pairs.map(({ metricKey: { name, tags }, metricState }) => ({
    name,
    labels: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
    count: "count" in metricState ? Number(metricState.count) : 0
  }))
)
