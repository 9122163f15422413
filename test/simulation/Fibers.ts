/**
 * What a world needs of Effect's own insides: whose turn it is among the fibers that are ready, and what a process gives to
 * its fibers. It stands by itself, since the two editions of Effect differ here.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"
import * as EffectRandom from "effect/Random"
import * as Runtime from "effect/Runtime"
import { PriorityBuckets, type Scheduler } from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import { FiberCount } from "../support/FiberCount.js"

/** Tasks of fibers, ordered as Effect's own schedulers order them. */
export class ReadyTasks {
  private tasks = new PriorityBuckets()
  readonly scheduler: Scheduler = {
    shouldYield: (fiber) => (fiber.currentOpCount > 2048 ? 0 : false),
    scheduleTask: (task, priority) => {
      this.tasks.scheduleTask(task, priority)
    }
  }

  get isEmpty(): boolean {
    return this.tasks.buckets.length === 0
  }

  /** Runs the tasks that are ready now, and not those that they make. Returns how many priorities they had. */
  run(): number {
    const buckets = this.tasks.buckets
    this.tasks.buckets = []
    for (const [, tasks] of buckets) for (const task of tasks) task()
    return buckets.length
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
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Runs an effect that ends at once. */
  readonly runSync: <A>(effect: Effect.Effect<A>) => A
  /** How many have not ended. */
  readonly alive: () => number
}

/** Makes a process's fibers, of which there is none yet. */
export const make = ({ clock, log, seed, tasks, tracer }: FibersOptions): Fibers => {
  const count = new FiberCount()
  const logger = Logger.make(({ annotations, logLevel, message }) =>
    log?.(`${logLevel.label} ${String(message)} ${JSON.stringify(Object.fromEntries(annotations))}`)
  )
  const services = DefaultServices.liveServices.pipe(
    Context.add(Clock.Clock, clock),
    Context.add(EffectRandom.Random, EffectRandom.make(seed)),
    (services) => (tracer === undefined ? services : Context.add(services, Tracer.Tracer, tracer))
  )
  const runtime = Runtime.defaultRuntime.pipe(
    Runtime.setFiberRef(DefaultServices.currentServices, services),
    Runtime.setFiberRef(FiberRef.currentScheduler, tasks.scheduler),
    Runtime.setFiberRef(FiberRef.currentLoggers, log === undefined ? HashSet.empty() : HashSet.make(logger)),
    Runtime.setFiberRef(FiberRef.currentSupervisor, count)
  )
  return {
    fork: (effect) => Runtime.runFork(runtime, effect),
    runSync: (effect) => Runtime.runSync(runtime, effect),
    alive: () => count.alive
  }
}
