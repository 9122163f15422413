/**
 * Replaced, since what Effect 3 keeps in fiber references and default services is in the context in Effect 4, where each
 * fiber has a dispatcher of its own.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as EffectRandom from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import { FiberCount } from "../support/FiberCount.js"
import * as Random from "./Random.js"

/** Tasks of fibers, by their priority and then in the order in which they came. */
export class ReadyTasks {
  private tasks = new Map<number, Array<() => void>>()
  private readonly dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => {
      const others = this.tasks.get(priority)
      if (others === undefined) this.tasks.set(priority, [task])
      else others.push(task)
    },
    flush: () => {
      while (!this.isEmpty) this.run()
    }
  }
  readonly scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= 2048,
    makeDispatcher: () => this.dispatcher
  }

  get isEmpty(): boolean {
    return this.tasks.size === 0
  }

  /** Runs the tasks that are ready now, and not those that they make. Returns how many priorities they had. */
  run(): number {
    const ready = [...this.tasks].sort(([a], [b]) => a - b)
    this.tasks = new Map()
    for (const [, tasks] of ready) for (const task of tasks) task()
    return ready.length
  }
}

/** What a process gives to its fibers. */
export interface FibersOptions {
  readonly clock: Clock.Clock
  readonly tasks: ReadyTasks
  /** Of their random numbers. */
  readonly seed: string
  readonly log: ((line: string) => void) | undefined
  readonly tracer: Tracer.Tracer | undefined
}

/** The fibers of a process. */
export interface Fibers {
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Runs an effect that ends at once. */
  readonly runSync: <A>(effect: Effect.Effect<A>) => A
  /** How many have not ended. */
  readonly alive: () => number
}

/** Makes a process's fibers, of which there is none yet. */
export const make = ({ clock, log, seed, tasks, tracer }: FibersOptions): Fibers => {
  const count = new FiberCount()
  const logger = Logger.make(({ fiber, logLevel, message }) =>
    log?.(
      `${logLevel.toUpperCase()} ${String(message)} ${JSON.stringify(fiber.getRef(References.CurrentLogAnnotations))}`
    )
  )
  const random = Random.make(0, seed)
  const context = Context.empty().pipe(
    Context.add(Clock.Clock, clock),
    Context.add(EffectRandom.Random, {
      nextDoubleUnsafe: random.next,
      nextIntUnsafe: () => random.int(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    }),
    Context.add(Scheduler.Scheduler, tasks.scheduler),
    Context.add(Logger.CurrentLoggers, new Set(log === undefined ? [] : [logger])),
    Context.add(Metric.FiberRuntimeMetrics, count),
    (context) => (tracer === undefined ? context : Context.add(context, Tracer.Tracer, tracer))
  )
  const fork = Effect.runForkWith(context)
  return {
    fork: (effect) => fork(effect),
    // Not `Effect.runSync`, which has a scheduler of its own: a queue keeps that of the fiber that makes it.
    runSync: (effect) => {
      const exit = fork(effect).pollUnsafe()
      if (exit?._tag !== "Success") throw new Error("an effect that does not end at once")
      return exit.value
    },
    alive: () => count.alive
  }
}
