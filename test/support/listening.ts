import type * as Net from "node:net"
import { Effect, type Scope } from "effect"

/** The server listens on a loopback host, at a port that the system assigns, until the scope ends: the port. */
export const listening = (
  server: Net.Server,
  host: string,
  closeConnections: () => void
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.once("error", (error) => resume(Effect.die(error)))
        server.listen(0, host, () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          closeConnections()
        })
    ),
    () => {
      const bound = server.address()
      return typeof bound === "object" && bound !== null ? bound.port : 0
    }
  )
