import { Layer, type Tracer } from "effect"
import * as Tracers from "./Tracers.js"

/** A span as it was told. */
export interface Recorded {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly attributes: ReadonlyMap<string, unknown>
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Record<string, unknown> }>
  ended: boolean
}

/** A tracer that keeps its spans, as an exporter in memory does. */
export const recording = () => {
  const spans: Array<Recorded> = []
  const tracer = Tracers.make(({ attributes, kind, name }) => {
    const events: Array<{ name: string; attributes: Record<string, unknown> }> = []
    const recorded: Recorded = { name, kind, attributes, events, ended: false }
    spans.push(recorded)
    return {
      event: (event, own) => void events.push({ name: event, attributes: own }),
      end: () => {
        recorded.ended = true
      }
    }
  })
  return { spans, layer: Layer.setTracer(tracer) }
}
