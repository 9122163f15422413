/**
 * A guard against stampedes across processes: one computes while the others wait for what it stores.
 *
 * The lock of a key is an entry of its own, `{ "token": <random>, "until": <milliseconds since the epoch> }`, made by
 * `add`. Its deadline stands in the value because the server's TTL is late, and every `get` puts it off. Once the
 * deadline has passed by the `Clock` of a process that wants the lock, the holder counts as dead: that process deletes
 * the entry and adds its own, and among several the `add` decides.
 *
 * That is no mutual exclusion, which GhostDB has no command for. Two processes compute at the same time when the holder
 * takes longer than its lease, when a delete meant for a dead holder's lock hits that of its successor, when clocks
 * differ by more than the lease, when the lock's node fails over, and when a process has waited long enough.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import { DurationLike, Ttl } from "../model/Ttl.js"
import * as Intent from "./Intent.js"
import * as PerClient from "./PerClient.js"
import * as ReservedKeys from "./ReservedKeys.js"

/**
 * How processes take turns on a key.
 *
 * @category options
 * @since 0.1.0
 */
export interface LockOptions {
  /** After how long a holder counts as dead: longer than the effect should ever take. Default 10 seconds. */
  readonly lease?: DurationLike | undefined
  /**
   * How long the others wait for the value before they compute it themselves, the time that nodes take to answer
   * included. Default 5 seconds.
   */
  readonly wait?: DurationLike | undefined
  /** When those who wait look again. Default: every 50 milliseconds, give or take a fifth. */
  readonly poll?: Schedule.Schedule<unknown> | undefined
}

/** {@link LockOptions} with the defaults, times in milliseconds. */
export interface LockSettings {
  readonly lease: number
  readonly wait: number
  readonly poll: Schedule.Schedule<unknown>
}

const defaultPoll = Schedule.spaced("50 millis").pipe(Schedule.jittered)

/** Fills in the defaults. Throws where an option cannot be used. */
export const resolve = ({
  lease = "10 seconds",
  poll = defaultPoll,
  wait = "5 seconds"
}: LockOptions): LockSettings => ({
  lease: DurationLike.toMillis("lock.lease", lease),
  wait: DurationLike.toMillis("lock.wait", wait),
  poll
})

const Holder = Schema.Struct({ token: Schema.String, until: Schema.Number })
const decode = Schema.decodeUnknownOption(Holder)

interface Lock {
  /** Whether this is the holder now, or there is none to wait for. */
  readonly take: Effect.Effect<boolean, NoMoreServers | KeyError>
  /** Ends the lock, in the background, if it is still this holder's. Where that fails, the lease ends it. */
  readonly release: Effect.Effect<void>
}

const make = (db: GhostDBService, key: string, { lease }: LockSettings): Lock => {
  const lockKey = ReservedKeys.lock(key)
  const token = crypto.randomUUID()
  const isOwn = (found: Option.Option<unknown>) =>
    Option.exists(Option.flatMap(found, decode), (holder) => holder.token === token)
  let added = false
  const release = Intent.run({ fresh: true }, db.get(lockKey)).pipe(
    Effect.flatMap((found) => (isOwn(found) ? Effect.asVoid(db.delete(lockKey)) : Effect.void)),
    Effect.ignore
  )
  return {
    take: Effect.gen(function* () {
      const current = yield* db.get(lockKey)
      const now = yield* Clock.currentTimeMillis
      if (Option.isSome(current)) {
        const holder = decode(current.value)
        // What is no lock is somebody's value: never to be deleted.
        if (Option.isNone(holder) || holder.value.until > now) return false
        yield* db.delete(lockKey)
      }
      added = true
      const result = yield* db.add(lockKey, { token, until: now + lease }, Ttl.forServer(lease))
      if (result === "STORED") return true
      // Another was first, or the reply was lost and the lock is this one's; or none can be had, so that there is
      // nothing to wait for: the client forgives an outage.
      const after = yield* db.get(lockKey)
      return Option.isNone(after) || isOwn(after)
    }),
    release: Effect.suspend(() => (added ? Effect.asVoid(PerClient.of(db).fork(release)) : Effect.void))
  }
}

/** What is done under the lock of a key. */
export interface Locked<A, E, R, E2, R2, E3> {
  readonly db: GhostDBService
  readonly key: string
  readonly options: LockSettings
  /** The answer that another has left. It is asked of the nodes, past near caches. */
  readonly lookup: Effect.Effect<Option.Option<A>, E | NoMoreServers, R>
  /** `reachable` is false where the lock's nodes have not answered: a caller is not to wait for yet another write. */
  readonly compute: (reachable: boolean) => Effect.Effect<A, E2, R2>
  /** Where the lock or the lookup is in an outage, and this succeeds, the value is computed all the same. */
  readonly onOutage: (error: NoMoreServers) => Effect.Effect<void, E3>
}

const isOutage = (error: { readonly _tag: string }): error is NoMoreServers => error._tag === "NoMoreServers"

/**
 * Computes when it is this process's turn, unless another has left an answer: that is looked up again and again while
 * others hold the lock, and once more when they no longer do. After `wait` the value is computed all the same.
 */
export const withLock = <A, E extends { readonly _tag: string }, R, E2, R2, E3>({
  compute,
  db,
  key,
  lookup,
  onOutage,
  options
}: Locked<A, E, R, E2, R2, E3>): Effect.Effect<A, E | E2 | E3 | KeyError, R | R2> =>
  Effect.suspend(() => {
    const lock = make(db, key, options)
    let answer = Option.none<A>()
    let reachable = false
    const turn = Effect.flatMap(lock.take, (held) => {
      reachable = true
      return Effect.map(lookup, (found) => {
        answer = found
        return held || Option.isSome(found)
      })
    })
    const turns = Effect.repeat(turn, { schedule: options.poll, until: (isOver) => isOver })
    const turnOrTimeout = Intent.run({ fresh: true }, turns).pipe(
      Effect.timeoutOption(options.wait),
      Effect.map(() => answer)
    )
    return turnOrTimeout.pipe(
      Effect.catchIf(isOutage, (error) => {
        reachable = false
        return Effect.as(onOutage(error), Option.none<A>())
      }),
      Effect.flatMap(
        (found): Effect.Effect<A, E2, R2> => (Option.isSome(found) ? Effect.succeed(found.value) : compute(reachable))
      ),
      Effect.ensuring(lock.release)
    )
  })

/** Computes where no other process holds the lock and no other has left an answer; none otherwise. */
export const tryWithLock = <A, E, R, E2, R2, E3>({
  compute,
  db,
  key,
  lookup,
  options
}: Omit<Locked<A, E, R, E2, R2, E3>, "onOutage" | "compute"> & {
  readonly compute: Effect.Effect<A, E2, R2>
}): Effect.Effect<Option.Option<A>, E | E2 | NoMoreServers | KeyError, R | R2> =>
  Effect.suspend(() => {
    const lock = make(db, key, options)
    const isWanted = Effect.flatMap(lock.take, (held) =>
      held ? Effect.map(lookup, Option.isNone) : Effect.succeed(false)
    )
    return Intent.run({ fresh: true }, isWanted).pipe(
      Effect.flatMap((wanted) => (wanted ? Effect.asSome(compute) : Effect.succeedNone)),
      Effect.ensuring(lock.release)
    )
  })
