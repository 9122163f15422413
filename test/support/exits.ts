// Run as a process of its own: it must end without being told to.
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { GhostDB, GhostDBLive, NodeServer } from "effect-ghostdb"

const program = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 2 })
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped()
  yield* fs.writeFileString(file, servers.map(({ address }) => address).join("\n"))
  yield* GhostDB.put("key", 1).pipe(
    Effect.tap(Console.log),
    // Left behind dead, so that revival is under way when the scope closes.
    Effect.zipRight(Effect.forEach(servers, ({ stop }) => stop)),
    Effect.zipRight(Effect.flip(GhostDB.get("key"))),
    Effect.provide(GhostDBLive(file))
  )
})

void Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
