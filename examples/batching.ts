/** Many keys at once, and the cache in front of a `RequestResolver`: no N+1 queries, and no key asked for twice. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Either, Option, Request, RequestResolver, Schema } from "effect"
import { GhostDB, GhostDBTest, Resolver } from "effect-ghostdb"

class UserById extends Request.TaggedClass("UserById")<string, never, { readonly id: number }> {}

/** One query for all the users of a batch. */
const database = RequestResolver.makeBatched((requests: ReadonlyArray<UserById>) =>
  Effect.zipRight(
    Console.log(`  SELECT name FROM users WHERE id IN (${requests.map(({ id }) => id).join(", ")})`),
    Effect.forEach(requests, (request) => Request.succeed(request, `user ${request.id}`), { discard: true })
  )
)

const names = GhostDB.forSchema(Schema.String, { prefix: "name:", ttl: 300 })

const cached = Resolver.cached(database, { store: names, key: ({ id }) => String(id) })

const nameOf = (id: number) => Effect.request(new UserById({ id }), cached)

const program = Effect.gen(function* () {
  yield* Console.log("posts by 1, 2, 1, 3:")
  yield* Effect.forEach([1, 2, 1, 3], nameOf, { batching: true })
  yield* Console.log("posts by 3, 4, 2, 5:")
  const found = yield* Effect.forEach([3, 4, 2, 5], nameOf, { batching: true })
  yield* Console.log(`  ${found.join(", ")}`)

  // Without requests: each key has its result or its error, none is left out in silence.
  const stored = yield* GhostDB.putMany([
    ["a", 1],
    ["b", { two: 2 }]
  ])
  yield* Console.log("putMany:", [...stored].map(([key, result]) => `${key} ${Either.merge(result)}`).join(", "))
  const values = yield* GhostDB.getMany(["a", "b", "c"])
  for (const [key, result] of values) yield* Console.log(`${key}:`, Option.getOrNull(yield* result))
})

program.pipe(Effect.provide(GhostDBTest), NodeRuntime.runMain)
