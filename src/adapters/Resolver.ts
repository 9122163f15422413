/** The cache in front of a `RequestResolver`. */

import type { NonEmptyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { ParseError } from "effect/ParseResult"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as PerClient from "../cache/PerClient.js"
import type { Expiry } from "../cache/StoreOptions.js"
import type { Store } from "../GhostDB.js"
import { GhostDB } from "../GhostDB.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import { Ttl } from "../model/Ttl.js"
import * as ResolverBatch from "./ResolverBatch.js"

/**
 * Where the successes of requests are kept.
 *
 * @category options
 * @since 0.1.0
 */
export interface CachedOptions<
  Req extends Request.Request<unknown, unknown>,
  E extends ParseError,
  R,
  X extends Expiry,
  G = never
> {
  readonly store: Store<Request.Request.Success<Req>, E, R, X, G>
  /** The key of a request in the store. Requests with one key are one. */
  readonly key: (request: Req) => string
  /** 0: successes are not stored. Default: the store's. */
  readonly ttl?: Ttl | undefined
}

/**
 * A resolver that looks a batch of requests up in a store, asks the given resolver for those that are not there, in one
 * batch, and stores what it succeeds with. Failures are not stored. A request that cannot be looked up, for whatever
 * reason, is asked of the given resolver.
 *
 * Requests that fibers make at the same moment are one batch, too, each key once. A request that the given resolver
 * leaves open is interrupted, as it is without a cache, and no other; where `key` throws, that request dies of it.
 *
 * @example
 * import { Effect, Request, RequestResolver, Schema } from "effect"
 * import { GhostDB, Resolver } from "effect-ghostdb"
 *
 * class NameOf extends Request.TaggedClass("NameOf")<string, never, { readonly id: number }> {}
 *
 * const fromDatabase = RequestResolver.makeBatched((requests: ReadonlyArray<NameOf>) =>
 *   Effect.forEach(requests, (request) => Request.succeed(request, `user ${request.id}`), { discard: true })
 * )
 * const names = GhostDB.forSchema(Schema.String, { prefix: "name:", ttl: 300 })
 * const resolver = Resolver.cached(fromDatabase, { store: names, key: (request) => String(request.id) })
 *
 * const nameOf = (id: number) => Effect.request(new NameOf({ id }), resolver)
 *
 * const program = Effect.forEach([1, 2, 3, 2, 1], nameOf, { batching: true })
 *
 * @category constructors
 * @since 0.1.0
 */
export const cached = <
  Req extends Request.Request<unknown, unknown>,
  E extends ParseError,
  R,
  X extends Expiry,
  G = never
>(
  self: RequestResolver.RequestResolver<Req>,
  options: CachedOptions<Req, E, R, X, G>
): Effect.Effect<RequestResolver.RequestResolver<Req>, never, GhostDB | R> => {
  if (options.ttl !== undefined && options.ttl !== 0) Ttl.toMillis(options.ttl)
  /** The batches that requests can still join, by client. */
  const open = new WeakMap<GhostDBService, Batch<Req>>()

  const resolver = RequestResolver.makeBatched((requests: NonEmptyArray<Req>) =>
    Effect.flatMap(GhostDB, (db) => answer(db, self, options, open, requests))
  )
  return Effect.contextWith((context: Context.Context<GhostDB | R>) =>
    RequestResolver.mapInputContext(resolver, (_: Context.Context<never>) => context)
      // Equal for all requests of one traversal, which makes a batch of them.
      .identified("effect-ghostdb/cached", resolver, Context.get(context, GhostDB))
  )
}

type Result<Req extends Request.Request<unknown, unknown>> = Exit.Exit<
  Request.Request.Success<Req>,
  Request.Request.Error<Req>
>

const complete = <Req extends Request.Request<unknown, unknown>>(request: Req, exit: Result<Req>) =>
  // One type, which the compiler does not see while the request's is not known.
  Request.complete(request, exit as Request.Request.Result<Req>)

/** Requests that go to the cluster, and to the resolver, together. */
interface Batch<Req extends Request.Request<unknown, unknown>> {
  readonly byKey: Map<string, { readonly request: Req; readonly result: Deferred.Deferred<Result<Req>> }>
  waiting: number
  fiber: Fiber.Fiber<unknown> | undefined
}

/** Puts requests into a batch, and completes them when it has their results. */
const answer = <Req extends Request.Request<unknown, unknown>, E extends ParseError, R, X extends Expiry, G>(
  db: GhostDBService,
  self: RequestResolver.RequestResolver<Req>,
  options: CachedOptions<Req, E, R, X, G>,
  open: WeakMap<GhostDBService, Batch<Req>>,
  requests: ReadonlyArray<Req>
): Effect.Effect<void, never, GhostDB | R> =>
  Effect.gen(function* () {
    const joined = open.get(db)
    const batch: Batch<Req> = joined ?? { byKey: new Map(), waiting: 0, fiber: undefined }
    const waiting: Array<readonly [request: Req, result: Deferred.Deferred<Result<Req>>]> = []
    for (const request of requests) {
      const key = Either.try({ try: () => options.key(request), catch: (error) => error })
      if (Either.isLeft(key)) {
        yield* complete(request, Exit.die(key.left))
        continue
      }
      const known = batch.byKey.get(key.right) ?? { request, result: Deferred.unsafeMake<Result<Req>>(FiberId.none) }
      batch.byKey.set(key.right, known)
      waiting.push([request, known.result])
    }
    if (waiting.length === 0) return
    batch.waiting++
    if (joined === undefined) {
      open.set(db, batch)
      batch.fiber = yield* PerClient.of(db).fork(
        // Fibers that have begun at the same time get to join.
        Effect.zipRight(
          Effect.yieldNow(),
          Effect.suspend(() => {
            open.delete(db)
            return resolve(db, self, options, batch)
          })
        ).pipe(Effect.onExit((exit) => settle(batch, exit)))
      )
    }
    yield* Effect.forEach(
      waiting,
      ([request, result]) => Effect.flatMap(Deferred.await(result), (exit) => complete(request, exit)),
      { discard: true }
    ).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          batch.waiting--
          if (batch.waiting > 0 || batch.fiber === undefined) return Effect.void
          if (open.get(db) === batch) open.delete(db)
          return Fiber.interruptFork(batch.fiber)
        })
      )
    )
  })

