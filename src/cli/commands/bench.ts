/** `ghostdb bench`: a load on a cluster, and how fast it was. */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { PCGRandom } from "effect/Utils"
import { GhostDB } from "../../GhostDB.js"
import type { KeyError, NoMoreServers } from "../../model/GhostDBError.js"
import type { GhostDBService } from "../../model/GhostDBService.js"
import { type Connection, withClient } from "../connection.js"
import { NoAnswer } from "../exit.js"
import { type Mix, type Operation, operations } from "../line/values.js"
import {
  bar,
  type Cell,
  count,
  hasColour,
  latency,
  painter,
  percent,
  print,
  printTable,
  rate,
  toJson,
  write
} from "../terminal/output.js"
import { type Sink, Standard } from "../terminal/Standard.js"

/** What {@link bench} is asked for. */
export interface BenchOptions {
  readonly connection: Connection
  readonly inFlight: number
  readonly json: boolean
  readonly keys: number
  readonly mix: Mix
  readonly seconds: Duration.Duration
  /** Bytes. */
  readonly valueSize: number
}

/** An hour, in nanoseconds: a command that takes longer is counted as this long. */
const longest = 3.6e12

/** What came of one kind of command. Latencies are in nanoseconds. */
interface Tally {
  readonly latencies: RecordableHistogram
  /** Gets that found a value. */
  hits: number
  errors: number
}

const newTally = (): Tally => ({
  latencies: createHistogram({ lowest: 1, highest: longest, figures: 3 }),
  hits: 0,
  errors: 0
})

/** Weights as a list in which each command is as often as it weighs, in an order that has no pattern. */
const shuffled = (mix: Mix) =>
  Effect.map(
    Random.shuffle(operations.flatMap((operation) => Array.from({ length: mix[operation] }, () => operation))),
    (all): ReadonlyArray<Operation> => [...all]
  )

const progressWidth = 30

/** Draws how far the load is on standard error, while the scope is open, where that is a terminal. */
const progress = (sink: Sink, seconds: number, elapsed: () => number, done: () => number) => {
  if (sink.isTTY !== true) return Effect.void
  const paint = painter(hasColour(sink))
  const draw = Effect.suspend(() => {
    const passed = Math.min(elapsed(), seconds)
    const line = `${paint("cyan", bar(passed / seconds, progressWidth))} ${passed.toFixed(1)}/${seconds} s  ${rate(
      done() / Math.max(passed, 0.001)
    )} ops/s`
    return write(sink, `\r${line}\u001b[K`)
  })
  return Effect.zipRight(
    Effect.addFinalizer(() => write(sink, "\r\u001b[K")),
    Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("100 millis")))
  )
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000

const report = ({ errors, latencies }: Tally, seconds: number) => {
  const millis = (share: number) => (latencies.count === 0 ? null : rounded(latencies.percentile(share) / 1e6))
  return {
    operations: latencies.count,
    errors,
    opsPerSecond: rounded(latencies.count / seconds),
    latencyMillis: { p50: millis(50), p99: millis(99), p999: millis(99.9), max: millis(100) }
  }
}

