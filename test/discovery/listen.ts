import { createServer, type RequestListener, type Server } from "node:http"
import { Effect } from "effect"

/** An HTTP server on loopback until the scope ends: its host and port. */
export const listen = (onRequest: RequestListener) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const http = createServer(onRequest)
        http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
      }),
      (http) =>
        Effect.async<void>((resume) => {
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        })
    ),
    (http) => {
      const address = http.address()
      return `127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`
    }
  )
