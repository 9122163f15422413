/** Five times as many commands as a node can answer: as many as it can answer succeed, and it stays live. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Clock, Console, Effect } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import { overTls } from "../support/tls.js"

/** Commands that the node answers in a second. */
const capacity = 1000
const factor = 5
const deadline = 2

const node = (tls: boolean) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = fork(fileURLToPath(new URL("slowNode.ts", import.meta.url)), [
        String(capacity),
        ...(tls ? ["tls"] : [])
      ])
      const [address] = await once(child, "message")
      return { child, address: String(address) }
    }),
    ({ child }) =>
      Effect.promise(() => {
        child.disconnect()
        return once(child, "exit")
      })
  )

/** Starts commands by the clock, whether or not earlier ones have ended. Returns how many succeeded and failed. */
const offer = (seconds: number) =>
  Effect.gen(function* () {
    const counts = { started: 0, succeeded: 0, failed: 0 }
    const command = GhostDB.get("key").pipe(
      Effect.match({ onSuccess: () => void counts.succeeded++, onFailure: () => void counts.failed++ })
    )
    const start = yield* Clock.currentTimeMillis
    for (let elapsed = 0; elapsed < seconds * 1000; elapsed = (yield* Clock.currentTimeMillis) - start) {
      while (counts.started < (elapsed * capacity * factor) / 1000) {
        counts.started++
        yield* Effect.fork(command)
      }
      yield* Effect.sleep("5 millis")
    }
    return counts
  }).pipe(Effect.awaitAllChildren)

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** Whether the client has stood the overload. `heap` is what the heap holds after a collection. */
export const overload = (seconds: number, tls: boolean, heap: Effect.Effect<number>) =>
  Effect.gen(function* () {
    const { address } = yield* node(tls)
    return yield* Effect.gen(function* () {
      yield* offer(deadline)
      const before = yield* heap
      const { failed, started, succeeded } = yield* offer(seconds)
      const after = yield* heap
      const { dead } = yield* topologyNow
      const goodput = succeeded / seconds / capacity
      const growth = (after - before) / before
      yield* Console.log(
        [
          `overload   ${Math.round(started / seconds)} commands a second for a node that answers ${capacity}`,
          `goodput    ${(goodput * 100).toFixed(1)} % of what it can answer; ${succeeded} succeeded, ${failed} failed`,
          `nodes      ${dead.length} dead`,
          `heap       ${mebibytes(before)} before, ${mebibytes(after)} after (${(growth * 100).toFixed(1)} %)`
        ].join("\n")
      )
      return goodput >= 0.9 && dead.length === 0 && growth <= 0.1 && started === succeeded + failed
    }).pipe(
      Effect.provide(Client.layer({ nodes: [address], deadline: `${deadline} seconds`, ...(tls ? overTls : {}) })),
      Effect.provide(SocketTransport.layer)
    )
  }).pipe(Effect.scoped)
