/** Replaced, since a tracer of Effect 4 is given options, and has spans that keep themselves. */
import { Layer, Tracer } from "effect"

/** A span as it was told. */
export interface Recorded {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly attributes: ReadonlyMap<string, unknown>
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Record<string, unknown> }>
  readonly ended: boolean
}

const recordedOf = (span: Tracer.NativeSpan): Recorded => ({
  name: span.name,
  kind: span.kind,
  attributes: span.attributes,
  get events() {
    return span.events.map(([name, , attributes]) => ({ name, attributes }))
  },
  get ended() {
    return span.status._tag === "Ended"
  }
})

/** A tracer that keeps its spans, as an exporter in memory does. */
export const recording = () => {
  const spans: Array<Recorded> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(recordedOf(span))
      return span
    }
  })
  return { spans, layer: Layer.succeed(Tracer.Tracer, tracer) }
}
