/** Work that callers share: one run for each key at a time, which belongs to the client and not to any of its callers. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../model/Monotonic.js"
import * as Deadlines from "./Deadlines.js"

/** Runs of work by key. */
export interface Shared<A, E> {
  /**
   * Joins the run of the key that is under way, or starts one, and waits for its end: until `deadline` (milliseconds of the
   * monotonic clock) at most, without an interruption. Who leaves early leaves the run to the others.
   */
  readonly run: (key: string, deadline: number) => Effect.Effect<A, E>
}

interface Run<A, E> {
  /** When the run ends at the latest. */
  readonly endsAt: number
  readonly callers: Set<(exit: Exit.Exit<A, E>) => void>
  exit: Exit.Exit<A, E> | undefined
}

/** This process was blocked where a timer is late by more than this part of its time. */
const blocked = 1 / 16

/**
 * Runs `work` in the scope's fibers, each for at most `timeout` milliseconds; `timedOut` is the result of a run that takes
 * longer, `closed` of one that the scope's end interrupts, and `late` that of a caller whose deadline passes before. Where the
 * process was blocked when the time was over, what has arrived meanwhile counts, and otherwise the result is `late`.
 */
export const make = <A, E>(options: {
  readonly work: (key: string, deadline: number) => Effect.Effect<A, E>
  readonly timeout: number
  /** Whether each caller has a run of its own. */
  readonly isolated: boolean
  readonly timedOut: Exit.Exit<A, E>
  readonly late: Exit.Exit<A, E>
  readonly closed: Exit.Exit<A, E>
}): Effect.Effect<Shared<A, E>, never, Scope.Scope> =>
  Effect.map(
    Effect.all([Effect.scope, Effect.clock, Deadlines.make(options.isolated)]),
    ([scope, clock, deadlines]) => {
      const runs = new Map<string, Run<A, E>>()
      const fork = <B, E2>(effect: Effect.Effect<B, E2>) => Effect.forkIn(Effect.interruptible(effect), scope)

      const start = (key: string, endsAt: number) => {
        const run: Run<A, E> = { endsAt, callers: new Set(), exit: undefined }
        if (!options.isolated) runs.set(key, run)
        const settle = (exit: Exit.Exit<A, E>) => {
          if (run.exit !== undefined) return
          if (runs.get(key) === run) runs.delete(key)
          run.exit = exit
          for (const end of [...run.callers]) end(exit)
        }
        const timer = Effect.flatMap(Effect.sleep(options.timeout), () =>
          Monotonic.unsafeNow(clock) - endsAt > options.timeout * blocked
            ? Effect.as(Effect.sleep(1), options.late)
            : Effect.succeed(options.timedOut)
        )
        // By hand, and not by `Effect.timeout`, which would take three fibers more for each node's first use.
        return Effect.zipWith(fork(options.work(key, endsAt)), fork(timer), (work, timer) => {
          work.addObserver((exit) => {
            timer.unsafeInterruptAsFork(FiberId.none)
            settle(Exit.isInterrupted(exit) ? options.closed : exit)
          })
          timer.addObserver((exit) => {
            settle(Exit.isSuccess(exit) ? exit.value : options.closed)
            work.unsafeInterruptAsFork(FiberId.none)
          })
          return run
        })
      }

      /** Waits for the end of a run, and not beyond the deadline. */
      const settled = (run: Run<A, E>, deadline: number): Effect.Effect<A, E> =>
        Effect.async((resume) => {
          if (run.exit !== undefined) return resume(run.exit)
          if (deadline <= Monotonic.unsafeNow(clock)) return resume(options.late)
          const end = (exit: Exit.Exit<A, E>) => {
            run.callers.delete(end)
            forget()
            resume(exit)
          }
          run.callers.add(end)
          const forget = run.endsAt <= deadline ? () => {} : deadlines.add(deadline, () => end(options.late))
          return Effect.sync(() => {
            run.callers.delete(end)
            forget()
          })
        })

      return {
        run: (key, deadline) =>
          Effect.suspend(() => {
            const current = runs.get(key)
            return current === undefined
              ? Effect.flatMap(
                  Effect.uninterruptible(start(key, Monotonic.unsafeNow(clock) + options.timeout)),
                  (run) => settled(run, deadline)
                )
              : settled(current, deadline)
          })
      }
    }
  )
