import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Option, Schedule } from "effect"
import { type ClientOptions, GhostDB, type KeyError, type NoMoreServers } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { client, isLive, type Node } from "../support/scene.js"

const inFlight = 200
const answeredBefore = 73

const soundly = HostileServer.hostilities["answers as it should"]

/**
 * On the first connection: once all commands are in flight, answers 73 of them and does to the next one what `end` says. As
 * it should from then on, where there is a connection left.
 */
const dying = (node: Node, end: HostileServer.Behaviour): HostileServer.Behaviour => {
  const from = node.requests.length
  let served = 0
  return (exchange) =>
    exchange.request.connection > 1
      ? soundly(exchange)
      : Effect.zipRight(
          HostileServer.eventually("all commands are in flight", () => node.requests.length >= from + inFlight),
          Effect.suspend(() => (served++ === answeredBefore ? end(exchange) : soundly(exchange)))
        )
}

const fin: HostileServer.Behaviour = ({ socket }) => Effect.sync(() => void socket.end())

/** How a connection dies, and how many of the commands in flight on it have failed then, where that is certain. */
const deaths: ReadonlyArray<readonly [how: string, end: HostileServer.Behaviour, failed: number | undefined]> = [
  ["a reset", HostileServer.hostilities["resets the connection"], undefined],
  ["a reset in the middle of a reply", HostileServer.hostilities["resets in the middle of the body"], undefined],
  ["an orderly close", fin, inFlight - answeredBefore],
  [
    "a close in the middle of a reply",
    HostileServer.hostilities["closes in the middle of the body"],
    inFlight - answeredBefore
  ],
  ["garbage", HostileServer.hostilities["sends garbage"], inFlight - answeredBefore],
  [
    "a Content-Length too short",
    HostileServer.hostilities["declares a Content-Length too short"],
    inFlight - answeredBefore
  ],
  [
    "a Content-Length too long",
    HostileServer.hostilities["declares a Content-Length too long"],
    inFlight - answeredBefore
  ],
  ["an endless reply", HostileServer.hostilities["sends endless headers"], inFlight - answeredBefore],
  ["two documents, and is not", HostileServer.hostilities["sends two documents"], 1]
]

/** 200 commands at once, gets and puts by turns: how each has ended. Dies where one has ended other than once. */
const volley = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
  const ends = new Map<string, number>()
  const command = (key: string, at: number): Effect.Effect<unknown, NoMoreServers | KeyError, GhostDB> =>
    at % 2 === 0 ? GhostDB.get(key) : GhostDB.put(key, `new ${key}`)
  const results = yield* Effect.forEach(
    keys,
    (key, at) =>
      command(key, at).pipe(
        Effect.onExit(() => Effect.sync(() => ends.set(key, (ends.get(key) ?? 0) + 1))),
        Effect.either
      ),
    { concurrency: "unbounded" }
  )
  assert.deepStrictEqual(
    keys.map((key) => ends.get(key)),
    keys.map(() => 1)
  )
  return results
})

describe.concurrent("200 commands in flight on a connection that is ended by", () => {
  for (const [how, end, failed] of deaths) {
    const setting = Effect.fnUntraced(function* (options: Partial<ClientOptions>) {
      const node = yield* HostileServer.make()
      const keys = HostileServer.keysOf([node], node, inFlight)
      const context = yield* Layer.build(client([node], { attemptTimeout: "2000 millis", ...options }))
      yield* Effect.forEach(keys, (key) => GhostDB.put(key, key), { concurrency: "unbounded" }).pipe(
        Effect.provide(context)
      )
      yield* node.behave(dying(node, end))
      return { node, keys, context }
    })
    const own = (key: string, at: number): unknown => (at % 2 === 0 ? Option.some(key) : "STORED")

    it.scopedLive(`${how}: each ends once, with its own answer or a failure`, () =>
      Effect.gen(function* () {
        const { context, keys, node } = yield* setting({ retry: Schedule.recurs(0), failureThreshold: inFlight })
        const ends = yield* Effect.provide(volley(keys), context)
        ends.forEach((end, at) => {
          const key = keys[at] ?? ""
          if (Either.isRight(end)) assert.deepStrictEqual(end.right, own(key, at))
          else assert.match(end.left.message, / (Reset|BadReply) /)
        })
        const failures = ends.filter(Either.isLeft).length
        if (failed === undefined) assert.isAtLeast(failures, inFlight - answeredBefore)
        else assert.strictEqual(failures, failed)
        assert.isTrue(isLive(node)(yield* Effect.provide(topologyNow, context)))
      })
    )

    it.scopedLive(`${how}: tried again, each has its own answer`, () =>
      Effect.gen(function* () {
        const { context, keys, node } = yield* setting({})
        const ends = yield* Effect.provide(volley(keys), context)
        assert.deepStrictEqual(
          ends,
          keys.map((key, at) => Either.right(own(key, at)))
        )
        assert.deepStrictEqual(
          keys.map((key) => node.values.get(key)),
          keys.map((key, at) => (at % 2 === 0 ? key : `new ${key}`))
        )
        assert.strictEqual(node.connections().accepted, failed === 1 ? 1 : 2)
      })
    )
  }
})
