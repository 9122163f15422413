/** Runs of effects that their callers share: while one is under way for a key, later callers of the key wait for it. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

export interface SingleFlight {
  /**
   * Runs the effect, or waits for the run of the key that is under way, in the context of its first caller. A caller
   * that is interrupted leaves the others alone; when the last one is, the run is interrupted too, and waited for.
   */
  readonly run: <A, E, R>(key: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Flight<A, E> {
  readonly result: Deferred.Deferred<A, E>
  fiber: Fiber.RuntimeFiber<void> | undefined
  callers: number
}

/**
 * Keys with nothing under way. All effects that are run for one key must have one type. (An `RcMap` has the same rules
 * of interruption, but its callers can start a key twice while one of them holds its lock.)
 */
export const make = (): SingleFlight => {
  const all = new Map<string, unknown>()
  return {
    run: <A, E, R>(key: string, effect: Effect.Effect<A, E, R>) =>
      Effect.uninterruptibleMask((restore) => {
        // Sound where the effects of one key have one type.
        const flights = all as Map<string, Flight<A, E>>
        const join = (flight: Flight<A, E>) =>
          Effect.ensuring(
            restore(Deferred.await(flight.result)),
            Effect.suspend(() => {
              flight.callers--
              if (flight.callers > 0 || flights.get(key) !== flight || flight.fiber === undefined) return Effect.void
              flights.delete(key)
              return Fiber.interrupt(flight.fiber)
            })
          )
        const current = flights.get(key)
        if (current !== undefined) {
          current.callers++
          return join(current)
        }
        const flight: Flight<A, E> = { result: Deferred.unsafeMake(FiberId.none), fiber: undefined, callers: 1 }
        flights.set(key, flight)
        return Effect.exit(Effect.interruptible(effect)).pipe(
          Effect.map((exit) => {
            if (flights.get(key) === flight) flights.delete(key)
            Deferred.unsafeDone(flight.result, exit)
          }),
          Effect.forkDaemon,
          Effect.flatMap((fiber) => {
            flight.fiber = fiber
            return join(flight)
          })
        )
      })
  }
}
