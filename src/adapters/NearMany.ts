/** The commands of a near cache on many keys. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Intent from "../cache/Intent.js"
import type * as ManyKeys from "../cache/ManyKeys.js"
import * as ReservedKeys from "../cache/ReservedKeys.js"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import type { Ttl } from "../model/Ttl.js"
import type { Ask, NearRequests } from "./NearRequests.js"

/** What a write of one key answers. */
export type Written = StoreResult | DeleteResult

/** What is held in this process, and what is done to it. */
export interface Tier {
  readonly requests: NearRequests
  /** What is held of a key; counts a hit where there is something. */
  readonly find: (key: string) => Option.Option<Json> | undefined
  /** So many more keys are asked of nodes. The number of all of them until now. */
  readonly missed: (count: number) => number
  /** A write of a key has ended: with a result, or in a way that does not tell whether a node carries it out. */
  readonly written: (key: string, result: Written | undefined, ttl: Ttl | undefined) => void
  /** Tells other processes of writes. */
  readonly tell: (keys: ReadonlyArray<string>) => Effect.Effect<void>
}

/** Whether the near cache has to do with a key. One of untyped code is left to the client to refuse. */
export const isNear = (key: string): boolean => typeof key === "string" && !ReservedKeys.isVolatile(key)

/** How keys are asked with an intent, after so many misses. What is asked for anew must not be answered by an older request. */
export const asking = (intent: Intent.Intent, misses: number, ask: Ask["ask"]): Ask => {
  const { fresh, holdFor = Number.POSITIVE_INFINITY, strict } = intent
  return {
    variant: fresh === true ? `fresh ${misses}` : strict === true ? "strict" : "",
    holdFor,
    // The request has a fiber of its own, which has no intent of the one that starts it.
    ask: (keys, onFound) => Intent.run(intent, ask(keys, onFound))
  }
}

/** The commands before those of the client. */
export const make = (far: ManyKeys.ManyKeys, tier: Tier): ManyKeys.ManyKeys => {
  const fetch = (keys: ReadonlyArray<string>, intent: Intent.Intent) =>
    tier.requests.get(
      keys,
      asking(intent, tier.missed(keys.length), (asked, onFound) => {
        const onResult = (index: number, result: ManyKeys.KeyResult<Option.Option<Json>>) =>
          onFound(index, Exit.fromEither(result))
        return Effect.map(far.get(asked, onResult), (results) => results.forEach((result, at) => onResult(at, result)))
      })
    )

  const get: ManyKeys.ManyKeys["get"] = (keys) =>
    Effect.flatMap(Intent.current, (intent) => {
      const results: Array<ManyKeys.KeyResult<Option.Option<Json>>> = []
      const missing: Array<readonly [index: number, key: string]> = []
      const others: Array<readonly [index: number, key: string]> = []
      for (const [index, key] of keys.entries()) {
        const found = !isNear(key) || intent.fresh === true ? undefined : tier.find(key)
        if (found !== undefined) results[index] = Either.right(found)
        else (isNear(key) ? missing : others).push([index, key])
      }
      if (missing.length + others.length === 0) return Effect.succeed(results)
      const near = Effect.flatMap(
        Effect.suspend(() =>
          fetch(
            missing.map(([, key]) => key),
            intent
          )
        ),
        (fetched) =>
          Effect.forEach(
            fetched,
            (exit, at) =>
              Effect.map(resultOf(exit), (result) => {
                results[missing[at]?.[0] ?? 0] = result
              }),
            { discard: true }
          )
      )
      const rest = Effect.map(far.get(others.map(([, key]) => key)), (fetched) => {
        for (const [at, result] of fetched.entries()) results[others[at]?.[0] ?? 0] = result
      })
      return Effect.as(
        Effect.all([missing.length > 0 ? near : Effect.void, others.length > 0 ? rest : Effect.void], {
          concurrency: "unbounded",
          discard: true
        }),
        results
      )
    })

  /** What was held before goes after the write, and so do gets that may have been answered before. */
  const writing = <A extends Written>(
    keys: ReadonlyArray<string>,
    ttls: ReadonlyArray<Ttl> | undefined,
    write: Effect.Effect<ReadonlyArray<ManyKeys.KeyResult<A>>>
  ) =>
    Effect.onExit(write, (exit) => {
      const near = keys.filter((key) => typeof key === "string")
      for (const [index, key] of keys.entries()) {
        if (typeof key !== "string") continue
        const result = Exit.isSuccess(exit) ? exit.value[index] : undefined
        tier.written(key, result?._tag === "Right" ? result.right : undefined, ttls?.[index])
      }
      return tier.tell(near)
    })
  const keysOf = (entries: ReadonlyArray<ManyKeys.Entry>) => entries.map(({ key }) => key)
  const ttlsOf = (entries: ReadonlyArray<ManyKeys.Entry>) => entries.map(({ ttl }) => ttl)
  return {
    get,
    put: (entries) => writing(keysOf(entries), ttlsOf(entries), far.put(entries)),
    add: (entries) => writing(keysOf(entries), ttlsOf(entries), far.add(entries)),
    delete: (keys) => writing(keys, undefined, far.delete(keys))
  }
}

/** A client gives one for each key. */
export const noResult = Exit.die(new Error("a command on many keys has no result for one of them"))

/** A failure with an error of the command is its result. */
const resultOf = <A>(exit: Exit.Exit<A, NoMoreServers | KeyError>): Effect.Effect<ManyKeys.KeyResult<A>> =>
  Exit.match(exit, {
    onSuccess: (value) => Effect.succeed(Either.right(value)),
    onFailure: (cause) =>
      Either.match(Cause.failureOrCause(cause), {
        onLeft: (error) => Effect.succeed(Either.left(error)),
        onRight: Effect.failCause
      })
  })
