/**
 * The process that compares puts that are issued all at once with 64 at a time, with default options. Its arguments are
 * nodes; without any, it has three embedded nodes itself.
 */
import { Effect, Layer, Option, Stream } from "effect"
import { Client, GhostDB, NodeServer, SocketTransport } from "effect-ghostdb"
import type { BurstResult } from "./micro.js"
import { median } from "./report.js"

const count = 20_000
const rounds = 5
const value = "x".repeat(1024)
const keys = Array.from({ length: count }, (_, i) => `key-${i}`)

/** What Effect alone takes for so many. */
const bare = () => Effect.async<string>((resume) => void setImmediate(() => resume(Effect.succeed("STORED"))))

const run = <E, R>(command: (key: string) => Effect.Effect<string, E, R>, concurrency: number | "unbounded") =>
  Effect.gen(function* () {
    globalThis.gc?.()
    const startedAt = performance.now()
    const ends = yield* Effect.forEach(keys, (key) => Effect.option(command(key)), { concurrency })
    const millis = performance.now() - startedAt
    return { millis, failures: ends.filter((end) => !Option.contains(end, "STORED")).length }
  })

const compare = <E, R>(command: (key: string) => Effect.Effect<string, E, R>) =>
  Effect.gen(function* () {
    const ratios: Array<number> = []
    let failures = 0
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const few = yield* run(command, 64)
      const all = yield* run(command, "unbounded")
      failures += few.failures + all.failures
      if (round > 0) ratios.push(all.millis / few.millis)
    }
    return { failures, ratio: median(ratios) }
  })

const program = Effect.gen(function* () {
  const given = process.argv.slice(2)
  const nodes = given.length > 0 ? given : (yield* NodeServer.cluster({ nodes: 3 })).map(({ address }) => address)
  const client = Layer.provide(Client.layer({ nodes }), SocketTransport.layer)
  const puts = Effect.gen(function* () {
    const compared = yield* compare((key) => GhostDB.put(key, value))
    const topology = yield* Stream.runHead(GhostDB.topology)
    const dead = Option.match(topology, { onNone: () => nodes.length, onSome: ({ dead }) => dead.length })
    return { ...compared, dead }
  })
  const result = yield* Effect.provide(puts, client)
  const { ratio: bareRatio } = yield* compare(bare)
  process.send?.({ ...result, bareRatio } satisfies BurstResult)
})

await Effect.runPromise(Effect.scoped(program))
