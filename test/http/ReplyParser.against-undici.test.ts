import type { Buffer } from "node:buffer"
import * as Net from "node:net"
import { Undici } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { invalidCases, maxBodyBytes, recorded, validCases } from "./reply-cases.js"

describe("against undici", () => {
  type Answer = { readonly status: number; readonly body: string } | { readonly refused: string }

  /** What undici makes of the bytes as the reply to a POST, the connection closed behind them. */
  const ask = (bytes: Buffer): Effect.Effect<Answer> =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const server = Net.createServer((socket) => {
            socket.on("error", () => {})
            socket.once("data", () => socket.end(bytes))
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          return new Undici.Client(`http://127.0.0.1:${port}`, { maxResponseSize: maxBodyBytes })
        }),
        (client) => Effect.promise(() => client.destroy())
      )
      return yield* Effect.promise(() =>
        client
          .request({ path: "/get", method: "POST", body: "{}" })
          .then(async ({ body, statusCode }): Promise<Answer> => ({ status: statusCode, body: await body.text() }))
          .catch((error): Answer => ({ refused: String(error) }))
      )
    }).pipe(Effect.scoped)

  it.live("valid replies: the same status and the same body, but for those with a reason to be looser", () =>
    Effect.gen(function* () {
      const cases = [
        ...validCases.map(({ bytes, looser, name, outcome }) => ({ name, bytes, reply: outcome.replies[0], looser })),
        ...recorded.map(({ bytes, reply }) => ({ name: bytes.toString(), bytes, reply, looser: undefined }))
      ]
      const answers = yield* Effect.forEach(cases, ({ bytes }) => ask(bytes), { concurrency: 16 })
      cases.forEach(({ looser, name, reply }, i) => {
        const refused = { refused: expect.any(String) }
        expect(answers[i], name).toEqual(looser === undefined ? { status: reply?.[0], body: reply?.[1] } : refused)
      })
    })
  )

  it.live("violations: refused by both, but for those with a reason to be stricter", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.forEach(invalidCases, ({ bytes }) => ask(bytes), { concurrency: 16 })
      const stricter = invalidCases.filter((_, i) => !("refused" in (answers[i] ?? {}))).map(({ name }) => name)
      expect(stricter).toEqual(invalidCases.filter((one) => one.stricter !== undefined).map(({ name }) => name))
    })
  )
})
