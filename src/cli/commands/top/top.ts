/** `ghostdb top`: a live view of the cluster on the whole terminal. */

import { writeSync } from "node:fs"
import * as Terminal from "@effect/platform/Terminal"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type * as Monitor from "../../../cluster/Monitor.js"
import * as NodesFile from "../../../discovery/NodesFile.js"
import { type Connection, withMonitor } from "../../connection.js"
import { UsageError } from "../../exit.js"
import type { Snapshot } from "../../Snapshot.js"
import { isComplete, takeSnapshot } from "../../takeSnapshot.js"
import { inCharset, outputPaint, print, printDrawn, toJson } from "../../terminal/output.js"
import { Standard } from "../../terminal/Standard.js"
import * as Model from "./model.js"
import { type Size, shownNodes, view } from "./view.js"

const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l"
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l"
const home = "\u001b[H"
const clearToEndOfLine = "\u001b[K"
const clearBelow = "\u001b[J"

/** The alternate screen, without a cursor, for as long as the scope is open or the process lives. */
const screen = Effect.flatMap(Terminal.Terminal, ({ display }) => {
  // What ends the process without running finalizers still passes here.
  const atExit = () => {
    try {
      writeSync(1, leave)
    } catch {
      // The terminal is gone.
    }
  }
  return Effect.acquireRelease(
    Effect.zipRight(
      Effect.sync(() => process.once("exit", atExit)),
      display(enter)
    ),
    () =>
      Effect.zipRight(
        Effect.ignore(display(leave)),
        Effect.sync(() => process.off("exit", atExit))
      )
  )
})

/** The terminal's size as it is, and each time that it changes. */
const sizes = Effect.map(Terminal.Terminal, ({ columns, rows }) => {
  // A terminal that does not know its size says 0.
  const size = Effect.map(Effect.all({ columns, rows }), ({ columns, rows }) => ({
    columns: columns || 80,
    rows: rows || 24
  }))
  return Stream.concat(
    Stream.fromEffect(size),
    Stream.mapEffect(
      Stream.asyncPush<void>((emit) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const onResize = () => emit.single(undefined)
            process.stdout.on("resize", onResize)
            return onResize
          }),
          (onResize) => Effect.sync(() => process.stdout.off("resize", onResize))
        )
      ),
      () => size
    )
  )
})

/** What `ghostdb top` is asked for. */
export interface TopOptions {
  readonly connection: Connection
  readonly interval: Duration.Duration
  readonly json: boolean
  readonly once: boolean
}

const snapshotNow = (monitor: Monitor.Monitor) => Effect.zipWith(monitor.state, Clock.currentTimeMillis, takeSnapshot)

/** Waits until each node has answered in full, or until those that do not have had their time. */
const firstSnapshot = (monitor: Monitor.Monitor, { connection: { timeout } }: TopOptions) =>
  Stream.runHead(Stream.filter(monitor.changes, isComplete)).pipe(
    Effect.timeoutOption(Math.max(3 * Duration.toMillis(timeout), 1000)),
    Effect.zipRight(snapshotNow(monitor))
  )

/** A key as the model has it. Ctrl-C is `q`: the terminal is in raw mode and sends no signal. */
const keyOf = ({ input, key }: Terminal.UserInput): Model.Key =>
  key.ctrl && key.name === "c"
    ? { name: "interrupt", character: undefined }
    : { name: key.name, character: Option.getOrUndefined(input) }

const redrawEvery = "50 millis"

/** Draws until the user quits: when something has changed, and each second, as ages do. */
const draw = (monitor: Monitor.Monitor, source: string) =>
  Effect.gen(function* () {
    const terminal = yield* Terminal.Terminal
    const { env } = yield* Standard
    const paint = yield* outputPaint
    const input = yield* terminal.readInput
    yield* screen
    let model = Model.initial
    let shown: Snapshot = yield* snapshotNow(monitor)
    let size: Size = { columns: 80, rows: 24 }
    const wanted = yield* Queue.sliding<void>(1)
    const redraw = Queue.offer(wanted, undefined)

    const watching = [
      Stream.runForEach(monitor.changes, () => redraw),
      Stream.runForEach(yield* sizes, (next) => {
        size = next
        return redraw
      }),
      Effect.repeat(redraw, Schedule.spaced("1 second"))
    ]
    const drawing = Effect.gen(function* () {
      yield* Queue.take(wanted)
      if (!model.paused) shown = yield* snapshotNow(monitor)
      const lines = view(shown, model, source, size, paint).map((line) => inCharset(line, env))
      yield* terminal.display(home + lines.map((line) => line + clearToEndOfLine).join("\r\n") + clearBelow)
      // However fast things change, nobody reads faster.
      yield* Effect.sleep(redrawEvery)
    })
    const readKey = Effect.gen(function* () {
      const key = keyOf(yield* input.take)
      const next = key.name === "interrupt" ? "quit" : Model.pressed(model, key, shownNodes(shown, model).length)
      if (next === "quit") return true
      model = next
      yield* redraw
      return false
    })
    const reading = Effect.repeat(readKey, { until: (quits) => quits })
    yield* Effect.all(watching.map(Effect.forkScoped))
    yield* Effect.raceFirst(Effect.forever(drawing), Effect.ignore(reading))
  }).pipe(Effect.scoped)

const printSnapshot = (taken: Snapshot, options: TopOptions) =>
  Effect.gen(function* () {
    if (options.json) return yield* print(toJson(taken))
    const { output } = yield* Standard
    const size = { columns: output.columns || 100, rows: 0 }
    const source = NodesFile.redact(options.connection.nodes)
    yield* printDrawn(view(taken, Model.initial, source, size, yield* outputPaint, false))
  })

/** `ghostdb top` */
export const top = (options: TopOptions) =>
  Effect.gen(function* () {
    const { error, input, output } = yield* Standard
    if (!options.once && !options.json && (output.isTTY !== true || input.isTTY !== true)) {
      return yield* new UsageError({ message: "top is for a terminal: elsewhere there are --once and --json" })
    }
    yield* withMonitor(options.connection, { interval: options.interval }, (monitor) =>
      Effect.gen(function* () {
        if (options.once)
          return yield* Effect.flatMap(firstSnapshot(monitor, options), (taken) => printSnapshot(taken, options))
        if (options.json) {
          yield* firstSnapshot(monitor, options)
          const line = Effect.flatMap(snapshotNow(monitor), (taken) => print(toJson(taken)))
          return yield* Effect.asVoid(Effect.repeat(line, Schedule.spaced(options.interval)))
        }
        yield* draw(monitor, NodesFile.redact(options.connection.nodes))
      })
    ).pipe(
      // A line of the log would stand in the middle of the view.
      error.isTTY === true ? Logger.withMinimumLogLevel(LogLevel.None) : identity
    )
  })
