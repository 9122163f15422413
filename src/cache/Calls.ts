/**
 * Work that callers of one key share: while it is under way, later callers wait for its result. The first caller leads:
 * it runs the work in its own fiber and context. Where it is interrupted, the next one that waits runs its own.
 *
 * A write of the key detaches what is under way: nobody joins it any more, and its result is not stored.
 */

import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Intent from "./Intent.js"

/** Work that is under way. */
export interface Call {
  readonly key: string
  /** Tells apart the calls of one key whose results differ. */
  readonly variant: string
  /** Callers that come later, by the monotonic clock in milliseconds, run their own. */
  readonly joinableUntil: number
  /** Made when first needed: most calls have one caller, and it costs as much as all else here. */
  result: Deferred.Deferred<unknown, unknown> | undefined
  /** How many wait for it. A call in the background ends with the last of them, unless it is kept. */
  waiting: number
  keep: boolean
  /** The key was written meanwhile, or the call was replaced: its result must not be stored. */
  detached: boolean
  /** Set while its result is being stored. */
  storing: Deferred.Deferred<void> | undefined
  /** Of a call in the background. */
  fiber: Fiber.Fiber<void> | undefined
}

/** How a call in the background runs. Times in milliseconds. */
export interface BackgroundOptions {
  /** It is interrupted then, and `onLimit` runs. */
  readonly limit: number
  readonly onLimit: Effect.Effect<void>
  /** For how long others may wait for it. */
  readonly joinableFor: number
  /** Whether it goes on when nobody waits. */
  readonly keep: boolean
}

/** The result of a call that ended without one: those who wait run their own. */
const gone = Symbol.for("effect-ghostdb/Calls/gone")

const millis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6

/** What is under way for one client. */
export class Calls {
  readonly #calls = new Map<string, Array<Call>>()

  /** The call that a caller may join now; one that can no longer be joined is detached. */
  joinable(clock: Clock.Clock, key: string, variant: string): Call | undefined {
    const call = this.#calls.get(key)?.find((call) => call.variant === variant)
    if (call === undefined || call.joinableUntil === Number.POSITIVE_INFINITY) return call
    if (millis(clock) < call.joinableUntil) return call
    call.detached = true
    this.#remove(call)
    return undefined
  }

  /**
   * Runs `lead` and shares its result, or waits for the result of another's. The second member tells whether this caller
   * led. All that is run for one key and variant must have one type.
   */
  share<A, E, R>(
    clock: Clock.Clock,
    key: string,
    variant: string,
    lead: (call: Call) => Effect.Effect<A, E, R>
  ): Effect.Effect<readonly [result: A, led: boolean], E, R> {
    return Effect.uninterruptibleMask((restore) => {
      const current = this.joinable(clock, key, variant)
      if (current !== undefined) {
        return restore(
          Effect.flatMap(this.wait<A, E>(clock, current), (result) =>
            Option.isSome(result)
              ? Effect.succeed([result.value, false] as const)
              : this.share(clock, key, variant, lead)
          )
        )
      }
      const call = this.#add(key, variant, Number.POSITIVE_INFINITY, false)
      return Effect.matchCauseEffect(restore(lead(call)), {
        onFailure: (cause) =>
          Effect.flatMap(FiberRef.get(FiberRef.interruptedCause), (interruption) => {
            // The effect's own interruption is its result; that of the caller is nobody else's.
            this.#complete(call, Cause.isEmpty(interruption) ? Exit.failCause(cause) : Exit.succeed(gone))
            return Effect.failCause(cause)
          }),
        onSuccess: (result) => {
          this.#complete(call, Exit.succeed(result))
          return Effect.succeed([result, true] as const)
        }
      })
    })
  }

