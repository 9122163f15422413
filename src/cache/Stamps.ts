/**
 * Stamps: entries of this package that say since when others count no longer. GhostDB cannot list keys; who reads an
 * entry compares it with the stamps that concern it.
 *
 * A stamp is `{ "at": <milliseconds since the epoch>, "id": <random> }`. The later one counts, so a node that was away and
 * returns with an older one revives nothing, as far as a process that has seen the later one lives: it goes by that, and
 * writes it again, when it reads the older one or a node returns. What remains: where the node of a stamp is lost for good
 * or evicts it, and no process that has seen it lives, entries from before count again.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fromEither } from "../model/fromEither.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import * as ManyKeys from "./ManyKeys.js"
import * as PerClient from "./PerClient.js"

/** When something was declared to count no longer. */
export interface Stamp {
  readonly at: number
  readonly id: string
}

const decode = Schema.decodeUnknownOption(Schema.Struct({ at: Schema.Finite, id: Schema.String }))

/** How many stamps a process remembers; the ones that were used least recently go. */
const capacity = 10_000

/** The moment at which something begins to be loaded, by the clock and by what this process knows of stamps. */
export interface LoadStart {
  readonly at: number
  readonly known: number
}

/** What this process knows of stamps, for one client. */
class Memory {
  /** A Map keeps the order of insertion: the first one was used least recently. */
  readonly #latest = new Map<string, { readonly stamp: Stamp; readonly order: number }>()
  #order = 0
  isHealing = false

  latest(key: string): Stamp | undefined {
    return this.#latest.get(key)?.stamp
  }

