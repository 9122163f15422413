/**
 * The nodes of the soak, in a process of their own: started and stopped by messages `[command, index]`. Over TLS where
 * its argument is `tls`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Queue } from "effect"
import { NodeServer } from "effect-ghostdb"
import { serverTls } from "../support/tls.js"

const program = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 5, ...(process.argv[2] === "tls" ? { tls: serverTls } : {}) })
  const messages = yield* Queue.unbounded<readonly ["start" | "stop", number]>()
  process.on("message", (message: readonly ["start" | "stop", number]) => messages.unsafeOffer(message))
  process.on("disconnect", () => process.exit(0))
  process.send?.(servers.map(({ address }) => address))
  return yield* Queue.take(messages).pipe(
    Effect.flatMap(([command, index]) => {
      const server = servers[index]
      return server === undefined ? Effect.void : command === "stop" ? server.stop : server.start()
    }),
    Effect.forever
  )
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
