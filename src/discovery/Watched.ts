import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equivalence from "effect/Equivalence"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { fromEither } from "../model/fromEither.js"
import type { NodesFileError } from "../model/GhostDBError.js"
import { DurationLike } from "../model/Ttl.js"
import { type Parsed, parse, shorten } from "./Parse.js"
import * as Removals from "./Removals.js"

/**
 * Whether the source of a nodes file is a URL for `watchUrl`, and not a path for `watchFile`.
 *
 * @category functions
 * @since 0.1.0
 */
export const isUrl = (source: string): boolean => /^https?:\/\//i.test(source)

/**
 * The nodes of a source as they are, and as they change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watched {
  /** The addresses at the time of the call, in the order of the file. */
  readonly nodes: ReadonlyArray<string>
  /**
   * Each new list of addresses, complete, whenever it differs from the one before, the first time from `nodes`. Nothing
   * that happens between the call and the start of the stream is lost. The source is watched while the stream runs. It
   * does not fail: what cannot be read or parsed is logged as a warning, once until it changes, and left out.
   *
   * An added node is in the list at once, unless it may be the beginning of another's address, in a file that is being
   * written. A removed one stays, after the others, until the source has not changed for
   * `confirmRemovals` and was read again; while the source keeps changing, until no reading has had it for 30 seconds.
   */
  readonly changes: Stream.Stream<ReadonlyArray<string>>
}

/** How it is confirmed that a node is removed. */
export interface RemovalOptions {
  /**
   * How long after it was first read without a node, and has not changed since, the source is read again, whereupon the
   * node is removed: a file that is being written is a short file for a while. Default 2 seconds.
   */
  readonly confirmRemovals?: DurationLike | undefined
}

// -----------------------------------------------------------------------------
// Sources
// -----------------------------------------------------------------------------

/** Parses what was read and logs the parser's warnings. */
export const load = (file: string, content: string): Effect.Effect<Parsed, NodesFileError> =>
  Effect.tap(fromEither(parse(file, content)), ({ warnings }) =>
    Effect.forEach(
      warnings,
      ({ line, reason, text }) => Effect.logWarning(`${file}:${line}: ${reason}: ${JSON.stringify(shorten(text))}`),
      { discard: true }
    )
  )

/** One reading of a source: its content, or why there is none. */
export type Reading = Either.Either<string, NodesFileError>

const sameReading = Either.getEquivalence({
  left: Equivalence.mapInput(Equivalence.string, (error: NodesFileError) => error.message),
  right: Equivalence.string
})

const sameNodes = Arr.getEquivalence(Equivalence.string)

const endsOpen = (reading: Reading): boolean => Either.isRight(reading) && !/[\r\n]$/.test(reading.right)

/** A source after its first reading. */
export interface Source {
  /** Names the source in logs. */
  readonly file: string
  readonly content: string
  /** Emits whenever it is time to read; what is emitted during a reading causes one more. */
  readonly triggers: Stream.Stream<unknown>
  /** Makes the effect that reads the source, once for each run of `changes`. */
  readonly reader: Effect.Effect<Effect.Effect<Reading>>
}

const monotonicMillis = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos) / 1e6)

/** A tick at each time that was set; a later time takes the place of one that has not come yet. */
const makeAlarm = Effect.map(Effect.makeLatch(false), (isSet) => {
  let at = 0
  const tick = isSet.await.pipe(
    Effect.zipRight(monotonicMillis),
    Effect.flatMap((now) => Effect.sleep(Math.max(at - now, 0))),
    Effect.zipRight(isSet.close)
  )
  return {
    set: (time: number) =>
      Effect.suspend(() => {
        at = time
        return isSet.open
      }),
    ticks: Stream.repeatEffect(tick)
  }
})

interface State {
  readonly reading: Reading
  /** What the reading lists, where it can be used. */
  readonly listed: Option.Option<ReadonlyArray<string>>
  readonly removals: Removals.Removals
}

/** The nodes of the first reading, and the changes that later readings find. */
export const watched = Effect.fnUntraced(function* (
  { content, file, reader, triggers }: Source,
  options?: RemovalOptions
): Effect.fn.Return<Watched, NodesFileError> {
  const { nodes } = yield* load(file, content)
  const confirmAfter = DurationLike.toMillis("confirmRemovals", options?.confirmRemovals ?? "2 seconds")
  const initial: State = {
    reading: Either.right(content),
    listed: Option.some(nodes),
    removals: Removals.make(nodes)
  }
  const parsed = (reading: Reading) =>
    fromEither(reading).pipe(
      Effect.flatMap((content) => load(file, content)),
      Effect.map(({ nodes }) => Option.some(nodes)),
      Effect.catchAll((error) =>
        Effect.as(Effect.logWarning(`${error.message}; the nodes stay as they are`), Option.none())
      )
    )
  const next = Effect.fnUntraced(function* (last: State, reading: Reading): Effect.fn.Return<State> {
    const listed = sameReading(last.reading, reading) ? last.listed : yield* parsed(reading)
    const now = yield* monotonicMillis
    const removals = Option.match(listed, {
      onNone: () => Removals.unusable(last.removals),
      onSome: (nodes) => Removals.read(last.removals, { nodes, endsOpen: endsOpen(reading) }, now, confirmAfter)
    })
    return { reading, listed, removals }
  })
  const changes = Effect.gen(function* () {
    const read = yield* reader
    const alarm = yield* makeAlarm
    return Stream.merge(triggers, alarm.ticks, { haltStrategy: "left" }).pipe(
      Stream.buffer({ capacity: 1, strategy: "sliding" }),
      Stream.mapEffect(() => read),
      Stream.mapAccumEffect(initial, (last, reading) =>
        Effect.gen(function* () {
          const state = yield* next(last, reading)
          const confirmAt = Removals.confirmAt(state.removals, confirmAfter)
          if (confirmAt !== undefined) yield* alarm.set(confirmAt)
          const nodes = Removals.nodes(state.removals)
          const isChanged = !sameNodes(nodes, Removals.nodes(last.removals))
          return [state, isChanged ? Option.some(nodes) : Option.none()] as const
        })
      ),
      Stream.filterMap(identity)
    )
  })
  return { nodes, changes: Stream.unwrap(changes) }
})

export const defaultPoll: Schedule.Schedule<unknown> = Schedule.spaced("30 seconds")
