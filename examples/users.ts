/** A typed store: values of a schema in the cache, and what becomes of entries of an older format. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Either, Option, Schema } from "effect"
import { GhostDB, GhostDBTest } from "effect-ghostdb"

class User extends Schema.Class<User>("User")({
  id: Schema.Number,
  name: Schema.String,
  joined: Schema.Date
}) {}

const users = GhostDB.forSchema(User, { prefix: "user:", ttl: 300, onDecodeError: "miss" })

const program = Effect.gen(function* () {
  yield* users.put("1", new User({ id: 1, name: "Ada", joined: new Date("2024-05-01") }))

  const { joined, name } = yield* Effect.flatten(users.get("1"))
  yield* Console.log(`${name}, here since ${joined.getFullYear()}`)
  yield* Console.log("stored as", Option.getOrNull(yield* GhostDB.get("user:1")))

  // An entry that a version before the last deploy has written: with onDecodeError "miss" it is as if it were not
  // there.
  yield* GhostDB.put("user:2", { id: 2, name: "Grace" })
  yield* Console.log("an old entry:", Option.isSome(yield* users.get("2")) ? "found" : "none")

  const many = yield* users.getMany(["1", "2", "3"])
  for (const [key, result] of many) {
    const text = Either.match(result, {
      onLeft: (error) => error.message,
      onRight: Option.match({ onNone: () => "none", onSome: ({ name }) => name })
    })
    yield* Console.log(`user ${key}: ${text}`)
  }
})

program.pipe(Effect.provide(GhostDBTest), NodeRuntime.runMain)
