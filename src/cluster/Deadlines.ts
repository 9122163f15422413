/** Ends waits at their deadlines, of callers by the ten thousand: a fiber and a timer for each would hold more than they do. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../model/Monotonic.js"

/** Callbacks, each at its time. Those of one millisecond share a timer. */
export interface Deadlines {
  /**
   * Calls `late` at `deadline`, milliseconds of the monotonic clock, or up to one later; at once where it has passed.
   * Returns a function that takes it back.
   */
  readonly add: (deadline: number, late: () => void) => () => void
}

interface Timer {
  readonly callbacks: Set<() => void>
  fiber?: Fiber.RuntimeFiber<void>
}

/** No deadlines yet. Once the scope has closed, none is called. `isolated`: each caller has a timer of its own. */
export const make = Effect.fnUntraced(function* (isolated: boolean): Effect.fn.Return<Deadlines, never, Scope.Scope> {
  const clock = yield* Effect.clock
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const timers = new Map<unknown, Timer>()
  let closed = false

  const start = (key: unknown, at: number, first: () => void) => {
    const timer: Timer = { callbacks: new Set([first]) }
    timers.set(key, timer)
    timer.fiber = runFork(Effect.sleep(Math.max(at - Monotonic.unsafeNow(clock), 0)))
    timer.fiber.addObserver((exit) => {
      if (timers.get(key) === timer) timers.delete(key)
      if (Exit.isSuccess(exit)) for (const late of timer.callbacks) late()
    })
    return timer
  }

  const stop = ({ fiber }: Timer) => fiber?.unsafeInterruptAsFork(FiberId.none)

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      for (const timer of timers.values()) stop(timer)
      timers.clear()
    })
  )

  return {
    add: (deadline, late) => {
      if (closed) return () => {}
      const at = Math.ceil(deadline)
      const key = isolated ? {} : at
      const known = timers.get(key)
      const timer = known ?? start(key, at, late)
      if (known !== undefined) known.callbacks.add(late)
      return () => {
        timer.callbacks.delete(late)
        if (timer.callbacks.size > 0 || timers.get(key) !== timer) return
        timers.delete(key)
        stop(timer)
      }
    }
  }
})
