/**
 * A process of the simulated world that runs a client: its clocks, its event loop with its stalls, and its end. Its wall
 * clock may step and differ from the others'; its monotonic clock does neither.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import * as Clocks from "../support/Clocks.js"
import * as Fibers from "./Fibers.js"
import { type Event, type Phase, phase, type VirtualTime } from "./VirtualTime.js"

/** The wall clock's time when a world begins. */
export const epoch = 1_800_000_000_000

const longestTimer = 2 ** 31 - 1

/** What a process is made with. */
export interface ProcessOptions {
  readonly name: string
  readonly time: VirtualTime
  /** Of its random numbers. */
  readonly seed: string
  /** Called before anything runs in it. */
  readonly enter: (process: Process) => void
  readonly log: ((line: string) => void) | undefined
  readonly tracer: Tracer.Tracer | undefined
}

/** A process: what happens in it goes through its event loop. */
export class Process {
  /** Milliseconds by which its wall clock is ahead. */
  wallOffset = 0
  killed = false
  /** Whether a new connection finds no file descriptor. */
  filesExhausted = false
  /** Sleeps that have not ended. */
  sleeping = 0
  private stalledUntil = 0
  /** Every time that its event loop stood still. */
  readonly stalls: Array<{ readonly from: number; readonly until: number }> = []
  private readonly fibers: Fibers.Fibers

  readonly name: string
  private readonly time: VirtualTime
  private readonly enter: (process: Process) => void

  constructor({ enter, log, name, seed, time, tracer }: ProcessOptions) {
    this.name = name
    this.time = time
    this.enter = enter
    this.fibers = Fibers.make({ clock: this.clock(), tasks: time.tasks, seed, log, tracer })
  }

  /** Runs a function in the process after a time, when its event loop comes to it. */
  after(millis: number, when: Phase, run: () => void): Event {
    const event: Event = this.time.at(this.time.now + millis, when, () => this.loop(event, when, run))
    return event
  }

  /** Its event loop stands still from now on for that time. */
  stall(millis: number): void {
    const until = this.time.now + millis
    if (until <= this.stalledUntil) return
    this.stalls.push({ from: this.time.now, until })
    this.stalledUntil = until
  }

  /** When its event loop runs, if it has to do something at that time. */
  runsAt(time: number): number {
    let at = time
    for (const { from, until } of this.stalls) if (from <= at && at < until) at = until
    return at
  }

  /** Starts an effect. */
  fork<A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> {
    return this.fibers.fork(effect)
  }

  /** Runs an effect that ends at once. */
  runSync<A>(effect: Effect.Effect<A>): A {
    return this.fibers.runSync(effect)
  }

  /** How many fibers have not ended. */
  get running(): number {
    return this.fibers.alive()
  }

  private loop(event: Event, when: Phase, run: () => void): void {
    if (this.killed) return
    if (this.time.now < this.stalledUntil) {
      // The same object, so that it can still be cancelled.
      const later = this.time.at(this.stalledUntil, when, () => {
        if (event.run !== undefined) this.loop(event, when, run)
      })
      event.run = later.run
      return
    }
    event.run = undefined
    this.enter(this)
    run()
  }

  private clock(): Clock.Clock {
    return Clocks.make({
      wall: () => Math.floor(epoch + this.time.now + this.wallOffset),
      monotonic: () => BigInt(Math.floor(this.time.now * 1e6)),
      sleep: (duration) =>
        Effect.async<void>((resume) => {
          // As `setTimeout` rounds it.
          const length = Math.max(1, Math.trunc(Duration.toMillis(duration)))
          this.sleeping++
          const end = () => {
            this.sleeping--
          }
          if (length > longestTimer) return Effect.sync(end)
          const timer = this.after(length, phase.timer, () => {
            end()
            resume(Effect.void)
          })
          return Effect.sync(() => {
            timer.run = undefined
            end()
          })
        })
    })
  }
}
