/** The process that measures puts to a node that has stopped reading; its argument is how many. */
import { type AddressInfo, createServer } from "node:net"
import { Effect, Fiber, Layer, Schedule } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import type { StalledResult } from "./micro.js"

const count = Number(process.argv[2])

const node = createServer({ pauseOnConnect: true }, (socket) => socket.on("error", () => {}))
const port = await new Promise<number>((resolve) => {
  node.listen(0, "127.0.0.1", () => resolve((node.address() as AddressInfo).port))
})

const used = (): number => {
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const values = Array.from({ length: count }, () => Buffer.alloc(10 * 1024, "x").toString("latin1"))

const program = Effect.gen(function* () {
  globalThis.gc?.()
  const before = used()
  let peak = 0
  // A collection each time would show less and take longer: garbage counts here.
  const watching = yield* Effect.fork(
    Effect.sync(() => {
      peak = Math.max(peak, used())
    }).pipe(Effect.repeat(Schedule.spaced("20 millis")))
  )
  const startedAt = performance.now()
  let answered = 0
  yield* Effect.forEach(
    values,
    (value, i) =>
      Effect.match(GhostDB.put(`key-${i}`, value), { onFailure: () => {}, onSuccess: () => void answered++ }),
    { concurrency: "unbounded", discard: true }
  )
  const seconds = (performance.now() - startedAt) / 1000
  yield* Fiber.interrupt(watching)
  process.send?.({ answered, seconds, bytesAboveValues: peak - before } satisfies StalledResult)
})

const client = Layer.provide(Client.layer({ nodes: [`127.0.0.1:${port}`], dialect: "v2" }), SocketTransport.layer)
await Effect.runPromise(Effect.provide(program, client))
process.exit()
