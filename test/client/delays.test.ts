/** The delay before a retry: it is not waited for on a node that is known to be dead or has left. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Queue, Schedule, Scope, Stream, TestClock } from "effect"
import { Client, type FailureReason, GhostDB, Ring } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as FakeTransport from "../support/FakeTransport.js"

const ring = Ring.make(["a", "b"])
const [waits, silent, other] = Array.from({ length: 100 }, (_, i) => `key-${i}`).filter((key) =>
  Option.contains(Ring.lookup(ring, key), "a")
) as [string, string, string]

/** Two nodes: of the first, one key's requests are reset, and another's have no answer, nor has any ping after that. */
const scene = Effect.fnUntraced(function* (reason: FailureReason, options: Partial<Client.ClientOptions> = {}) {
  const sent: Array<string> = []
  let isSilent = false
  const transport = FakeTransport.layer((node, command, body) => {
    sent.push(`${node} ${command}`)
    if (node === "a" && body.includes(silent)) isSilent = true
    if (node === "a" && isSilent) return Effect.fail({ reason: "AttemptTimeout", detail: "" })
    if (node === "a" && body.includes(waits)) return Effect.fail({ reason, detail: "" })
    return Effect.succeed(FakeTransport.reply({ ping: "Pong!", delete: "REMOVED" }[command] ?? "OK"))
  })
  const retry = Schedule.intersect(Schedule.spaced("2 seconds"), Schedule.recurs(1))
  const client = Client.layer({ nodes: ["a", "b"], retry, deadline: "1 minute", ...options })
  const context = yield* Layer.build(Layer.provide(client, transport))
  yield* Effect.provide(GhostDB.get(other), context)
  return { context, sent }
})

describe("a command that waits for its next attempt", () => {
  const commands: Readonly<Record<string, Effect.Effect<unknown, unknown, GhostDB>>> = {
    get: GhostDB.get(waits),
    delete: GhostDB.delete(waits),
    getMany: GhostDB.getMany([waits, other]),
    uninterruptible: Effect.uninterruptible(GhostDB.get(waits))
  }
  for (const [name, command] of Object.entries(commands)) {
    for (const reason of ["Reset", "Refused"] satisfies ReadonlyArray<FailureReason>) {
      it.scoped(`fails over at the moment at which its node is found dead (${name}, ${reason})`, () =>
        Effect.gen(function* () {
          const { context, sent } = yield* scene(reason)
          const waiting = yield* Effect.fork(Effect.provide(command, context))
          yield* TestClock.adjust("1 second")
          assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
          const before = sent.length
          yield* Effect.fork(Effect.provide(GhostDB.get(silent), context))
          yield* TestClock.adjust(0)
          assert.deepStrictEqual(
            (yield* Effect.provide(topologyNow, context)).dead.map(({ node }) => node),
            ["a"]
          )
          yield* Fiber.join(waiting)
          assert.deepStrictEqual(
            sent
              .slice(before)
              .filter((request) => request !== "a ping")
              .slice(0, 1),
            ["a get"]
          )
          assert.strictEqual(sent.slice(before).filter((request) => /^a (get|delete)/.test(request)).length, 1)
        })
      )
    }
  }

  it.scoped("fails over at the moment at which its node leaves the cluster", () =>
    Effect.gen(function* () {
      const changes = yield* Queue.unbounded<ReadonlyArray<string>>()
      const { context } = yield* scene("Reset", { changes: Stream.fromQueue(changes) })
      const waiting = yield* Effect.fork(Effect.provide(GhostDB.get(waits), context))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* Queue.offer(changes, ["b"])
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* Fiber.join(waiting), Option.some(1))
    })
  )

  it.scoped("says what its node died of, where no other takes its keys", () =>
    Effect.gen(function* () {
      const { context } = yield* scene("Reset", { failover: "none" })
      const waiting = yield* Effect.fork(Effect.provide(Effect.flip(GhostDB.get(waits)), context))
      yield* TestClock.adjust("1 second")
      yield* Effect.fork(Effect.provide(GhostDB.get(silent), context))
      yield* TestClock.adjust(0)
      const error = yield* Fiber.join(waiting)
      assert.deepStrictEqual(
        error._tag === "NoMoreServers" && error.failures.map(({ node, reason }) => `${node} ${reason}`),
        ["a AttemptTimeout"]
      )
    })
  )

  it.scoped("waits for it where the node stays, and is interrupted as usual", () =>
    Effect.gen(function* () {
      const { context, sent } = yield* scene("Reset")
      const waiting = yield* Effect.fork(Effect.provide(Effect.either(GhostDB.get(waits)), context))
      const interrupted = yield* Effect.fork(Effect.provide(GhostDB.get(waits), context))
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(sent.filter((request) => request === "a get").length, 3)
      yield* Fiber.interrupt(interrupted)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "Left")
      assert.strictEqual(sent.filter((request) => request === "a get").length, 4)
    })
  )

  it.effect("ends when the client's scope closes, and so does a command that is issued later", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { context } = yield* Scope.extend(scene("Reset", { retry: Schedule.spaced("1 second") }), scope)
      const waiting = yield* Effect.fork(Effect.provide(Effect.flip(GhostDB.get(waits)), context))
      yield* TestClock.adjust("500 millis")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "NoMoreServers")
      assert.strictEqual((yield* Effect.provide(Effect.flip(GhostDB.get(waits)), context))._tag, "NoMoreServers")
    })
  )
})