/** `ghostdb bench` */
export const bench = ({ connection, inFlight, json, keys, mix, seconds, valueSize }: BenchOptions) =>
  Effect.gen(function* () {
    const db: GhostDBService = yield* GhostDB
    const clock = yield* Effect.clock
    const order = yield* shuffled(mix)
    const random = new PCGRandom(yield* Random.nextIntBetween(0, 2 ** 31))
    const prefix = `ghostdb-bench:${random.integer(2 ** 31).toString(36)}:`
    const names = Array.from({ length: keys }, (_, i) => `${prefix}${i}`)
    const value = "x".repeat(valueSize)
    // The keys are removed at the end; where that cannot be, they expire.
    const lifetime = Math.ceil(Duration.toSeconds(seconds)) + 60

    const removed = Effect.forEach(names, (name) => db.delete(name), { concurrency: inFlight, discard: true })
    yield* Effect.addFinalizer(() =>
      removed.pipe(
        Effect.timeout(connection.timeout),
        // A finalizer cannot be interrupted, and no timeout has an effect in one: this is a fiber of its own.
        Effect.interruptible,
        Effect.forkDaemon,
        Effect.flatMap(Fiber.await)
      )
    )
    yield* Effect.forEach(names, (name) => db.put(name, value, lifetime), { concurrency: inFlight, discard: true })

    const tallies: { readonly [operation in Operation]: Tally } = {
      get: newTally(),
      put: newTally(),
      add: newTally(),
      delete: newTally()
    }
    const total = newTally()
    let lastError: NoMoreServers | KeyError | undefined

    const commands: {
      readonly [operation in Operation]: (name: string) => Effect.Effect<boolean, NoMoreServers | KeyError>
    } = {
      get: (name) => Effect.map(db.get(name), Option.isSome),
      put: (name) => Effect.as(db.put(name, value, lifetime), false),
      add: (name) => Effect.as(db.add(name, value, lifetime), false),
      delete: (name) => Effect.as(db.delete(name), false)
    }

    let next = 0
    const step = Effect.suspend(() => {
      const operation = order[next++ % order.length] ?? "get"
      const name = names[random.integer(names.length)] ?? prefix
      const tally = tallies[operation]
      const startedAt = clock.unsafeCurrentTimeNanos()
      const record = () => {
        const nanos = Math.min(Math.max(Number(clock.unsafeCurrentTimeNanos() - startedAt), 1), longest)
        tally.latencies.record(nanos)
        total.latencies.record(nanos)
      }
      return Effect.match(commands[operation](name), {
        onFailure: (error) => {
          lastError = error
          tally.errors += 1
          total.errors += 1
        },
        onSuccess: (hit) => {
          record()
          if (hit) tally.hits += 1
        }
      })
    })

    const start = clock.unsafeCurrentTimeNanos()
    const elapsed = () => Number(clock.unsafeCurrentTimeNanos() - start) / 1e9
    const wanted = Duration.toSeconds(seconds)
    const worker = Effect.whileLoop({ while: () => elapsed() < wanted, body: () => step, step: () => undefined })
    yield* Effect.scoped(
      Effect.zipRight(
        progress((yield* Standard).error, wanted, elapsed, () => total.latencies.count),
        Effect.all(
          Array.from({ length: inFlight }, () => worker),
          { concurrency: "unbounded", discard: true }
        )
      )
    )
    const took = elapsed()
    if (total.latencies.count === 0 && lastError !== undefined) return yield* lastError
    const failed =
      lastError === undefined
        ? Effect.void
        : new NoAnswer({ message: `${count(total.errors)} commands failed, the last: ${lastError.message}` })

    const used = operations.filter((operation) => mix[operation] > 0)
    const hitRate = tallies.get.latencies.count === 0 ? Number.NaN : tallies.get.hits / tallies.get.latencies.count
    if (json) {
      yield* print(
        toJson({
          seconds: rounded(took),
          inFlight,
          valueSize,
          keys,
          mix,
          hitRate: Number.isNaN(hitRate) ? null : rounded(hitRate),
          ...report(total, took),
          byOperation: Object.fromEntries(used.map((operation) => [operation, report(tallies[operation], took)]))
        })
      )
      return yield* failed
    }
    const row = (name: string, { errors, latencies }: Tally): ReadonlyArray<Cell> => [
      name,
      count(latencies.count),
      rate(latencies.count / took),
      ...[50, 99, 99.9, 100].map((share) => (latencies.count === 0 ? "-" : latency(latencies.percentile(share)))),
      errors === 0 ? "0" : { text: count(errors), style: "red" }
    ]
    yield* printTable(
      [
        { title: "COMMAND" },
        ...["COUNT", "OPS/S", "P50", "P99", "P999", "MAX", "ERRORS"].map(
          (title) => ({ title, align: "right" }) as const
        )
      ],
      [...used.map((operation) => row(operation, tallies[operation])), ...(used.length > 1 ? [row("all", total)] : [])]
    )
    yield* print(
      `${took.toFixed(1)} s, ${inFlight} in flight, values of ${valueSize} bytes, ${keys} keys${
        Number.isNaN(hitRate) ? "" : `, ${percent(hitRate)} of gets hit`
      }`
    )
    yield* failed
  }).pipe(Effect.scoped, (self) => withClient(connection, self))
