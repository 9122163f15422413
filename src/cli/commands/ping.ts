/** `ghostdb ping`: which nodes answer, how fast, and why the others do not. */

import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Monitor from "../../cluster/Monitor.js"
import type * as Probe from "../../cluster/Probe.js"
import type { Fault } from "../../model/GhostDBError.js"
import { allAnswered, type Connection, withMonitor, withProbe } from "../connection.js"
import { NoAnswer } from "../exit.js"
import { faultText } from "../terminal/faults.js"
import {
  type Cell,
  type Column,
  count,
  inCharset,
  milliseconds,
  outputPaint,
  print,
  printTable,
  table,
  toJson,
  write
} from "../terminal/output.js"
import { Standard } from "../terminal/Standard.js"

interface Answer {
  readonly node: string
  readonly answer: Either.Either<Probe.Pong, Fault>
}

const answerJson = ({ answer, node }: Answer) =>
  Either.match(answer, {
    onLeft: ({ detail, reason }) => ({ node, answers: false, reason, detail }),
    onRight: ({ dialect, millis }) => ({ node, answers: true, dialect, millis: Math.round(millis * 1000) / 1000 })
  })

const answerRow = ({ answer, node }: Answer): ReadonlyArray<Cell> =>
  Either.match(answer, {
    onLeft: (fault) => [node, "", "", { text: faultText(fault), style: "red" }],
    onRight: ({ dialect, millis }) => [node, dialect, milliseconds(millis), { text: "answers", style: "green" }]
  })

const noneAnswers = (nodes: number) => new NoAnswer({ message: `none of ${nodes} nodes answers` })

const complete = (silent: ReadonlyArray<string>, nodes: number) =>
  silent.length === nodes ? noneAnswers(nodes) : allAnswered(silent, nodes)

/** `ghostdb ping` */
export const ping = (options: {
  readonly connection: Connection
  readonly interval: Duration.Duration
  readonly json: boolean
  readonly watch: boolean
}) =>
  Effect.gen(function* () {
    yield* options.watch ? watch(options) : once(options)
  })

const once = ({ connection, json }: { readonly connection: Connection; readonly json: boolean }) =>
  withProbe(connection, (probe, { nodes }) =>
    Effect.gen(function* () {
      const answers = yield* Effect.forEach(
        nodes,
        (node) => Effect.map(Effect.either(probe.ping(node)), (answer): Answer => ({ node, answer })),
        { concurrency: "unbounded" }
      )
      yield* json
        ? print(toJson({ nodes: answers.map(answerJson) }))
        : printTable(
            [{ title: "NODE" }, { title: "DIALECT" }, { title: "TIME", align: "right" }, { title: "PING" }],
            answers.map(answerRow)
          )
      const silent = answers.filter(({ answer }) => Either.isLeft(answer)).map(({ node }) => node)
      yield* complete(silent, nodes.length)
    })
  )

const columns: ReadonlyArray<Column> = [
  { title: "NODE" },
  { title: "DIALECT" },
  ...["PINGS", "LOST", "LAST", "MIN", "MEDIAN", "P99"].map((title) => ({ title, align: "right" as const })),
  { title: "" }
]

const summaryOf = (view: Monitor.NodeView) => ({
  ...Monitor.roundTripSummary(view),
  last: view.roundTrips.at(-1)?.millis ?? Number.NaN
})

const summaryRow = (view: Monitor.NodeView): ReadonlyArray<Cell> => {
  const { last, median, min, p99 } = summaryOf(view)
  return [
    view.node,
    Option.getOrElse(view.dialect, () => ""),
    count(view.pings),
    view.lost === 0 ? "0" : { text: count(view.lost), style: "red" },
    ...[last, min, median, p99].map(milliseconds),
    Option.match(view.failure, {
      onNone: (): Cell => "",
      onSome: (fault) => ({ text: faultText(fault), style: "red" })
    })
  ]
}

const known = (millis: number) => (Number.isNaN(millis) ? null : Math.round(millis * 1000) / 1000)

const summaryJson = (at: number, { nodes }: Monitor.MonitorState) => ({
  time: new Date(at).toISOString(),
  nodes: [...nodes.values()].map((view) => {
    const { last, median, min, p99 } = summaryOf(view)
    return {
      node: view.node,
      answers: view.status === "live",
      dialect: Option.getOrNull(view.dialect),
      pings: view.pings,
      lost: view.lost,
      lastMillis: known(last),
      minMillis: known(min),
      medianMillis: known(median),
      p99Millis: known(p99),
      reason: Option.getOrNull(Option.map(view.failure, ({ reason }) => reason))
    }
  })
})

/** Pings until a signal comes. On a terminal one table is drawn over itself; elsewhere each interval has its own. */
const watch = ({
  connection,
  interval,
  json
}: {
  readonly connection: Connection
  readonly interval: Duration.Duration
  readonly json: boolean
}) =>
  withMonitor(connection, { interval, metrics: false }, (monitor) =>
    Effect.gen(function* () {
      const { env, output } = yield* Standard
      const paint = yield* outputPaint
      const draws = output.isTTY === true && !json
      let drawn = 0
      const show = Effect.gen(function* () {
        const state = yield* monitor.state
        if (json) return yield* print(toJson(summaryJson(yield* Clock.currentTimeMillis, state)))
        const lines = table(columns, [...state.nodes.values()].map(summaryRow), paint).map((line) =>
          inCharset(line, env)
        )
        const up = draws && drawn > 0 ? `\u001b[${drawn}A\u001b[J` : ""
        drawn = lines.length
        yield* write(output, `${up}${lines.join("\n")}\n`)
      })
      const pinged = Stream.filter(monitor.changes, ({ nodes }) =>
        [...nodes.values()].every(({ status }) => status !== "unknown")
      )
      yield* Stream.runHead(pinged)
      yield* Effect.forever(Effect.zipRight(show, Effect.sleep(interval))).pipe(Effect.onInterrupt(() => show))
    })
  )
