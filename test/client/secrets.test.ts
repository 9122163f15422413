import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Inspectable, Layer, Redacted } from "effect"
import { type ClientOptions, GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { recorder } from "../support/recorder.js"
import { client } from "../support/scene.js"
import * as Tracers from "../support/Tracers.js"

describe.concurrent("secrets", () => {
  const secret = "s3cr3t-t0k3n"

  it.scopedLive("headers reach the node, and no log, no error, no span", () =>
    Effect.gen(function* () {
      const log = recorder()
      const { spans, tracer } = Tracers.keeping(yield* Effect.tracer)
      const errors: Array<unknown> = []
      const node = yield* HostileServer.make()
      const options: Partial<ClientOptions> = {
        headers: { Authorization: Redacted.make(`Bearer ${secret}`), "X-Plain": secret },
        failureThreshold: 100,
        attemptTimeout: "500 millis"
      }
      const context = yield* Layer.build(client([node], options)).pipe(Effect.provide(log.layer))
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* GhostDB.put("key", secret), "STORED")
        for (const { head } of node.requests) {
          assert.include(head, `\r\nAuthorization: Bearer ${secret}\r\nX-Plain: ${secret}`)
        }
        assert.deepStrictEqual(
          node.requests.map(({ command }) => command),
          ["ping", "put"]
        )
        // What comes back of it, however it comes, is not shown either.
        const echo: HostileServer.Behaviour = ({ request, write }) =>
          write(HostileServer.http(HostileServer.envelope(request.head, request.head.replaceAll("\r\n", " "), 0)))
        yield* Effect.forEach(
          [
            "answers HTTP 500",
            "sends garbage",
            "resets the connection",
            "accepts and never answers",
            "answers in the v1 dialect",
            echo,
            ({ request, write }) => write(`HTTP/1.1 ${request.head}\r\n\r\n`),
            ({ request, write }) => write(HostileServer.http(request.head))
          ] satisfies ReadonlyArray<HostileServer.Hostility | HostileServer.Behaviour>,
          (behaviour) =>
            Effect.zipRight(
              node.behave(behaviour),
              Effect.map(Effect.exit(GhostDB.put("key", secret)), (exit) => errors.push(exit))
            )
        )
        yield* node.stop
        errors.push(yield* Effect.exit(GhostDB.put("key", { secret })))
        errors.push(yield* topologyNow)
      }).pipe(Effect.withSpan("program"), Effect.withTracer(tracer), Effect.provide(log.layer), Effect.provide(context))
      assert.strictEqual(errors.length, 10)
      const shown = [...log.lines, ...errors, ...spans].map(
        (u) => `${inspect(u, { depth: 20 })} ${String(u)} ${Inspectable.toStringUnknown(u)}`
      )
      assert.isNotEmpty(log.lines)
      assert.isNotEmpty(spans)
      for (const text of shown) assert.notInclude(text, secret)
    })
  )
})