  /**
   * {@link share} of many keys: `lead` runs once for those whose work is not under way, and gives the result of each call.
   * The results are in the order of the keys; none of them is given twice.
   */
  shareMany<A, E, R>(
    clock: Clock.Clock,
    keys: ReadonlyArray<string>,
    variant: string,
    lead: (calls: ReadonlyArray<Call>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>, never, R>
  ): Effect.Effect<ReadonlyArray<readonly [result: Exit.Exit<A, E>, led: boolean]>, never, R> {
    return Effect.uninterruptibleMask((restore) => {
      const joined = keys.map((key) => this.joinable(clock, key, variant))
      const led: Array<Call> = []
      for (const [index, call] of joined.entries()) {
        if (call === undefined) led.push(this.#add(keys[index] ?? "", variant, Number.POSITIVE_INFINITY, false))
      }
      const leading = led.length === 0 ? Effect.succeed([]) : restore(lead(led))
      return Effect.matchCauseEffect(leading, {
        onFailure: (cause) => {
          // Whoever waits runs its own: what has ended here may be this caller alone.
          for (const call of led) this.#complete(call, Exit.succeed(gone))
          return Effect.failCause(cause)
        },
        onSuccess: (results) => {
          let next = 0
          for (const [index, call] of led.entries()) this.#complete(call, results[index] ?? Exit.succeed(gone))
          return Effect.forEach(joined, (call, index) => {
            // Each call that was led has its result.
            if (call === undefined) return Effect.succeed([results[next++] as Exit.Exit<A, E>, true] as const)
            return Effect.matchCauseEffect(restore(this.wait<A, E>(clock, call)), {
              onFailure: (cause): Effect.Effect<readonly [Exit.Exit<A, E>, boolean]> =>
                Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.succeed([Exit.failCause(cause), false]),
              onSuccess: (result) =>
                Option.isSome(result)
                  ? Effect.succeed([Exit.succeed(result.value), false] as const)
                  : Effect.map(
                      this.shareMany(clock, [keys[index] ?? ""], variant, lead),
                      (again) =>
                        // One key has one result.
                        again[0] as readonly [Exit.Exit<A, E>, boolean]
                    )
            })
          })
        }
      })
    })
  }

  /**
   * Runs `lead` in the background, unless such a call is under way already. Where it gives none, and at its limit, those
   * who wait for it run their own.
   */
  background<A, E, R>(
    clock: Clock.Clock,
    key: string,
    variant: string,
    { joinableFor, keep, limit, onLimit }: BackgroundOptions,
    fork: (effect: Effect.Effect<void, never, R>) => Effect.Effect<Fiber.Fiber<void>, never, R>,
    lead: (call: Call) => Effect.Effect<Option.Option<A>, E, R>
  ): Effect.Effect<Call, never, R> {
    return Effect.suspend(() => {
      const current = this.joinable(clock, key, variant)
      if (current !== undefined) {
        if (keep) current.keep = true
        return Effect.succeed(current)
      }
      const call = this.#add(key, variant, millis(clock) + joinableFor, keep)
      call.result = this.#resultOf(call)
      return lead(call).pipe(
        // Effects that do not let themselves be interrupted must not hold up those who wait.
        Effect.disconnect,
        Effect.timeoutOption(limit),
        Effect.flatMap((result) => {
          if (Option.isSome(result)) return Effect.succeed(result.value)
          call.detached = true
          return Effect.as(onLimit, Option.none<A>())
        }),
        Effect.onExit((exit) =>
          Effect.sync(() =>
            this.#complete(
              call,
              Exit.isInterrupted(exit)
                ? Exit.succeed(gone)
                : Exit.map(exit, (result) => (Option.isSome(result) ? result.value : gone))
            )
          )
        ),
        Effect.exit,
        Effect.asVoid,
        fork,
        Effect.map((fiber) => {
          call.fiber = fiber
          return call
        })
      )
    }).pipe(Effect.uninterruptible)
  }

  /**
   * The result of a call: none where it ends without one, can no longer be waited for, or after `limit` milliseconds,
   * when it goes on all the same.
   */
  wait<A, E>(
    clock: Clock.Clock,
    call: Call,
    limit: number = Number.POSITIVE_INFINITY
  ): Effect.Effect<Option.Option<A>, E> {
    return Effect.uninterruptibleMask((restore) => {
      call.waiting++
      // Sound where what is run for one key and variant has one type.
      const result = Deferred.await(this.#resultOf(call)) as Effect.Effect<A | typeof gone, E>
      const wait = Effect.map(result, (value) => (value === gone ? Option.none<A>() : Option.some<A>(value)))
      const patience = Math.min(limit, Math.max(call.joinableUntil - millis(clock), 0))
      const bounded = Number.isFinite(patience)
        ? Effect.map(Effect.timeoutOption(wait, patience), Option.flatten)
        : wait
      return Effect.onExit(restore(bounded), (exit) => {
        call.waiting--
        if (!Exit.isInterrupted(exit)) {
          // Who has stopped waiting by choice wants the result nevertheless.
          if (Exit.isSuccess(exit) && Option.isNone(exit.value)) call.keep = true
          return Effect.void
        }
        if (call.waiting > 0 || call.keep || call.fiber === undefined) return Effect.void
        call.detached = true
        this.#remove(call)
        return Fiber.interruptFork(call.fiber)
      })
    })
  }

  /** A call that nobody joins: it tells whether its key is written meanwhile. `end` must follow. */
  begin(key: string): Call {
    return this.#add(key, "begun", Number.NEGATIVE_INFINITY, true)
  }

  /** The end of {@link begin}. */
  end(call: Call): void {
    this.#remove(call)
  }

  /**
   * The user is about to write a key: what is under way for it is detached. The effect, if any, waits for a result that
   * is being stored at this moment, which is older.
   */
  write(key: string): Effect.Effect<void> | undefined {
    let before: Effect.Effect<void> | undefined
    for (const call of this.#calls.get(key) ?? []) {
      call.detached = true
      if (call.storing === undefined) continue
      const stored = Deferred.await(call.storing)
      before = before === undefined ? stored : Effect.zipRight(before, stored)
    }
    this.#calls.delete(key)
    return before
  }

  /** {@link write} of every key. */
  writeAll(): void {
    for (const key of this.#calls.keys()) this.write(key)
  }

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.#calls.size === 0
  }

  /** Stores the result of a call, unless the key was written meanwhile. */
  store<A, E, R>(call: Call, store: Effect.Effect<A, E, R>): Effect.Effect<Option.Option<A>, E, R> {
    return Effect.suspend(() => {
      if (call.detached) return Effect.succeedNone
      const stored = Deferred.unsafeMake<void>(FiberId.none)
      call.storing = stored
      return Intent.run({ storing: true }, store).pipe(
        Effect.asSome,
        Effect.ensuring(
          Effect.sync(() => {
            call.storing = undefined
            Deferred.unsafeDone(stored, Exit.void)
          })
        )
      )
    })
  }

  #add(key: string, variant: string, joinableUntil: number, keep: boolean): Call {
    const call: Call = {
      key,
      variant,
      joinableUntil,
      result: undefined,
      waiting: 0,
      keep,
      detached: false,
      storing: undefined,
      fiber: undefined
    }
    const others = this.#calls.get(key)
    if (others === undefined) this.#calls.set(key, [call])
    else others.push(call)
    return call
  }

  #remove(call: Call): void {
    const calls = this.#calls.get(call.key)
    const at = calls?.indexOf(call) ?? -1
    if (calls === undefined || at < 0) return
    if (calls.length === 1) this.#calls.delete(call.key)
    else calls.splice(at, 1)
  }

  #complete(call: Call, exit: Exit.Exit<unknown, unknown>): void {
    this.#remove(call)
    if (call.result !== undefined) Deferred.unsafeDone(call.result, exit)
  }

  #resultOf(call: Call): Deferred.Deferred<unknown, unknown> {
    call.result ??= Deferred.unsafeMake(FiberId.none)
    return call.result
  }
}
