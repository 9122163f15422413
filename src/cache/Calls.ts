/**
 * Work that callers of one key share: while it is under way, later callers wait for its result. The first caller leads:
 * it runs the work in its own fiber and context. Where it is interrupted, the next one that waits runs its own.
 *
 * A write of the key detaches what is under way: nobody joins it any more, and its result is not stored.
 */

import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Monotonic from "../model/Monotonic.js"
import * as Intent from "./Intent.js"

/** Work that is under way. */
export interface Call {
  readonly key: string
  /** Tells apart the calls of one key whose results differ. */
  readonly variant: string
  /** Callers that come later, by the monotonic clock in milliseconds, run their own. */
  joinableUntil: number
  /** Made when first needed: most calls have one caller, and it costs as much as all else here. */
  result: Deferred.Deferred<unknown, unknown> | undefined
  /** Set when it has ended: some may only then come to wait for it. */
  exit: Exit.Exit<unknown, unknown> | undefined
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

/** What {@link Calls.shareMany} gives for one key. */
export interface SharedResult<A, E> {
  /** Absent where the work has ended without a result. */
  readonly exit: Exit.Exit<A, E> | undefined
  /** Whether this caller has run the work. */
  readonly led: boolean
}

/** The result of a call that ended without one: those who wait run their own. */
const gone = Symbol.for("effect-ghostdb/Calls/gone")

/** Whether the fiber is interrupted, in a region that is uninterruptible. */
const isInterrupted = Effect.map(Effect.exit(Effect.interruptible(Effect.void)), Exit.isFailure)

/** Where a client keeps its calls. */
export interface Holder {
  /** Made with the first call. */
  calls: Calls | undefined
  /** How long a command takes at most, in milliseconds. */
  readonly deadline: number
  /** Whether what one caller has started may end without a word, since its request has: see `Transport.Connections`. */
  readonly isolatesCallers: boolean
}

/** The calls of a client. */
export const of = (holder: Holder): Calls => (holder.calls ??= make(holder))

/** No calls yet. */
export const make = ({ deadline, isolatesCallers }: Pick<Holder, "deadline" | "isolatesCallers">): Calls =>
  new Calls(isolatesCallers ? deadline : undefined)

/** What is under way for one client. */
export class Calls {
  readonly #calls = new Map<string, Array<Call>>()
  readonly #trust: number | undefined

  /** `trust`: milliseconds after which a call that another has started counts as gone. Default: it ends by itself. */
  constructor(trust?: number) {
    this.#trust = trust
  }