  entries(): ReadonlyArray<readonly [key: string, stamp: Stamp]> {
    return Array.from(this.#latest, ([key, { stamp }]) => [key, stamp])
  }

  remember(key: string, stamp: Stamp): void {
    this.#latest.delete(key)
    this.#latest.set(key, { stamp, order: this.#order++ })
    if (this.#latest.size <= capacity) return
    for (const oldest of this.#latest.keys()) {
      this.#latest.delete(oldest)
      return
    }
  }

  begin(now: number): LoadStart {
    return { at: now, known: this.#order }
  }

  /** The time for an entry to say: later than the stamps on it that were known when it began, even at one instant. */
  loadedAt({ at, known }: LoadStart, keys: ReadonlyArray<string>): number {
    let loadedAt = at
    let endsAt = Number.POSITIVE_INFINITY
    for (const key of keys) {
      const latest = this.#latest.get(key)
      if (latest === undefined) continue
      if (latest.order < known) loadedAt = Math.max(loadedAt, latest.stamp.at + 1)
      // One that has come since then ends the entry, although another at the same instant does not.
      else if (latest.stamp.at >= at) endsAt = Math.min(endsAt, latest.stamp.at)
    }
    return Math.min(loadedAt, endsAt)
  }

  /** A stamp of this moment, later than the one that is known. */
  next(key: string, now: number): Stamp {
    return { at: Math.max(now, (this.latest(key)?.at ?? now - 1) + 1), id: crypto.randomUUID() }
  }
}

const makeMemory = () => new Memory()

const memoryOf = (db: GhostDBService) => PerClient.of(db).slot(makeMemory)

const isLater = (one: Stamp, other: Stamp) => one.at > other.at || (one.at === other.at && one.id > other.id)

/** To be called when something begins to be loaded that stamps may end. */
export const begin = (db: GhostDBService): Effect.Effect<LoadStart> =>
  Effect.map(Clock.currentTimeMillis, (now) => memoryOf(db).begin(now))

/** When an entry that the stamps under the keys may end was loaded. */
export const loadedAt = (db: GhostDBService, start: LoadStart, keys: ReadonlyArray<string>): number =>
  keys.length === 0 ? Number.NEGATIVE_INFINITY : memoryOf(db).loadedAt(start, keys)

const rewrite = (db: GhostDBService, key: string, { at, id }: Stamp) => Effect.ignore(db.put(key, { at, id }))

/** Writes remembered stamps again whenever a node has returned: it may have kept older ones. */
const heal = (db: GhostDBService): Effect.Effect<void> =>
  Effect.suspend(() => {
    const memory = memoryOf(db)
    const state = PerClient.of(db)
    // A service written by hand may have a topology that never ends, and no scope that ends this.
    if (memory.isHealing || state.shared.scope === undefined) return Effect.void
    memory.isHealing = true
    let live = new Set<string>()
    return db.topology.pipe(
      Stream.runForEach((topology) => {
        const before = live
        live = new Set(topology.live.map(({ node }) => node))
        const hasReturned = before.size > 0 && [...live].some((node) => !before.has(node))
        return hasReturned
          ? Effect.forEach(memory.entries(), ([key, stamp]) => rewrite(db, key, stamp), {
              concurrency: 16,
              discard: true
            })
          : Effect.void
      }),
      (healing) => state.fork(healing),
      Effect.asVoid
    )
  })

/** The latest stamp under a key, none where there has been none, or it is lost. */
export const read = (db: GhostDBService, key: string): Effect.Effect<Option.Option<Stamp>, NoMoreServers | KeyError> =>
  Effect.flatMap(db.get(key), (found) => settle(db, key, found))

/** The latest stamp under a key where a node has had this: {@link read} without the reading. */
export const settle = (
  db: GhostDBService,
  key: string,
  found: Option.Option<Json>
): Effect.Effect<Option.Option<Stamp>> =>
  Effect.suspend(() => {
    const memory = memoryOf(db)
    const stamp = Option.flatMap(found, decode)
    const remembered = memory.latest(key)
    if (Option.isSome(stamp) && (remembered === undefined || isLater(stamp.value, remembered))) {
      memory.remember(key, stamp.value)
      return Effect.succeed(stamp)
    }
    if (remembered === undefined || Option.isNone(stamp) || !isLater(remembered, stamp.value)) {
      return Effect.succeed(stamp)
    }
    return Effect.as(rewrite(db, key, remembered), Option.some(remembered))
  })

/** As {@link read}, but a stamp that was lost counts as it is remembered, and is written again. */
export const readKept = (
  db: GhostDBService,
  key: string
): Effect.Effect<Option.Option<Stamp>, NoMoreServers | KeyError> =>
  Effect.flatMap(db.get(key), (found) => keep(db, key, found))

const keep = (db: GhostDBService, key: string, found: Option.Option<Json>): Effect.Effect<Option.Option<Stamp>> =>
  Effect.flatMap(settle(db, key, found), (stamp) => {
    const remembered = memoryOf(db).latest(key)
    return Option.isSome(stamp) || remembered === undefined
      ? Effect.succeed(stamp)
      : Effect.as(rewrite(db, key, remembered), Option.some(remembered))
  })

/** {@link readKept} of many keys. */
export const readKeptMany = (
  db: GhostDBService,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, Either.Either<Option.Option<Stamp>, NoMoreServers | KeyError>>> =>
  Effect.flatMap(ManyKeys.of(db).get(keys), (results) =>
    Effect.map(
      ManyKeys.eithers(
        keys.map((key, index) =>
          Effect.flatMap(fromEither(results[index] ?? Either.right(Option.none())), (found) => keep(db, key, found))
        )
      ),
      (stamps) => ManyKeys.zip(keys, stamps)
    )
  )

/** Makes a stamp later than any that this process knows. What it stamps counts no longer here, even where that fails. */
export const renew = (db: GhostDBService, key: string): Effect.Effect<Stamp, NoMoreServers | KeyError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const memory = memoryOf(db)
    const stamp = memory.next(key, now)
    memory.remember(key, stamp)
    // Whoever asks from now on does not want what was being loaded before.
    PerClient.of(db).shared.calls?.retire()
    return Effect.zipRight(heal(db), Effect.as(db.put(key, { at: stamp.at, id: stamp.id }), stamp))
  })

/** {@link renew}, later than the one that stands there now, if it can be read: clocks may differ. */
export const renewLater = (db: GhostDBService, key: string): Effect.Effect<Stamp, NoMoreServers | KeyError> =>
  Effect.zipRight(Effect.ignore(read(db, key)), renew(db, key))

/**
 * The latest stamp under a key, or a new one where there is none. None where neither can be had. Of several who make one
 * at the same time, one does.
 */
export const readOrMake = (
  db: GhostDBService,
  key: string
): Effect.Effect<Option.Option<Stamp>, NoMoreServers | KeyError> =>
  Effect.flatMap(read(db, key), (current) => {
    if (Option.isSome(current)) return Effect.succeed(current)
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const memory = memoryOf(db)
      const stamp = memory.next(key, now)
      return Effect.flatMap(db.add(key, { at: stamp.at, id: stamp.id }), (added) => {
        if (added === "STORED") {
          memory.remember(key, stamp)
          return Effect.succeedSome(stamp)
        }
        // Another has just made one, or the reply was lost; otherwise what stands there is no stamp.
        return Effect.flatMap(read(db, key), (other) =>
          Option.isSome(other) ? Effect.succeed(other) : Effect.asSome(renew(db, key))
        )
      })
    })
  })
