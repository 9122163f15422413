/** A transport over undici's `dispatch`: a second one, to measure against and to show that `Transport` is an interface. */

import { Undici } from "@effect/platform-node"
import { Effect, Exit, Layer } from "effect"
import type { Fault } from "effect-ghostdb"
import { type Connections, Transport } from "effect-ghostdb/Transport"
import { failureOfSystemError } from "../../src/http/SystemError.js"
import { stringOf, textOf } from "../../src/model/Exchange.js"

/** The headers that every request of the benchmark has. */
export const headers = { "content-type": "application/json" }

/** How undici is made to pipeline a POST. */
export const pipelined = { method: "POST", headers, idempotent: true, blocking: false } as const

/** The status and the body of a reply, or the error that there was instead. */
export const dispatch = (
  dispatcher: Undici.Dispatcher,
  command: string,
  body: string,
  onReply: (status: number, body: string) => void,
  onError: (error: Error) => void
): void => {
  let status = 0
  const chunks: Array<Buffer> = []
  dispatcher.dispatch(
    { ...pipelined, path: `/${command}`, body },
    // The handler of undici's own insides; the newer kind parses all headers into an object first.
    {
      onConnect() {},
      onHeaders(statusCode) {
        status = statusCode
        return true
      },
      onData(chunk) {
        chunks.push(chunk)
        return true
      },
      onComplete() {
        onReply(status, chunks.length === 1 ? String(chunks[0]) : Buffer.concat(chunks).toString())
      },
      onError
    }
  )
}

/** Pipelines `pipelining` requests on each connection. */
export const layer = (pipelining: number): Layer.Layer<Transport> =>
  Layer.succeed(Transport, {
    connect: ({ attemptTimeout, connections, protocol }) =>
      Effect.gen(function* () {
        const pools = new Map<string, Undici.Pool>()
        const close = (node: string) =>
          Effect.promise(async () => {
            const pool = pools.get(node)
            pools.delete(node)
            await pool?.destroy()
          })
        yield* Effect.addFinalizer(() => Effect.forEach([...pools.keys()], close, { discard: true }))
        const made: Connections = {
          post: (node, command, body) =>
            Effect.async((resume) => {
              let pool = pools.get(node)
              if (pool === undefined) {
                pool = new Undici.Pool(`${protocol}://${node}`, {
                  connections,
                  pipelining,
                  headersTimeout: attemptTimeout,
                  bodyTimeout: attemptTimeout,
                  connect: { timeout: attemptTimeout }
                })
                pools.set(node, pool)
              }
              const fail = (error: Error) => resume(Exit.fail<Fault>(failureOfSystemError(error)))
              dispatch(
                pool,
                command,
                stringOf(textOf(body) ?? ""),
                (status, body) => resume(Exit.succeed({ status, body })),
                fail
              )
            }),
          interrupt: close,
          release: close
        }
        return made
      })
  })
