/** The process that measures memory; its arguments are a node that answers and one that never does. */
import { setTimeout } from "node:timers/promises"
import { Undici } from "@effect/platform-node"
import { Effect, Fiber, Layer, ManagedRuntime, Schedule } from "effect"
import { Client, GhostDB, type GhostDBOptions, SocketTransport } from "effect-ghostdb"
import { keys } from "./load.js"
import type { MemoryResult } from "./micro.js"
import { pipelined } from "./UndiciTransport.js"

const [answering = "", silent = ""] = process.argv.slice(2)

const clients = 200
const commands = 10_000

/** Bytes in use, after what can go is gone. */
const used = async (): Promise<number> => {
  for (let i = 0; i < 3; i++) {
    await setTimeout(30)
    globalThis.gc?.()
  }
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const makeClient = (node: string, options?: GhostDBOptions) =>
  ManagedRuntime.make(Layer.orDie(Layer.provide(Client.layer({ ...options, nodes: [node] }), SocketTransport.layer)))

const get = GhostDB.get(keys[0] ?? "")

// What the first client makes for all is not counted.
const first = makeClient(answering)
await first.runPromise(get)

const before = await used()
const idle = Array.from({ length: clients }, () => makeClient(answering))
for (const runtime of idle) await runtime.runtime()
const built = await used()
for (const runtime of idle) await runtime.runPromise(get)
const connected = await used()
await Promise.all(idle.map((runtime) => runtime.dispose()))

const busy = makeClient(silent, { dialect: "v2", attemptTimeout: "10 minutes", deadline: "10 minutes" })
await busy.runtime()
const beforeCommands = await used()
for (let i = 0; i < commands; i++) busy.runFork(get)
const inFlight = await used()

const pool = new Undici.Pool(`http://${silent}`, { connections: 1, pipelining: commands })
const beforeRequests = await used()
const requests = Array.from({ length: commands }, () =>
  pool.request({ ...pipelined, path: "/get", body: "{}" }).catch(() => undefined)
)
const requested = await used()

const manyKeys = Array.from({ length: 100_000 }, (_, i) => `user:${i}`)
await first.runPromise(GhostDB.getMany(manyKeys.slice(0, 1000)))
const beforeKeys = await used()
let peak = 0
const watch = Effect.sync(() => {
  const { external, heapUsed } = process.memoryUsage()
  peak = Math.max(peak, external + heapUsed)
}).pipe(Effect.repeat(Schedule.spaced("1 millis")))
const watched = Effect.flatMap(Effect.fork(watch), (watching) =>
  Effect.zipLeft(GhostDB.getMany(manyKeys), Fiber.interrupt(watching))
)
const results = await first.runPromise(watched)
const held = (await used()) - beforeKeys
if (results.size !== manyKeys.length) throw new Error("keys without a result")

process.send?.({
  idleClientBytes: (built - before) / clients,
  connectedClientBytes: (connected - before) / clients,
  commandsInFlightBytes: inFlight - beforeCommands,
  undiciInFlightBytes: requests.length === commands ? requested - beforeRequests : 0,
  manyKeysBytes: peak - beforeKeys - held
} satisfies MemoryResult)
