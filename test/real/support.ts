/** Clients of real servers, loads on them, and what is measured. */
import { it } from "@effect/vitest"
import { Clock, Effect, type Fiber, Logger, Ref, type Scope, Stream } from "effect"
import {
  Client,
  type GhostDBOptions,
  type GhostDBService,
  type KeyError,
  type NoMoreServers,
  SocketTransport,
  type Topology
} from "effect-ghostdb"
import type { RealNode } from "./RealCluster.js"

/** A client of the nodes, until the scope closes. */
export const clientOf = (
  nodes: ReadonlyArray<RealNode>,
  options: GhostDBOptions = {}
): Effect.Effect<GhostDBService, never, Scope.Scope> =>
  Client.make({ ...options, nodes: nodes.map(({ address }) => address) }).pipe(
    Effect.provide(SocketTransport.layer),
    Effect.orDie
  )

/** A scenario by the real clock. What the client logs of it is not printed. */
export const scenario = (name: string, run: () => Effect.Effect<unknown, unknown, Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(run(), Logger.remove(Logger.defaultLogger)))

export const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`)

/** A figure, for whoever reads what the run has printed. */
export const figure = (what: string, ...values: ReadonlyArray<string | number>) =>
  Effect.sync(() =>
    console.log(
      `      ${what}: ${values.map((value) => (typeof value === "number" ? `${Math.round(value)}` : value)).join(" ")}`
    )
  )

/** How long an effect takes, in milliseconds, and its result. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = yield* Clock.currentTimeMillis
    const result = yield* effect
    return { result, start, end: yield* Clock.currentTimeMillis }
  })

/** One command of a load. */
export interface Outcome {
  readonly key: string
  readonly start: number
  readonly end: number
  readonly error: NoMoreServers | KeyError | undefined
  readonly value: unknown
}

/** Runs a command on all keys again and again, so many at a time, until it is stopped; then gives what came of each. */
export const load = <A>(
  command: (key: string, round: number) => Effect.Effect<A, NoMoreServers | KeyError>,
  concurrency: number
): Effect.Effect<{ readonly stop: Effect.Effect<ReadonlyArray<Outcome>> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const outcomes: Array<Outcome> = []
    const isOn = yield* Ref.make(true)
    let count = 0
    const one = Effect.suspend(() => {
      const at = count++
      const key = keys[at % keys.length] ?? ""
      return Effect.map(
        timed(Effect.either(command(key, Math.floor(at / keys.length)))),
        ({ end, result, start }) =>
          void outcomes.push(
            result._tag === "Left"
              ? { key, start, end, error: result.left, value: undefined }
              : { key, start, end, error: undefined, value: result.right }
          )
      )
    })
    // A short rest leaves the processor to the servers.
    const worker = Effect.repeat(Effect.zipRight(one, Effect.sleep("2 millis")), { while: () => Ref.get(isOn) })
    const workers: Array<Fiber.RuntimeFiber<unknown>> = []
    for (let i = 0; i < concurrency; i++) workers.push(yield* Effect.forkScoped(worker))
    const stop = Effect.gen(function* () {
      yield* Ref.set(isOn, false)
      for (const fiber of workers) yield* fiber.await
      return outcomes
    })
    return { stop }
  })

/** When a topology was first as described, in epoch milliseconds. */
export const whenTopology = (db: GhostDBService, holds: (topology: Topology) => boolean): Effect.Effect<number> =>
  Effect.zipRight(Stream.runHead(Stream.filter(db.topology, holds)), Clock.currentTimeMillis)

export const isDead =
  ({ address }: RealNode) =>
  ({ dead }: Topology): boolean =>
    dead.some(({ node }) => node === address)

export const longest = (outcomes: ReadonlyArray<Outcome>): number =>
  outcomes.reduce((max, { end, start }) => Math.max(max, end - start), 0)
