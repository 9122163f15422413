import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equivalence from "effect/Equivalence"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { NodesFileError } from "../model/GhostDBError.js"
import { type Parsed, parse, shorten } from "./Parse.js"

/** Whether the source of a nodes file is a URL for `watchUrl`, and not a path for `watchFile`. */
export const isUrl = (source: string): boolean => /^https?:\/\//i.test(source)

/** The nodes of a source as they are, and as they change. */
export interface Watched {
  /** The addresses at the time of the call, in the order of the file. */
  readonly nodes: ReadonlyArray<string>
  /**
   * Each new list of addresses, complete, whenever it differs from the one before, the first time from `nodes`. Nothing
   * that happens between the call and the start of the stream is lost. The source is watched while the stream runs. It
   * does not fail: what cannot be read or parsed is logged as a warning, once until it changes, and left out.
   */
  readonly changes: Stream.Stream<ReadonlyArray<string>>
}

// -----------------------------------------------------------------------------
// Sources
// -----------------------------------------------------------------------------

/** Parses what was read and logs the parser's warnings. */
export const load = (file: string, content: string): Effect.Effect<Parsed, NodesFileError> =>
  Effect.tap(parse(file, content), ({ warnings }) =>
    Effect.forEach(
      warnings,
      ({ line, reason, text }) => Effect.logWarning(`${file}:${line}: ${reason}: ${JSON.stringify(shorten(text))}`),
      { discard: true }
    )
  )

/** One reading of a source: its content, or why there is none. */
type Reading = Either.Either<string, NodesFileError>

const sameReading = Either.getEquivalence({
  left: Equivalence.mapInput(Equivalence.string, (error: NodesFileError) => error.message),
  right: Equivalence.string
})

const sameNodes = Arr.getEquivalence(Equivalence.string)

/** The source as `content` has it, and the changes that its later readings bring. */
export const watched = Effect.fnUntraced(function* (file: string, content: string, readings: Stream.Stream<Reading>) {
  const { nodes } = yield* load(file, content)
  const initial: { readonly reading: Reading; readonly nodes: ReadonlyArray<string> } = {
    reading: Either.right(content),
    nodes
  }
  const changes = readings.pipe(
    Stream.mapAccumEffect(initial, (last, reading) =>
      sameReading(last.reading, reading)
        ? Effect.succeed([last, Option.none<ReadonlyArray<string>>()] as const)
        : reading.pipe(
            Effect.flatMap((content) => load(file, content)),
            Effect.map(({ nodes }) => nodes),
            Effect.catchAll((error) =>
              Effect.as(Effect.logWarning(`${error.message}; the nodes stay as they are`), last.nodes)
            ),
            Effect.map((nodes) => {
              const changed = sameNodes(nodes, last.nodes) ? Option.none() : Option.some(nodes)
              return [{ reading, nodes }, changed] as const
            })
          )
    ),
    Stream.filterMap(identity)
  )
  return { nodes, changes } satisfies Watched
})

export const defaultPoll: Schedule.Schedule<unknown> = Schedule.spaced("30 seconds")
