/** `ghostdb bench`: a load on a cluster, and how fast it was. */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"
import { GhostDB } from "../../../GhostDB.js"
import type { GhostDBService } from "../../../model/GhostDBService.js"
import { allAnswered, type Connection, topologyNow, withClient } from "../../connection.js"
import { NoAnswer, Stopped, signal, UsageError, untilSignal } from "../../exit.js"
import type { Mix } from "../../line/values.js"
import {
  bar,
  count,
  cut,
  hasColour,
  inCharset,
  outputPaint,
  painter,
  print,
  printDrawn,
  rate,
  toJson,
  write
} from "../../terminal/output.js"
import { Standard } from "../../terminal/Standard.js"
import * as Measure from "./measure.js"
import * as report from "./report.js"
import * as workload from "./workload.js"

/** What {@link bench} is asked for. */
export interface BenchOptions {
  readonly connection: Connection
  readonly connections: number
  readonly csv: boolean
  readonly distribution: workload.Distribution
  /** The path of a file to write the HDR histogram to. */
  readonly histogram: Option.Option<string>
  readonly inFlight: number
  readonly json: boolean
  readonly keys: number
  readonly mix: Mix
  /** Commands a second. */
  readonly rate: Option.Option<number>
  readonly requests: Option.Option<number>
  readonly seconds: Duration.Duration
  /** Bytes. */
  readonly valueSize: number
  readonly warmup: Duration.Duration
}

const progressWidth = 30

/** Draws how far the load is on standard error, while the scope is open, where that is a terminal. */
const showProgress = ({ progress }: Measure.Running) =>
  Effect.flatMap(Standard, ({ env, error: sink }) => {
    if (sink.isTTY !== true) return Effect.void
    const paint = painter(hasColour(sink, env))
    const draw = Effect.suspend(() => {
      const { answers, fraction, seconds } = progress()
      const text = `${rate(answers / Math.max(seconds, 0.001))} ops/s  ${seconds.toFixed(1)} s`
      const line = `${paint("cyan", bar(fraction, progressWidth))} ${text}`
      // A line that is longer than the terminal is wide could not be drawn over.
      return write(sink, `\r${cut(inCharset(line, env), (sink.columns || 80) - 1)}\u001b[K`)
    })
    return Effect.zipRight(
      Effect.addFinalizer(() => write(sink, "\r\u001b[K")),
      Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("100 millis")))
    )
  })

/** The commands of the load, on keys of its own: they are stored first, and removed when the scope closes. */
const prepareLoad = Effect.fnUntraced(function* (db: GhostDBService, options: BenchOptions) {
  const { connection, inFlight, keys, mix, seconds, valueSize, warmup } = options
  const random = new PCGRandom(yield* Random.nextIntBetween(0, 2 ** 31))
  const uniform = () => random.number()
  const prefix = `ghostdb-bench:${random.integer(2 ** 31).toString(36)}:`
  const names = Array.from({ length: keys }, (_, i) => `${prefix}${i}`)
  const value = "x".repeat(valueSize)
  // Should removing them fail, they expire.
  const ttl = Math.ceil(Duration.toSeconds(seconds) + Duration.toSeconds(warmup)) + 60
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
  yield* Effect.forEach(names, (name) => db.put(name, value, ttl), { concurrency: inFlight, discard: true })

  const commands = {
    get: (name: string) => Effect.map(db.get(name), Option.isSome),
    put: (name: string) => Effect.as(db.put(name, value, ttl), false),
    add: (name: string) => Effect.as(db.add(name, value, ttl), false),
    delete: (name: string) => Effect.as(db.delete(name), false)
  }
  const pickOperation = workload.operationPicker(mix, uniform)
  const pickKey = workload.keyPicker(options.distribution, keys, uniform)
  return yield* Measure.make({
    inFlight,
    rate: Option.getOrUndefined(options.rate),
    requests: Option.getOrUndefined(options.requests),
    duration: Duration.toMillis(seconds),
    warmup: Duration.toMillis(warmup),
    next: () => {
      const operation = pickOperation()
      return { operation, run: commands[operation](names[pickKey()] ?? prefix) }
    }
  })
})

const measureLoad = (options: BenchOptions) =>
  Effect.gen(function* () {
    const db: GhostDBService = yield* GhostDB
    const running = yield* untilSignal(prepareLoad(db, options))
    const died = new Set<string>()
    yield* Effect.forkScoped(
      Stream.runForEach(db.topology, ({ dead }) => Effect.sync(() => dead.forEach(({ node }) => died.add(node))))
    )
    const stopAtSignal = yield* Effect.fork(Effect.tap(signal, running.stop))
    const measured = yield* Effect.scoped(Effect.zipRight(showProgress(running), running.measure))
    const stopped = yield* Effect.map(Fiber.poll(stopAtSignal), (exit) =>
      Option.flatMap(exit, (exit) => (exit._tag === "Success" ? Option.some(exit.value) : Option.none()))
    )
    yield* Fiber.interrupt(stopAtSignal)
    // The load may have used some nodes only.
    const live = yield* db.ping
    const topology = yield* topologyNow
    const circumstances: report.Circumstances = {
      live,
      dead: [...topology.live, ...topology.dead]
        .filter(({ node }) => !live.includes(node))
        .map((one) => ({ node: one.node, fault: "failure" in one ? one.failure : undefined })),
      died,
      inFlight: options.inFlight,
      connections: options.connections,
      rate: Option.getOrUndefined(options.rate),
      valueSize: options.valueSize,
      keys: options.keys,
      distribution: options.distribution,
      warmupSeconds: Duration.toSeconds(options.warmup),
      signal: Option.getOrUndefined(stopped)
    }
    return { measured, circumstances, stopped }
  })

/** `ghostdb bench` */
export const bench = (options: BenchOptions) =>
  Effect.gen(function* () {
    const { circumstances, measured, stopped } = yield* measureLoad(options)
    const { all, lastError } = measured
    if (all.answers === 0 && lastError !== undefined) return yield* lastError
    if (options.csv) yield* print(report.csv(measured))
    else if (options.json) yield* print(toJson(report.json(measured, circumstances)))
    else yield* printDrawn(report.lines(measured, circumstances, yield* outputPaint))
    if (Option.isSome(options.histogram)) {
      const file = options.histogram.value
      yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(file, report.histogram(measured)))
    }
    if (Option.isSome(stopped)) return yield* new Stopped({ signal: stopped.value })
    if (lastError !== undefined) {
      const message = `${count(all.errors)} commands failed, the last: ${lastError.message}`
      return yield* new NoAnswer({ message })
    }
    const { dead, live } = circumstances
    yield* allAnswered(
      dead.map(({ node }) => node),
      live.length + dead.length
    )
  }).pipe(Effect.scoped, (self) =>
    options.csv && options.json
      ? new UsageError({ message: "--csv and --json exclude each other" })
      : withClient(options.connection, self, { connections: options.connections })
  )
