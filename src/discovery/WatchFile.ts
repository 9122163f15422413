import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { NodesFileError } from "../model/GhostDBError.js"
import { DurationLike } from "../model/Ttl.js"
import type { Parsed } from "./Parse.js"
import { defaultPoll, load, type RemovalOptions, type Watched, watched } from "./Watched.js"

/** The words of the system, without those of Effect around them. */
const descriptionOf = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "description") && Predicate.isString(error.description)) return error.description
  return Predicate.hasProperty(error, "reason") ? descriptionOf(error.reason) : undefined
}

const readContent = (fs: FileSystem.FileSystem, file: string): Effect.Effect<string, NodesFileError> =>
  Effect.mapError(
    fs.readFileString(file),
    (error) => new NodesFileError({ file, reason: `cannot be read: ${descriptionOf(error) ?? error.message}` })
  )

/**
 * Reads the nodes file at a path once. What the parser warns of is logged.
 *
 * @category reading
 * @since 0.1.0
 */
export const readFile = (file: string): Effect.Effect<Parsed, NodesFileError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => readContent(fs, file)),
    Effect.flatMap((content) => load(file, content))
  )

/**
 * Options of {@link watchFile}.
 *
 * @category options
 * @since 0.1.0
 */
export interface WatchFileOptions extends RemovalOptions {
  /** How long after an event the file is read. However many events come, it is not read more often. Default 100 ms. */
  readonly debounce?: DurationLike | undefined
  /**
   * When the file is read although no event came, and the watch is set up anew: some file systems send no events, and a
   * watch dies with its directory. Default every 30 s.
   */
  readonly poll?: Schedule.Schedule<unknown> | undefined
}

/** How long after it failed a watch is set up again. */
const rewatch = Schedule.spaced("1 second")

/** Emits at each event in the directory, and each time the watch begins. */
const eventsIn = (
  fs: FileSystem.FileSystem,
  directory: string,
  warn: (cause: Cause.Cause<unknown>) => Effect.Effect<void>
): Stream.Stream<void> =>
  Stream.concat(
    Stream.void,
    Stream.map(fs.watch(directory), () => undefined)
  ).pipe(
    // fs.watch throws where the system has no watch left: a defect in the stream
    Stream.catchAllCause((cause) => Stream.execute(warn(cause))),
    Stream.repeat(rewatch)
  )

/**
 * The nodes file at a path, watched. An error if it is not there or does not parse at first; later such a state is
 * logged and the nodes stay as they are.
 *
 * The directory is watched, and also that of the file behind a symbolic link, so that editors that replace the
 * file, `mv`, and Kubernetes' ConfigMaps are seen. A file that is replaced by `rename` is never read half written. When a
 * file is written in place, a node that is there again within 2 seconds is not removed, and the beginning of its address is
 * taken for no node.
 *
 * @category reading
 * @since 0.1.0
 */
export const watchFile = Effect.fnUntraced(function* (
  file: string,
  options?: WatchFileOptions
): Effect.fn.Return<Watched, NodesFileError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const read = readContent(fs, file)
  const directories = fs.realPath(file).pipe(
    Effect.map((target) => Arr.dedupe([path.dirname(path.resolve(file)), path.dirname(target)])),
    Effect.orElseSucceed(() => [path.dirname(path.resolve(file))])
  )
  const events = Effect.map(Ref.make(""), (lastWarning) => {
    const warn = (cause: Cause.Cause<unknown>) => {
      const reasons = Cause.prettyErrors(cause).map(({ message }) => message)
      const message = `${file}: watching failed, trying again: ${reasons.join("; ")}`
      return Effect.whenEffect(
        Effect.logWarning(message),
        Ref.modify(lastWarning, (last) => [last !== message, message])
      )
    }
    const watch = directories.pipe(
      Effect.map((all) =>
        Stream.mergeAll(
          all.map((directory) => eventsIn(fs, directory, warn)),
          { concurrency: "unbounded" }
        )
      ),
      Stream.unwrap
    )
    return Stream.flatMap(
      Stream.concat(Stream.succeed(undefined), Stream.fromSchedule(options?.poll ?? defaultPoll)),
      () => watch,
      { switch: true }
    )
  })
  const debounce = DurationLike.toMillis("debounce", options?.debounce ?? "100 millis")
  const debounced = Effect.delay(Effect.either(read), debounce)
  return yield* watched(
    { file, content: yield* read, triggers: Stream.unwrap(events), reader: Effect.succeed(debounced) },
    options
  )
})
