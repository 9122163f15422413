/** Replaced, since a snapshot of Effect 4 is that of the registry in the context, and is made of other records. */
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
export const all: Effect.Effect<ReadonlyArray<Series>> = Effect.map(Metric.snapshot, (series) =>
  series.map(({ attributes, id, state }) => ({
    name: id,
    labels: { ...attributes },
    count: "count" in state ? Number(state.count) : 0
  }))
)
