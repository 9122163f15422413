/** One of the processes that read a hot key: its argument is the addresses of the nodes. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Deferred, Effect, Layer, Queue, Stream } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import { effort, type Order, type Report, read } from "./scenarios.js"

const carryOut = ({ perSecond, scenario, until }: Order) =>
  Effect.gen(function* () {
    const runs: Array<number> = []
    const counts = { reads: 0, failures: 0, misses: 0, longest: 0 }
    const load = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.delay(
        Effect.sync(() => runs.push(now)),
        effort
      )
    )
    const listening = yield* Deferred.make<void>()
    yield* GhostDB.cacheEvents.pipe(
      Stream.onStart(Deferred.succeed(listening, undefined)),
      Stream.runForEach(({ type }) =>
        Effect.sync(() => {
          if (type === "Miss") counts.misses++
        })
      ),
      Effect.forkScoped
    )
    yield* Deferred.await(listening)
    const once = Effect.gen(function* () {
      const start = yield* Clock.currentTimeMillis
      yield* Effect.catchAllCause(read(scenario, load), () => Effect.sync(() => counts.failures++))
      counts.longest = Math.max(counts.longest, (yield* Clock.currentTimeMillis) - start)
    })
    const began = yield* Clock.currentTimeMillis
    for (let now = began; now < until; now = yield* Clock.currentTimeMillis) {
      const due = ((now - began) / 1000) * perSecond
      while (counts.reads < due) {
        counts.reads++
        yield* Effect.forkScoped(once)
      }
      yield* Effect.sleep(5)
    }
    yield* Effect.sleep(effort * 4)
    const report: Report = { ...counts, runs }
    return report
  }).pipe(Effect.scoped)

const program = Effect.gen(function* () {
  const orders = yield* Queue.unbounded<Order>()
  process.on("message", (order: Order) => orders.unsafeOffer(order))
  process.on("disconnect", () => process.exit(0))
  process.send?.("ready")
  return yield* Queue.take(orders).pipe(
    Effect.flatMap(carryOut),
    Effect.tap((report) => Effect.sync(() => process.send?.(report))),
    Effect.forever
  )
})

const nodes: ReadonlyArray<string> = JSON.parse(process.argv[2] ?? "[]")

program.pipe(Effect.provide(Client.layer({ nodes }).pipe(Layer.provide(SocketTransport.layer))), NodeRuntime.runMain)
