/** Runs of effects that their callers share: while one is under way for a key, later callers of the key wait for it. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

export interface SingleFlight {
  /**
   * Runs the effect, or waits for the run of the key that is under way, in the context of its first caller. A caller
   * that is interrupted leaves the others alone; when the last one is, the run is interrupted too, and waited for.
   */
  readonly run: <A, E, R>(key: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Looks up, and then runs what that gives. An `Exit` is nothing to run: it costs no fiber, since the first caller looks
   * up in its own. The lookup starts anew for the others where that caller is interrupted meanwhile; what is run after
   * it is shared as by `run`.
   */
  readonly find: <A, E, R, E2, R2>(
    key: string,
    lookup: Effect.Effect<Effect.Effect<A, E, R>, E2, R2>
  ) => Effect.Effect<A, E | E2, R | R2>
}

interface Flight<A, E> {
  /** Made when first needed: most lookups have one caller, and it costs as much as all else here. */
  result: Deferred.Deferred<A, E> | undefined
  /** Undefined while the first caller looks up. */
  fiber: Fiber.RuntimeFiber<void> | undefined
  callers: number
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const resultOf = <A, E>(flight: Flight<A, E>): Deferred.Deferred<A, E> => {
  flight.result ??= Deferred.unsafeMake(FiberId.none)
  return flight.result
}

const isExit = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Exit.Exit<A, E> => Exit.isExit(effect)

/**
 * Keys with nothing under way. `onShared` is run by each caller that waits for another's run. All effects that are run for one key must have one type. (An `RcMap` has the same rules
 * of interruption, but its callers can start a key twice while one of them holds its lock.)
 */
export const make = (onShared: Effect.Effect<void>): SingleFlight => {
  const flights = new Map<string, unknown>()

  const share = <A, E, R>(
    key: string,
    start: (flight: Flight<A, E>, restore: Restore) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) => {
      // Sound where the effects of one key have one type.
      const current = flights.get(key) as Flight<A, E> | undefined
      if (current !== undefined) {
        current.callers++
        return Effect.zipRight(onShared, join(key, current, restore))
      }
      const flight: Flight<A, E> = { result: undefined, fiber: undefined, callers: 1 }
      flights.set(key, flight)
      return start(flight, restore)
    })

  /** One caller less; the last one ends the flight. */
  const leave = <A, E>(key: string, flight: Flight<A, E>) =>
    Effect.suspend(() => {
      flight.callers--
      if (flight.callers > 0 || flights.get(key) !== flight || flight.fiber === undefined) return Effect.void
      flights.delete(key)
      return Fiber.interrupt(flight.fiber)
    })

  const join = <A, E>(key: string, flight: Flight<A, E>, restore: Restore): Effect.Effect<A, E> =>
    Effect.ensuring(restore(Deferred.await(resultOf(flight))), leave(key, flight))

  const land = <A, E>(key: string, flight: Flight<A, E>, exit: Exit.Exit<A, E>): void => {
    if (flights.get(key) === flight) flights.delete(key)
    if (flight.result !== undefined) Deferred.unsafeDone(flight.result, exit)
  }

  /** Runs the effect in a fiber that outlives any one caller. */
  const takeOff = <A, E, R>(key: string, flight: Flight<A, E>, effect: Effect.Effect<A, E, R>) => {
    // It may have landed before anyone waits.
    flight.result = resultOf(flight)
    return Effect.exit(Effect.interruptible(effect)).pipe(
      Effect.map((exit) => land(key, flight, exit)),
      Effect.forkDaemon,
      Effect.map((fiber) => {
        flight.fiber = fiber
      })
    )
  }

  return {
    run: (key, effect) =>
      share(key, (flight, restore) => Effect.zipRight(takeOff(key, flight, effect), join(key, flight, restore))),
    find: <A, E, R, E2, R2>(key: string, lookup: Effect.Effect<Effect.Effect<A, E, R>, E2, R2>) =>
      share<A, E | E2, R | R2>(key, (flight, restore) =>
        Effect.matchCauseEffect(restore(lookup), {
          onFailure: (cause) => {
            if (flight.callers > 1 && Cause.isInterrupted(cause)) {
              // It counts until the fiber is known: the others may leave meanwhile.
              return takeOff(key, flight, Effect.flatten(lookup)).pipe(
                Effect.zipRight(leave(key, flight)),
                Effect.zipRight(Effect.failCause(cause))
              )
            }
            land(key, flight, Exit.failCause(cause))
            return Effect.failCause(cause)
          },
          onSuccess: (effect) => {
            if (!isExit(effect)) {
              return Effect.zipRight(takeOff(key, flight, effect), join(key, flight, restore))
            }
            land(key, flight, effect)
            return effect
          }
        })
      )
  }
}
