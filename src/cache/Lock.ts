/**
 * A guard against stampedes across processes: one computes while the others wait for what it stores.
 *
 * The lock of a key is the entry `<key>#lock`, `{ "token": <random>, "until": <milliseconds since the epoch> }`, made
 * by `add`. Its deadline stands in the value because the server's TTL is late, and every `get` puts it off. Once the
 * deadline has passed by the `Clock` of a process that wants the lock, the holder counts as dead: that process deletes
 * the entry and adds its own, and among several the `add` decides.
 *
 * That is no mutual exclusion, which GhostDB has no command for. Two processes compute at the same time when the holder
 * takes longer than its lease, when a delete meant for a dead holder's lock hits that of its successor, when clocks
 * differ by more than the lease, when the lock's node fails over, and when a process has waited long enough.
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import { Ttl } from "../model/Ttl.js"
import * as ReservedKeys from "./ReservedKeys.js"

/** How processes take turns on a key. */
export interface LockOptions {
  /** After how long a holder counts as dead: longer than the effect should ever take. Default 10 seconds. */
  readonly lease?: Duration.DurationInput | undefined
  /** How long the others wait for the value before they compute it themselves. Default 5 seconds. */
  readonly wait?: Duration.DurationInput | undefined
  /** When those who wait look again. Default: every 50 milliseconds, give or take a fifth. */
  readonly poll?: Schedule.Schedule<unknown> | undefined
}

const defaults = {
  lease: Duration.seconds(10),
  wait: Duration.seconds(5),
  poll: Schedule.spaced("50 millis").pipe(Schedule.jittered)
}

const Holder = Schema.Struct({ token: Schema.String, until: Schema.Number })
const decode = Schema.decodeUnknownOption(Holder)

interface Lock {
  /** Whether this is the holder now, or there is none to wait for. */
  readonly take: Effect.Effect<boolean, NoMoreServers | KeyError>
  /** Ends the lock if it is still this holder's. Where that fails, the lease ends it. */
  readonly release: Effect.Effect<void>
}

const make = (db: GhostDBService, key: string, options: LockOptions): Lock => {
  const lockKey = ReservedKeys.lock(key)
  const lease = Duration.toMillis(options.lease ?? defaults.lease)
  const token = crypto.randomUUID()
  const isOwn = (found: Option.Option<unknown>) =>
    Option.exists(Option.flatMap(found, decode), (holder) => holder.token === token)
  let asked = false
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
      asked = true
      const added = yield* db.add(lockKey, { token, until: now + lease }, Ttl.forServer(lease))
      if (added === "STORED") return true
      // Another was first, or the reply was lost and the lock is this one's; or none can be had, so that there is
      // nothing to wait for: the client forgives an outage.
      const after = yield* db.get(lockKey)
      return Option.isNone(after) || isOwn(after)
    }),
    release: Effect.suspend(() =>
      asked
        ? db.get(lockKey).pipe(
            Effect.flatMap((found) => (isOwn(found) ? db.delete(lockKey) : Effect.void)),
            Effect.ignore
          )
        : Effect.void
    )
  }
}

/**
 * Computes the value when it is this process's turn, unless `lookup` finds the answer that another has left: it is
 * asked again and again while others hold the lock, and once more when they no longer do. After `wait` the value is
 * computed all the same, and so it is when the lock or the lookup is in an outage that `onOutage` forgives.
 */
export const withLock = <A, E extends KeyError | ParseError, E1, R, E2, R2, E3>(
  db: GhostDBService,
  key: string,
  options: LockOptions,
  lookup: Effect.Effect<Option.Option<Effect.Effect<A, E1>>, E | NoMoreServers, R>,
  compute: Effect.Effect<A, E2, R2>,
  onOutage: (error: NoMoreServers) => Effect.Effect<void, E3>
): Effect.Effect<A, E | E1 | E2 | E3 | KeyError, R | R2> =>
  Effect.suspend(() => {
    const lock = make(db, key, options)
    const turn = Effect.flatMap(lock.take, (held) =>
      Effect.map(lookup, (found) => (held || Option.isSome(found) ? Option.some(found) : Option.none()))
    )
    const turnOrTimeout = Effect.repeat(
      turn,
      Schedule.identity<Effect.Effect.Success<typeof turn>>().pipe(
        Schedule.untilInput(Option.isSome),
        Schedule.zipLeft(Schedule.upTo(options.poll ?? defaults.poll, options.wait ?? defaults.wait))
      )
    )
    return turnOrTimeout.pipe(
      Effect.map(Option.flatten),
      Effect.catchTag("NoMoreServers", (error) => Effect.as(onOutage(error), Option.none())),
      Effect.flatMap((found): Effect.Effect<A, E1 | E2, R2> => Option.getOrElse(found, () => compute)),
      Effect.ensuring(lock.release)
    )
  })

/** Runs the effect where no other process holds the lock and it is still wanted, and does nothing otherwise. */
export const tryWithLock = <E, R, B, E2, R2>(
  db: GhostDBService,
  key: string,
  options: LockOptions,
  isWanted: Effect.Effect<boolean, E, R>,
  effect: Effect.Effect<B, E2, R2>
): Effect.Effect<void, E | E2 | NoMoreServers | KeyError, R | R2> =>
  Effect.suspend(() => {
    const lock = make(db, key, options)
    return lock.take.pipe(
      Effect.flatMap((held) => (held ? isWanted : Effect.succeed(false))),
      Effect.flatMap((wanted) => (wanted ? Effect.asVoid(effect) : Effect.void)),
      Effect.ensuring(lock.release)
    )
  })
