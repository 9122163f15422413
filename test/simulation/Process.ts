/**
 * A process of the simulated world that runs a client: its clocks, its event loop with its stalls, and its end. Its wall
 * clock may step and differ from the others'; its monotonic clock does neither.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"
import * as EffectRandom from "effect/Random"
import * as Runtime from "effect/Runtime"
import * as Supervisor from "effect/Supervisor"
import * as Tracer from "effect/Tracer"
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
  private readonly supervisor = Supervisor.unsafeTrack()
  private readonly runtime: Runtime.Runtime<never>

  readonly name: string
  private readonly time: VirtualTime
  private readonly enter: (process: Process) => void

  constructor({ enter, log, name, seed, time, tracer }: ProcessOptions) {
    this.name = name
    this.time = time
    this.enter = enter
    const logger = Logger.make(({ annotations, logLevel, message }) =>
      log?.(`${logLevel.label} ${String(message)} ${JSON.stringify(Object.fromEntries(annotations))}`)
    )
    const services = DefaultServices.liveServices.pipe(
      Context.add(Clock.Clock, this.clock()),
      Context.add(EffectRandom.Random, EffectRandom.make(seed)),
      (services) => (tracer === undefined ? services : Context.add(services, Tracer.Tracer, tracer))
    )
    this.runtime = Runtime.defaultRuntime.pipe(
      Runtime.setFiberRef(DefaultServices.currentServices, services),
      Runtime.setFiberRef(FiberRef.currentScheduler, time.scheduler),
      Runtime.setFiberRef(FiberRef.currentLoggers, log === undefined ? HashSet.empty() : HashSet.make(logger)),
      Runtime.setFiberRef(FiberRef.currentSupervisor, this.supervisor)
    )
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
    return Runtime.runFork(this.runtime, effect)
  }

  /** The fibers that have not ended. */
  get fibers(): ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>> {
    return Effect.runSync(this.supervisor.value)
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
    const millis = () => Math.floor(epoch + this.time.now + this.wallOffset)
    const nanos = () => BigInt(Math.floor(this.time.now * 1e6))
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: millis,
      unsafeCurrentTimeNanos: nanos,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanos: Effect.sync(nanos),
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
    }
  }
}
