/** A node in a process of its own that answers `rate` requests a second, in their order: `slowNode.ts <rate> [tls]`. */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Schedule } from "effect"
import { http, listen } from "../support/RawServer.js"
import { serverTls } from "../support/tls.js"

const reply = http('{"Gobj":{"Key":"","Value":"v","TTL":-1},"Status":1,"Message":"OK","Error":""}')
const pong = http('{"Gobj":{"Key":"","Value":"","TTL":0},"Status":1,"Message":"Pong!","Error":""}')

const program = Effect.gen(function* () {
  const rate = Number(process.argv[2])
  const waiting: Array<() => void> = []
  const { address } = yield* listen(
    ({ command }, socket) => void waiting.push(() => socket.write(command === "ping" ? pong : reply)),
    process.argv[3] === "tls" ? { tls: serverTls } : {}
  )
  process.on("disconnect", () => process.exit(0))
  process.send?.(address)
  let last = performance.now()
  let due = 0
  yield* Effect.sync(() => {
    const now = performance.now()
    // What was not asked for in time is lost, as it is with a server that is idle.
    due = Math.min(due + ((now - last) * rate) / 1000, Math.max(waiting.length, 1))
    last = now
    const count = Math.floor(due)
    due -= count
    for (const answer of waiting.splice(0, count)) answer()
  }).pipe(Effect.repeat(Schedule.spaced("5 millis")))
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
