import { Array as Arr, Effect, Logger, Option, Queue, Schedule, Stream } from "effect"
import type * as Watched from "../../src/discovery/Watched.js"
import type { NodesFileError } from "../../src/model/GhostDBError.js"
/** A queue of what is logged, and the layer that fills it. */
export const makeLogs = Effect.map(Queue.unbounded<string>(), (lines) => ({
  lines,
  layer: Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => lines.unsafeOffer(`${logLevel.label} ${Arr.ensure(message).join(" ")}`))
  )
}))

/** Waits for a line like this one. */
export const logged = (lines: Queue.Dequeue<string>, pattern: RegExp) =>
  Stream.fromQueue(lines).pipe(
    Stream.filter((line) => pattern.test(line)),
    Stream.runHead,
    Effect.map(Option.getOrThrow)
  )

/** Runs a source's changes into a queue, its logs into another. */
export const observe = <R>(source: Effect.Effect<Watched.Watched, NodesFileError, R>) =>
  Effect.gen(function* () {
    const logs = yield* makeLogs
    const { changes, nodes } = yield* Effect.provide(source, logs.layer)
    const seen = yield* Queue.unbounded<ReadonlyArray<string>>()
    yield* changes.pipe(
      Stream.runForEach((nodes) => Queue.offer(seen, nodes)),
      Effect.provide(logs.layer),
      Effect.forkScoped
    )
    return { nodes, seen, lines: logs.lines }
  })

export const never: Schedule.Schedule<unknown> = Schedule.stop

/** For tests of other things than removals: a node goes at once. */
export const unconfirmed = { confirmRemovals: "0 millis" } as const
