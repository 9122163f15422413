/**
 * A `PersistedCache` of `@effect/experimental`: results in memory, behind them in the cluster, behind that the lookup.
 */
import { PersistedCache } from "@effect/experimental"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Exit, Layer, PrimaryKey, Schema } from "effect"
import { GhostDBTest } from "effect-ghostdb"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String }) {}

class GetUser extends Schema.TaggedRequest<GetUser>()("GetUser", {
  success: User,
  failure: Schema.Literal("NotFound"),
  payload: { id: Schema.Number }
}) {
  [PrimaryKey.symbol]() {
    return `user:${this.id}`
  }
}

const makeUsers = PersistedCache.make({
  storeId: "users",
  lookup: ({ id }: GetUser) =>
    Console.log(`  looking up user ${id}`).pipe(
      Effect.zipRight(
        id > 100 ? Effect.fail("NotFound" as const) : Effect.succeed(new User({ id, name: `user ${id}` }))
      )
    ),
  // Exact, although GhostDB's servers expire late: a failure for 5 seconds, a user for an hour.
  timeToLive: (_, exit) => (Exit.isSuccess(exit) ? "1 hour" : "5 seconds")
})

const program = Effect.gen(function* () {
  const users = yield* makeUsers
  yield* Console.log("this process:")
  yield* users.get(new GetUser({ id: 1 }))
  yield* users.get(new GetUser({ id: 1 }))
  yield* Effect.flip(users.get(new GetUser({ id: 404 })))

  yield* Console.log("the next process, with nothing in memory:")
  const others = yield* makeUsers
  const { name } = yield* others.get(new GetUser({ id: 1 }))
  yield* Console.log(`  ${name}, and 404 is ${yield* Effect.flip(others.get(new GetUser({ id: 404 })))}`)

  yield* users.invalidate(new GetUser({ id: 1 }))
  yield* Console.log("after invalidate:")
  yield* users.get(new GetUser({ id: 1 }))
})

const persistence = GhostDBPersistence.layerResult().pipe(Layer.provide(GhostDBTest))

program.pipe(Effect.scoped, Effect.provide(persistence), NodeRuntime.runMain)
