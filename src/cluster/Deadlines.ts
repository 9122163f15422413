/** Ends waits at their deadlines, of callers by the ten thousand: a fiber and a timer for each would hold more than they do. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Monotonic from "./Monotonic.js"

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

/** No deadlines yet. Once the scope has closed, none is called. */
export const make: Effect.Effect<Deadlines, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Effect.clock
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const timers = new Map<number, Timer>()
  let closed = false

  const start = (at: number, first: () => void) => {
    const timer: Timer = { callbacks: new Set([first]) }
    timers.set(at, timer)
    timer.fiber = runFork(Effect.sleep(Math.max(at - Monotonic.unsafeNow(clock), 0)))
    timer.fiber.addObserver((exit) => {
      if (timers.get(at) === timer) timers.delete(at)
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
      const known = timers.get(at)
      const timer = known ?? start(at, late)
      if (known !== undefined) known.callbacks.add(late)
      return () => {
        timer.callbacks.delete(late)
        if (timer.callbacks.size > 0 || timers.get(at) !== timer) return
        timers.delete(at)
        stop(timer)
      }
    }
  }
})