/** Nobody waits forever: what a batch has not answered ends as the batch does. */
const settle = <Req extends Request.Request<unknown, unknown>>(batch: Batch<Req>, exit: Exit.Exit<unknown>) =>
  Effect.sync(() => {
    const otherwise: Result<Req> = Exit.isFailure(exit) ? Exit.failCause(exit.cause) : Exit.interrupt(FiberId.none)
    for (const { result } of batch.byKey.values()) Deferred.unsafeDone(result, Exit.succeed(otherwise))
  })

/** Completes the requests of a batch, from the store or by the resolver behind it. */
const resolve = <Req extends Request.Request<unknown, unknown>, E extends ParseError, R, X extends Expiry, G>(
  db: GhostDBService,
  self: RequestResolver.RequestResolver<Req>,
  { store, ttl }: CachedOptions<Req, E, R, X, G>,
  { byKey }: Batch<Req>
): Effect.Effect<void, never, GhostDB | R> =>
  ResolverBatch.resolve<Request.Request.Success<Req>, Request.Request.Error<Req>, E, R, X, G>({
    db,
    store,
    ttl,
    // Those who join later are of another batch.
    keys: [...byKey.keys()],
    ask: (missing) =>
      Effect.forEach(
        missing.flatMap((key) => byKey.get(key)?.request ?? []),
        (request) => Effect.exit(Effect.request(request, self)),
        // Effect does not interrupt the resolver of a traversal that is batched: a single request is not.
        { batching: missing.length > 1 }
      ).pipe(
        Effect.withRequestCaching(false),
        Effect.map((results) => results.map((result: Result<Req>, index) => [missing[index] ?? "", result] as const))
      ),
    finish: (key, exit) => {
      const known = byKey.get(key)
      if (known !== undefined) Deferred.unsafeDone(known.result, Exit.succeed(exit))
    }
  })
