/** One loader for the keys that are asked for at the same moment. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

/** Gives the values of many keys: of those that it knows, in any order. */
export type Loader<A, E, R> = (
  keys: ReadonlyArray<string>
) => Effect.Effect<Iterable<readonly [key: string, value: A]>, E, R>

/** The keys of one run of the loader. */
interface Load<A, E> {
  readonly results: Map<string, Deferred.Deferred<A, E>>
  waiting: number
  fiber: Fiber.Fiber<void> | undefined
}

/**
 * The value of a key from the loader, which is run once for all keys that are asked for until it begins. Where it gives no
 * value for the key, whoever asks for it is interrupted: that is nobody else's result, and others run their own.
 *
 * A run belongs to those who wait for it, and ends with the last of them.
 */
export const make = <A, E, R>(loader: Loader<A, E, R>): ((key: string) => Effect.Effect<A, E, R>) => {
  let open: Load<A, E> | undefined

  const run = (load: Load<A, E>): Effect.Effect<void, never, R> =>
    Effect.matchCause(
      Effect.suspend(() => {
        if (open === load) open = undefined
        return loader([...load.results.keys()])
      }),
      {
        onFailure: (cause) => {
          for (const result of load.results.values()) Deferred.unsafeDone(result, Exit.failCause(cause))
        },
        onSuccess: (values) => {
          for (const [key, value] of values) {
            const result = load.results.get(key)
            load.results.delete(key)
            if (result !== undefined) Deferred.unsafeDone(result, Exit.succeed(value))
          }
          for (const result of load.results.values()) Deferred.unsafeDone(result, absent)
        }
      }
    )

  const join = (load: Load<A, E>, key: string): Deferred.Deferred<A, E> => {
    const known = load.results.get(key)
    if (known !== undefined) return known
    const result = Deferred.unsafeMake<A, E>(FiberId.none)
    load.results.set(key, result)
    return result
  }

  return (key) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const load: Load<A, E> = open ?? { results: new Map(), waiting: 0, fiber: undefined }
        const result = join(load, key)
        load.waiting++
        if (open === undefined) {
          open = load
          // Those that are asked for in the same moment get to join.
          const soon = Effect.zipRight(Effect.yieldNow(), Effect.zipRight(Effect.yieldNow(), run(load)))
          load.fiber = yield* Effect.forkDaemon(Effect.interruptible(soon))
        }
        return yield* Effect.onExit(restore(orInterrupted(result)), (exit) => {
          load.waiting--
          if (!Exit.isInterrupted(exit) || load.waiting > 0) return Effect.void
          if (open === load) open = undefined
          return load.fiber === undefined ? Effect.void : Fiber.interruptFork(load.fiber)
        })
      })
    )
}

/** The loader has no value for a key. */
const absent = Exit.interrupt(FiberId.none)

const orInterrupted = <A, E>(result: Deferred.Deferred<A, E>): Effect.Effect<A, E> =>
  Effect.catchAllCause(Deferred.await(result), (cause) =>
    Cause.isInterruptedOnly(cause)
      ? Effect.withFiberRuntime((fiber) => {
          fiber.unsafeInterruptAsFork(FiberId.none)
          return Effect.never
        })
      : Effect.failCause(cause)
  )