  /** Waits for a result; none where whoever makes it is gone. Goes on in the caller's own request, whoever makes it. */
  #await<A, E>(result: Deferred.Deferred<A, E>): Effect.Effect<Option.Option<A>, E> {
    const wait = Deferred.await(result)
    if (this.#trust === undefined) return Effect.map(wait, Option.some)
    const here = Effect.flatten(Effect.promise((signal) => Effect.runPromiseExit(wait, { signal })))
    return Effect.timeoutOption(here, this.#trust)
  }

  /** The call that a caller may join now; one that can no longer be joined is detached. */
  joinable(clock: Clock.Clock, key: string, variant: string): Call | undefined {
    const call = this.#calls.get(key)?.find((call) => call.variant === variant)
    if (call === undefined || call.joinableUntil === Number.POSITIVE_INFINITY) return call
    if (Monotonic.unsafeNow(clock) < call.joinableUntil) return call
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
          Effect.flatMap(isInterrupted, (interrupted) => {
            // The effect's own interruption is its result; that of the caller is nobody else's.
            this.complete(call, interrupted ? Exit.succeed(gone) : Exit.failCause(cause))
            return Effect.failCause(cause)
          }),
        onSuccess: (result) => {
          this.complete(call, Exit.succeed(result))
          return Effect.succeed([result, true] as const)
        }
      })
    })
  }

  /**
   * {@link share} of many keys: `lead` runs once for those whose work is not under way, and gives the exit of each call;
   * it may complete calls earlier. The results are in the order of the keys, which are distinct. Where `lead` gives no exit
   * for a call, there is none here, and those who wait for it run their own.
   */
  shareMany<A, E, R>(
    clock: Clock.Clock,
    keys: ReadonlyArray<string>,
    variant: string,
    lead: (calls: ReadonlyArray<Call>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E> | undefined>, never, R>
  ): Effect.Effect<ReadonlyArray<SharedResult<A, E>>, never, R> {
    return Effect.uninterruptibleMask((restore) => {
      const joined = keys.map((key) => this.joinable(clock, key, variant))
      const led = keys.flatMap((key, index) =>
        joined[index] === undefined ? this.#add(key, variant, Number.POSITIVE_INFINITY, false) : []
      )
      const leading = led.length === 0 ? Effect.succeed([]) : restore(lead(led))
      return Effect.matchCauseEffect(leading, {
        onFailure: (cause) => {
          // Whoever waits runs its own: what has ended here may be this caller alone.
          for (const call of led) this.complete(call, undefined)
          return Effect.failCause(cause)
        },
        onSuccess: (exits) => {
          for (const [index, call] of led.entries()) this.complete(call, exits[index])
          const results: Array<SharedResult<A, E>> = []
          let next = 0
          for (const [index, call] of joined.entries()) {
            if (call === undefined) results[index] = { exit: exits[next++], led: true }
          }
          return this.#join(clock, keys, variant, lead, joined, results, restore)
        }
      })
    })
  }

  /** Waits for the calls of others, one after the other; what ends without a result is shared anew, all at once. */
  #join<A, E, R>(
    clock: Clock.Clock,
    keys: ReadonlyArray<string>,
    variant: string,
    lead: (calls: ReadonlyArray<Call>) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E> | undefined>, never, R>,
    joined: ReadonlyArray<Call | undefined>,
    results: Array<SharedResult<A, E>>,
    restore: <B, F, S>(effect: Effect.Effect<B, F, S>) => Effect.Effect<B, F, S>
  ): Effect.Effect<ReadonlyArray<SharedResult<A, E>>, never, R> {
    const waiting = joined.flatMap((call, index) => (call === undefined ? [] : [{ call, index }]))
    if (waiting.length === 0) return Effect.succeed(results)
    const left: Array<number> = []
    const wait = ({ call, index }: (typeof waiting)[number]) =>
      Effect.map(Effect.exit(restore(this.wait<A, E>(clock, call))), (exit) => {
        if (Exit.isFailure(exit)) results[index] = { exit: Exit.failCause(exit.cause), led: false }
        else if (Option.isSome(exit.value)) results[index] = { exit: Exit.succeed(exit.value.value), led: false }
        else left.push(index)
      })
    return Effect.zipRight(
      Effect.forEach(waiting, (one) => Effect.zipRight(restore(Effect.void), wait(one)), { discard: true }),
      Effect.suspend(() => {
        if (left.length === 0) return restore(Effect.succeed(results))
        const again = this.shareMany(
          clock,
          left.map((index) => keys[index] ?? ""),
          variant,
          lead
        )
        return Effect.map(restore(again), (others) => {
          for (const [at, other] of others.entries()) results[left[at] ?? 0] = other
          return results
        })
      })
    )
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
      const call = this.#add(key, variant, Monotonic.unsafeNow(clock) + joinableFor, keep)
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
            this.complete(
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
      const result = this.#resultOf(call) as Deferred.Deferred<A | typeof gone, E>
      const wait = Effect.map(this.#await(result), (value) => {
        // With it has gone what it had begun for the key besides.
        if (Option.isNone(value)) this.#retire(call.key)
        return Option.flatMap(value, (value) => (value === gone ? Option.none<A>() : Option.some<A>(value)))
      })
      const patience = Math.min(limit, Math.max(call.joinableUntil - Monotonic.unsafeNow(clock), 0))
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
      const stored = this.#await(call.storing)
      before = before === undefined ? Effect.asVoid(stored) : Effect.zipLeft(before, stored)
    }
    this.#calls.delete(key)
    return before
  }

  /** {@link write} of every key. */
  writeAll(): void {
    for (const key of this.#calls.keys()) this.write(key)
  }

  /** Nobody joins what is under way now, and where another caller runs its own, its result is not stored. */
  retire(): void {
    for (const key of this.#calls.keys()) this.#retire(key)
  }

  #retire(key: string): void {
    for (const call of this.#calls.get(key) ?? []) call.joinableUntil = Number.NEGATIVE_INFINITY
  }

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.#calls.size === 0
  }

  /** Stores the results of calls at once: `store` is given those whose keys were not written meanwhile. */
  store<C extends { readonly call: Call }, A, E, R>(
    results: ReadonlyArray<C>,
    store: (wanted: ReadonlyArray<C>) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const wanted = results.filter(({ call }) => !call.detached)
      const stored = Deferred.unsafeMake<void>(FiberId.none)
      for (const { call } of wanted) call.storing = stored
      return Effect.ensuring(
        Intent.run({ storing: true }, store(wanted)),
        Effect.sync(() => {
          for (const { call } of wanted) call.storing = undefined
          Deferred.unsafeDone(stored, Exit.void)
        })
      )
    })
  }

  /** Ends a call, unless that has been done. Without an exit, those who wait for it run their own. */
  complete(call: Call, exit: Exit.Exit<unknown, unknown> = Exit.succeed(gone)): void {
    if (call.exit !== undefined) return
    call.exit = exit
    this.#remove(call)
    if (call.result !== undefined) Deferred.unsafeDone(call.result, exit)
  }

  #add(key: string, variant: string, joinableUntil: number, keep: boolean): Call {
    const call: Call = {
      key,
      variant,
      joinableUntil,
      result: undefined,
      exit: undefined,
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

  #resultOf(call: Call): Deferred.Deferred<unknown, unknown> {
    if (call.result !== undefined) return call.result
    const result = Deferred.unsafeMake<unknown, unknown>(FiberId.none)
    call.result = result
    if (call.exit !== undefined) Deferred.unsafeDone(result, call.exit)
    return result
  }
}
