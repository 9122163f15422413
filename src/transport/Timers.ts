/** Ends requests that take too long, by one fiber for all of them. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import { queueTimeout } from "./Faults.js"

/** The time of one request, in milliseconds of the monotonic clock. */
export interface Timer {
  readonly deadline: number
  readonly expire: (fault: Fault) => void
  /** What is left of the attempt; 0 while it waits to be sent. */
  slices: number
  sliceEndsAt: number
}

export interface Timers {
  /** A request, which `expire` ends: once at most, and not before one of the next two is called. */
  readonly add: (deadline: number, expire: (fault: Fault) => void) => Timer
  /** It waits to be sent, until its deadline. */
  readonly waiting: (timer: Timer) => void
  /** It has been sent: its attempt begins. */
  readonly sent: (timer: Timer) => void
  readonly remove: (timer: Timer) => void
  /** Ends the fiber. */
  readonly stop: () => void
}

/** An attempt is counted in so many slices. Of them a process that is blocked takes but one. */
const slicesOfAttempt = 4

/** Timers of requests that may take `attemptTimeout` milliseconds once they are sent. */
export const makeTimers = (clock: Clock.Clock, attemptTimeout: number): Timers => {
  const slice = attemptTimeout / slicesOfAttempt
  const running = new Set<Timer>()
  const now = () => Monotonic.unsafeNow(clock)
  let fiber: Fiber.RuntimeFiber<void> | undefined
  let wakesAt = Number.POSITIVE_INFINITY

  const stop = () => {
    fiber?.unsafeInterruptAsFork(FiberId.none)
    fiber = undefined
    wakesAt = Number.POSITIVE_INFINITY
  }
  const wakeAt = (time: number) => {
    if (time >= wakesAt) return
    stop()
    wakesAt = time
    const sleeping = Effect.runFork(clock.sleep(Duration.millis(Math.max(time - now(), 0))))
    fiber = sleeping
    sleeping.addObserver((exit) => {
      if (fiber === sleeping && Exit.isSuccess(exit)) wake()
    })
  }
  const expire = (timer: Timer, fault: Fault) => {
    running.delete(timer)
    // Replies that have arrived while the process was busy are read first.
    setTimeout(timer.expire, 0, fault)
  }
  const wake = () => {
    fiber = undefined
    wakesAt = Number.POSITIVE_INFINITY
    const time = now()
    for (const timer of running) {
      if (timer.deadline <= time) expire(timer, timer.slices === 0 ? queueTimeout : deadlineFault)
      else if (timer.sliceEndsAt <= time) {
        timer.slices--
        timer.sliceEndsAt = time + slice
        if (timer.slices === 0) expire(timer, { reason: "AttemptTimeout", detail: `no reply in ${attemptTimeout} ms` })
      }
    }
    let next = Number.POSITIVE_INFINITY
    for (const { deadline, sliceEndsAt } of running) next = Math.min(next, deadline, sliceEndsAt)
    wakeAt(next)
  }

  return {
    add: (deadline, expire) => {
      const timer: Timer = { deadline, expire, slices: 0, sliceEndsAt: Number.POSITIVE_INFINITY }
      running.add(timer)
      return timer
    },
    waiting: ({ deadline }) => wakeAt(deadline),
    sent: (timer) => {
      timer.slices = slicesOfAttempt
      timer.sliceEndsAt = now() + slice
      wakeAt(Math.min(timer.deadline, timer.sliceEndsAt))
    },
    remove: (timer) => {
      running.delete(timer)
    },
    stop
  }
}

const deadlineFault: Fault = { reason: "Deadline", detail: "no reply before the command's deadline" }
