/** Runs a load, and measures it. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import type { KeyError, NoMoreServers } from "../../../model/GhostDBError.js"
import type { Operation } from "../../line/values.js"
import { operations } from "../../line/values.js"

/** What came of one kind of command. */
export interface Tally {
  /**
   * Nanoseconds from the moment at which the command had to start to its answer or its failure: with a rate, waiting
   * for those before it included.
   */
  readonly latencies: RecordableHistogram
  answers: number
  /** Gets that found a value. */
  hits: number
  errors: number
}

/** A load. */
export interface Load {
  /** Commands at a time, at most. */
  readonly inFlight: number
  /** Commands a second; undefined for as many as there can be. */
  readonly rate: number | undefined
  /** Milliseconds that are measured, and milliseconds before that are not. */
  readonly duration: number
  readonly warmup: number
  /** The number of commands after which it ends, the warm-up included; undefined for no limit. */
  readonly requests: number | undefined
  /** The next command. It succeeds with whether it was a get that found something. */
  readonly next: () => {
    readonly operation: Operation
    readonly run: Effect.Effect<boolean, NoMoreServers | KeyError>
  }
}

/** What a load has come to. */
export interface Measured {
  readonly byOperation: { readonly [operation in Operation]: Tally }
  readonly all: Tally
  /** Seconds that were measured. */
  readonly seconds: number
  /** Commands that had to start by the rate, and did not before the end. */
  readonly unsent: number
  readonly lastError: NoMoreServers | KeyError | undefined
  /** Attempts that failed, most of which were retried, and commands that went on to another node. */
  readonly failedAttempts: number
  readonly failovers: number
  /** Seconds of CPU time that this process has used. */
  readonly cpuSeconds: number
}

/** A load that runs. */
export interface Running {
  /** Measures until the load has ended or {@link stop} has been called. */
  readonly measure: Effect.Effect<Measured>
  /** Ends it early. */
  readonly stop: Effect.Effect<void>
  /** How far it is: from 0 to 1, and the commands that were answered. */
  readonly progress: () => { readonly fraction: number; readonly answers: number; readonly seconds: number }
}

/** An hour: a command that takes longer is counted as this long. */
const longest = 3.6e12

const newTally = (): Tally => ({
  latencies: createHistogram({ lowest: 1, highest: longest, figures: 3 }),
  answers: 0,
  hits: 0,
  errors: 0
})

const sumOf = (name: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .filter(({ metricKey }) => metricKey.name === name)
      .reduce(
        (sum, { metricState }) => sum + (MetricState.isCounterState(metricState) ? Number(metricState.count) : 0),
        0
      )
  )

const clientCounters = Effect.all({
  failedAttempts: sumOf("ghostdb.client.attempt.failures"),
  failovers: sumOf("ghostdb.client.failovers")
})

/** The counts and latencies of a load, as it runs. */
const makeRecorder = () => {
  const byOperation = { get: newTally(), put: newTally(), add: newTally(), delete: newTally() }
  const all = newTally()
  let lastError: NoMoreServers | KeyError | undefined
  return {
    byOperation,
    all,
    lastError: () => lastError,
    failed: (error: NoMoreServers | KeyError) => {
      lastError = error
    },
    record: (operation: Operation, nanos: number, change: (tally: Tally) => void) => {
      const latency = Math.min(Math.max(Math.round(nanos), 1), longest)
      for (const tally of [byOperation[operation], all]) {
        tally.latencies.record(latency)
        change(tally)
      }
    }
  }
}

const addError = (tally: Tally) => {
  tally.errors += 1
}
const addAnswer = (tally: Tally) => {
  tally.answers += 1
}
const addHit = (tally: Tally) => {
  tally.answers += 1
  tally.hits += 1
}

/** CPU time of the process and the client's counters, from now until the effect in it is run. */
const meter = Effect.gen(function* () {
  const before = yield* clientCounters
  const cpu = process.cpuUsage()
  return Effect.map(clientCounters, (after) => {
    const { system, user } = process.cpuUsage(cpu)
    return {
      failedAttempts: after.failedAttempts - before.failedAttempts,
      failovers: after.failovers - before.failovers,
      cpuSeconds: (user + system) / 1e6
    }
  })
})

/** Prepares a load. It starts with `measure`. */
export const make = ({ duration, inFlight, next, rate, requests, warmup }: Load): Effect.Effect<Running> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const stopped = yield* Deferred.make<void>()
    const { all, byOperation, failed, lastError, record } = makeRecorder()
    let start = clock.unsafeCurrentTimeNanos()
    let issued = 0
    /** Nanoseconds since the start. */
    const elapsed = () => Number(clock.unsafeCurrentTimeNanos() - start)
    const measuredFrom = warmup * 1e6
    const end = (warmup + duration) * 1e6
    const dueUntil = (nanos: number) => (rate === undefined ? Number.POSITIVE_INFINITY : (rate * nanos) / 1e9)
    const most = Math.min(requests ?? Number.POSITIVE_INFINITY, dueUntil(end))

    const runNext = (dueAt: number) => {
      const { operation, run } = next()
      const ended = (change: (tally: Tally) => void) => {
        if (dueAt >= measuredFrom) record(operation, elapsed() - dueAt, change)
      }
      return Effect.match(run, {
        onFailure: (error) => {
          failed(error)
          ended(addError)
        },
        onSuccess: (hit) => ended(hit ? addHit : addAnswer)
      })
    }

    const body = () => {
      const index = issued++
      if (rate === undefined) return runNext(elapsed())
      const dueAt = (index / rate) * 1e9
      const wait = (dueAt - elapsed()) / 1e6
      // A timer has the resolution of a millisecond.
      return wait > 0.5
        ? Effect.zipRight(
            Effect.sleep(wait),
            Effect.suspend(() => runNext(dueAt))
          )
        : runNext(dueAt)
    }
    const worker = Effect.whileLoop({ while: () => issued < most && elapsed() < end, body, step: () => undefined })

    const measure = Effect.gen(function* () {
      const metered = yield* meter
      start = clock.unsafeCurrentTimeNanos()
      const workers = Array.from({ length: inFlight }, () => worker)
      yield* Effect.raceFirst(Effect.all(workers, { concurrency: "unbounded", discard: true }), Deferred.await(stopped))
      const took = elapsed()
      const due = rate === undefined ? issued : Math.min(dueUntil(Math.min(took, end)), most)
      const measured: Measured = {
        ...(yield* metered),
        byOperation,
        all,
        seconds: Math.max(took - measuredFrom, 1) / 1e9,
        unsent: Math.max(Math.floor(due) - issued, 0),
        lastError: lastError()
      }
      return measured
    })

    return {
      measure,
      stop: Effect.asVoid(Deferred.succeed(stopped, undefined)),
      progress: () => ({
        fraction: Math.min(Math.max(elapsed() / end, requests === undefined ? 0 : issued / requests), 1),
        answers: all.answers,
        seconds: Math.max(elapsed() - measuredFrom, 0) / 1e9
      })
    }
  })

/** The commands that a load uses. */
export const usedOperations = ({ byOperation }: Measured): ReadonlyArray<Operation> =>
  operations.filter((operation) => byOperation[operation].latencies.count > 0)
