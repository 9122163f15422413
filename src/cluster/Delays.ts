/** The delays between attempts on a node. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../model/Monotonic.js"
import type { Connections } from "../transport/Transport.js"
import * as Deadlines from "./Deadlines.js"

export interface Delays {
  /**
   * Waits so many milliseconds, and no longer than until the node has been found dead or has left the cluster, or the
   * scope closes.
   */
  readonly delay: (node: string, millis: number) => Effect.Effect<void>
  /** The connections that it was made of: what ends the requests to a node ends the delays as well. */
  readonly connections: Connections
}

/** No delays yet. Once the scope has closed, there are none. */
export const make = Effect.fnUntraced(function* (
  connections: Connections
): Effect.fn.Return<Delays, never, Scope.Scope> {
  const clock = yield* Effect.clock
  const deadlines = yield* Deadlines.make(false)
  const waiting = new Map<string, Set<() => void>>()
  let closed = false

  const wake = (node: string) =>
    Effect.sync(() => {
      const ends = waiting.get(node) ?? []
      waiting.delete(node)
      for (const end of ends) end()
    })
  yield* Effect.addFinalizer(() => {
    closed = true
    return Effect.forEach([...waiting.keys()], wake, { discard: true })
  })

  const untilWoken: Delays["delay"] = (node, millis) =>
    Effect.async((resume) => {
      if (closed) return resume(Effect.void)
      const ends = waiting.get(node) ?? new Set()
      waiting.set(node, ends)
      const leave = () => {
        ends.delete(end)
        if (ends.size === 0 && waiting.get(node) === ends) waiting.delete(node)
      }
      const end = () => {
        leave()
        forget()
        resume(Effect.void)
      }
      ends.add(end)
      const forget = deadlines.add(Monotonic.unsafeNow(clock) + millis, end)
      return Effect.sync(() => {
        leave()
        forget()
      })
    })

  return {
    // Where a caller must not be woken by another, it waits by itself.
    delay: connections.isolatesCallers === true ? (_, millis) => Effect.sleep(millis) : untilWoken,
    connections: {
      ...connections,
      interrupt: (node) => Effect.zipRight(connections.interrupt(node), wake(node)),
      release: (node) => Effect.zipRight(connections.release(node), wake(node))
    }
  }
})
