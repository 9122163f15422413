/** Resolvers of the tests in the shape of Effect 3: the batch is a list of requests, which are completed one by one. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"

/** A resolver of one request at a time. */
export const fromFunction = <Req extends Request.Any>(
  f: (request: Req) => Request.Success<Req>
): RequestResolver.RequestResolver<Req> => RequestResolver.fromFunction<Req>(({ request }) => f(request))

const entries = new WeakMap<object, Request.Entry<never>>()

export const makeBatched = <Req extends Request.Any, R>(
  run: (requests: ReadonlyArray<Req>) => Effect.Effect<void, never, R>
): RequestResolver.RequestResolver<Req> =>
  RequestResolver.make<Req>((batch) => {
    for (const entry of batch) entries.set(entry.request, entry as Request.Entry<never>)
    return run(batch.map(({ request }) => request)) as Effect.Effect<void>
  })

export const complete = (request: object, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.sync(() => entries.get(request)?.completeUnsafe(exit as never))

export const succeed = (request: object, value: unknown): Effect.Effect<void> => complete(request, Exit.succeed(value))

export const fail = (request: object, error: unknown): Effect.Effect<void> => complete(request, Exit.fail(error))
