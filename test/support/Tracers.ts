/** Tracers of the tests. One is made here, since the two editions of Effect describe a span differently. */
import * as Tracer from "effect/Tracer"

/** What a test sees of a span while it lasts. */
export interface SpanView {
  readonly name: string
  readonly kind: Tracer.SpanKind
  /** As they are now. */
  readonly attributes: ReadonlyMap<string, unknown>
}

/** What a test does when something becomes of a span. */
export interface SpanHandlers {
  readonly event?: (name: string, attributes: Record<string, unknown>) => void
  readonly end?: () => void
}

/** A tracer that hands over each span when it starts. */
export const make = (start: (span: SpanView) => SpanHandlers): Tracer.Tracer =>
  Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const handlers = start({ name, kind, attributes })
      return {
        _tag: "Span",
        name,
        spanId: name,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links: [...links],
        sampled: true,
        kind,
        end: () => handlers.end?.(),
        attribute: (key, value) => void attributes.set(key, value),
        event: (event, _time, own = {}) => handlers.event?.(event, own),
        addLinks: () => {}
      }
    }
  })

/** A tracer that makes the spans of another, and keeps them. */
export const keeping = (tracer: Tracer.Tracer) => {
  const spans: Array<Tracer.Span> = []
  const own = Tracer.make({
    context: tracer.context,
    span: (...options) => {
      const span = tracer.span(...options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer: own }
}
