/** Code that is written for the `KeyValueStore` of `@effect/platform`, on an embedded GhostDB cluster. */
import { KeyValueStore } from "@effect/platform"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Option, Schema } from "effect"
import { Client, NodeServer, SocketTransport } from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"

const Session = Schema.Struct({ user: Schema.String, since: Schema.Date })

const program = Effect.gen(function* () {
  const store = yield* KeyValueStore.KeyValueStore

  yield* store.set("motd", "hello")
  yield* Console.log(yield* Effect.flatten(store.modify("motd", (text) => `${text}, world`)))

  yield* store.set("thumbnail", Uint8Array.of(137, 80, 78, 71))
  const bytes = yield* Effect.flatten(store.getUint8Array("thumbnail"))
  yield* Console.log(`${bytes.length} bytes`)

  const sessions = KeyValueStore.prefix(store.forSchema(Session), "session/")
  yield* sessions.set("s1", { user: "ada", since: new Date(0) })
  const { since, user } = yield* Effect.flatten(sessions.get("s1"))
  yield* Console.log(`${user}, since ${since.toISOString()}`)

  yield* store.clear
  yield* Console.log(`after clear: ${Option.getOrElse(yield* store.get("motd"), () => "nothing")}`)
})

const cluster = NodeServer.cluster({ nodes: 3 }).pipe(
  Effect.map((servers) => Client.layer({ nodes: servers.map(({ address }) => address) })),
  Layer.unwrapScoped,
  Layer.provide(SocketTransport.layer)
)

const store = GhostDBKeyValueStore.layer({ prefix: "my-app", ttl: 3600 }).pipe(Layer.provide(cluster))

program.pipe(Effect.provide(store), NodeRuntime.runMain)
