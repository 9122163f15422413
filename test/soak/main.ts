/**
 * Mixed commands at full speed over five nodes that are stopped and started at random; `npm run soak`. Fails when a wrong
 * value is read, a command is lost, or the heap grows. An overload of a node follows, for a third of that time.
 *
 *   --seconds N   how long, default 60
 *   --tls         over TLS
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Duration, Effect, Fiber, Logger, LogLevel, Option, Random, Schedule, Stream } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"
import { overTls } from "../support/tls.js"
import { overload } from "./overload.js"

const { values: args } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, tls: { type: "boolean", default: false } }
})
const seconds = Number(args.seconds)
const warmUp = Math.min(10, seconds / 6)
const fibers = 64
const keyCount = 5000

const collect = globalThis.gc
if (collect === undefined) throw new Error("run by node --expose-gc")
const heap = Effect.sync(() => {
  collect()
  return process.memoryUsage().heapUsed
})

const nodes = Effect.acquireRelease(
  Effect.promise(async () => {
    const child = fork(fileURLToPath(new URL("nodes.ts", import.meta.url)), args.tls ? ["tls"] : [])
    const [addresses] = await once(child, "message")
    return { child, addresses: addresses as ReadonlyArray<string> }
  }),
  ({ child }) =>
    Effect.promise(() => {
      child.disconnect()
      return once(child, "exit")
    })
)

const counts = { started: 0, values: 0, failures: 0, wrong: 0, hits: 0, deaths: 0, revivals: 0 }
/** The last version that was sent for each key: none that is read may be later. */
const versions = new Uint32Array(keyCount)

const isRight = (index: number, value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  "key" in value &&
  "version" in value &&
  value.key === index &&
  Number(value.version) <= (versions[index] ?? 0)

/** Where two adds and puts of a key overlap, any of them may win; a value of another key never. */
const command = (index: number, dice: number) => {
  const key = `soak:${index}`
  const value = () => {
    const version = (versions[index] ?? 0) + 1
    versions[index] = version
    return { key: index, version, text: "x".repeat(index % 500) }
  }
  if (dice < 60) {
    return Effect.map(
      GhostDB.get(key),
      Option.match({
        onNone: () => {},
        onSome: (found) => {
          counts.hits++
          if (!isRight(index, found)) counts.wrong++
        }
      })
    )
  }
  if (dice < 85) return GhostDB.put(key, value(), 3600)
  if (dice < 95) return GhostDB.add(key, value(), 3600)
  return GhostDB.delete(key)
}

const load = (end: number) =>
  Effect.gen(function* () {
    while ((yield* Clock.currentTimeMillis) < end) {
      for (let i = 0; i < 50; i++) {
        const index = yield* Random.nextIntBetween(0, keyCount)
        counts.started++
        yield* Effect.matchEffect(command(index, yield* Random.nextIntBetween(0, 100)), {
          onSuccess: () => Effect.sync(() => counts.values++),
          onFailure: () => Effect.sync(() => counts.failures++)
        })
      }
    }
  })

/** Stops a node that runs, or starts one that does not, about twice a second; two at most are stopped at once. */
const trouble = (child: ChildProcess) => {
  const stopped = new Set<number>()
  return Effect.gen(function* () {
    const index = yield* Random.nextIntBetween(0, 5)
    if (stopped.delete(index)) child.send(["start", index])
    else if (stopped.size < 2) {
      stopped.add(index)
      child.send(["stop", index])
    }
  }).pipe(Effect.repeat(Schedule.spaced("500 millis").pipe(Schedule.jittered)))
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`

const soak = Effect.gen(function* () {
  const { addresses, child } = yield* nodes
  yield* Console.log(`${seconds} s, ${fibers} fibers, 5 nodes${args.tls ? ", over TLS" : ""}`)
  const started = yield* Clock.currentTimeMillis
  yield* Effect.gen(function* () {
    yield* Effect.fork(trouble(child))
    yield* GhostDB.topology.pipe(
      Stream.map(({ dead }) => dead.length),
      Stream.zipWithPrevious,
      Stream.runForEach(([before, now]) =>
        Effect.sync(() => {
          const change = now - Option.getOrElse(before, () => 0)
          if (change > 0) counts.deaths += change
          else counts.revivals -= change
        })
      ),
      Effect.fork
    )
    const early = yield* Effect.fork(Effect.delay(heap, Duration.seconds(warmUp)))
    const end = started + seconds * 1000
    yield* Effect.all(
      Array.from({ length: fibers }, () => load(end)),
      { concurrency: "unbounded", discard: true }
    )
    const after = yield* heap
    const before = yield* Fiber.join(early)
    const total = counts.values + counts.failures
    const growth = (after - before) / before
    yield* Console.log(
      [
        `commands   ${total} (${Math.round(total / seconds)} a second), ${counts.hits} hits, ${counts.failures} typed failures`,
        `nodes      died ${counts.deaths} times, came back ${counts.revivals} times`,
        `wrong      ${counts.wrong} values`,
        `lost       ${counts.started - total} commands`,
        `heap       ${mebibytes(before)} after ${warmUp} s, ${mebibytes(after)} at the end (${(growth * 100).toFixed(1)} %)`
      ].join("\n")
    )
    if (counts.wrong > 0 || counts.started !== total || growth > 0.1 || counts.deaths === 0 || counts.revivals === 0) {
      yield* Console.error("FAILED")
      process.exitCode = 1
    }
  }).pipe(
    Effect.provide(
      Client.layer({
        nodes: addresses,
        replicas: 40,
        revive: Schedule.spaced("300 millis"),
        ...(args.tls ? overTls : {})
      })
    ),
    Effect.provide(SocketTransport.layer),
    Logger.withMinimumLogLevel(LogLevel.Error)
  )
})

const program = Effect.gen(function* () {
  yield* soak
  if (!(yield* overload(Math.max(8, seconds / 3), args.tls, heap))) {
    yield* Console.error("FAILED")
    process.exitCode = 1
  }
})

program.pipe(Effect.scoped, NodeRuntime.runMain)
