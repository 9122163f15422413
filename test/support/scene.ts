import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Logger, Option, Ref, Schedule, Stream } from "effect"
import {
  Client,
  type ClientOptions,
  GhostDB,
  type KeyError,
  NoMoreServers,
  SocketTransport,
  type Topology
} from "effect-ghostdb"
import * as HostileServer from "./HostileServer.js"

export type Node = HostileServer.HostileServer

// The clients under test: real sockets, small timeouts

export const attemptTimeout = 1000
export const maxReplyBytes = 64 * 1024
export const failureThreshold = 3

export const client = (nodes: ReadonlyArray<Node>, options: Partial<ClientOptions> = {}) =>
  Layer.provide(
    Client.layer({
      attemptTimeout: Duration.millis(attemptTimeout),
      deadline: "10 seconds",
      replicas: HostileServer.replicas,
      retry: Schedule.recurs(1),
      revive: Schedule.spaced("1 hour"),
      failureThreshold,
      maxReplyBytes,
      nodes: nodes.map(({ address }) => address),
      ...options
    }),
    SocketTransport.layer
  ).pipe(Layer.provide(Logger.remove(Logger.defaultLogger)))

/** Waits for the first topology that is as described. */
export const topologyWhere = (holds: (topology: Topology) => boolean) =>
  GhostDB.topology.pipe(
    Stream.filter(holds),
    Stream.runHead,
    Effect.map(Option.getOrThrow),
    Effect.timeout("1 minute"),
    Effect.orDie
  )

export const isLive =
  ({ address }: Node) =>
  (topology: Topology): boolean =>
    topology.live.some(({ node }) => node === address)

/** What a command has failed with. Dies if it has not. */
export const failureOf = <A>(command: Effect.Effect<A, NoMoreServers | KeyError, GhostDB>) =>
  Effect.flip(command).pipe(
    Effect.filterOrDieMessage((error) => error instanceof NoMoreServers, "not a NoMoreServers"),
    Effect.orDieWith(() => new Error("the command has succeeded"))
  )

export const reasonsOf = ({ failures }: NoMoreServers) => failures.map(({ node, reason }) => `${node} ${reason}`)

export const revivals = { revive: Schedule.spaced("20 millis") }

/** Puts and gets each key, over and over, until it is interrupted; dies of the first wrong answer and of any failure. */
const traffic = (keys: ReadonlyArray<string>, rounds: Ref.Ref<number>) =>
  Effect.forEach(keys, (key) => Effect.zipRight(GhostDB.put(key, key), GhostDB.get(key))).pipe(
    Effect.map((values) => assert.deepStrictEqual<unknown>(values, keys.map(Option.some))),
    Effect.zipRight(Ref.update(rounds, (n) => n + 1)),
    Effect.repeat(Schedule.spaced("2 millis"))
  )

/** Speaks to every node for the first time, however busy the machine. */
export const greet = GhostDB.flush.pipe(
  Effect.filterOrFail((result) => result === "FLUSHED"),
  Effect.retry({ times: 20 }),
  Effect.orDie
)

/** Two nodes and a client. The first one turns hostile once both have been spoken to; its keys hold themselves. */
export const scene = Effect.fnUntraced(function* (options: Partial<ClientOptions> = {}) {
  const hostile = yield* HostileServer.make()
  const sound = yield* HostileServer.make()
  const nodes = [hostile, sound]
  const keys = HostileServer.keysOf(nodes, hostile, 64)
  const others = HostileServer.keysOf(nodes, sound, 8)
  const context = yield* Layer.build(client(nodes, options))
  yield* Effect.forEach([...keys, ...others], (key) => GhostDB.put(key, key)).pipe(Effect.provide(context))
  return { hostile, sound, keys, others, context }
})

/** Runs `program` while commands go on to other nodes unharmed: none fails or gets a wrong answer, no connection is lost. */
export const unharmed = <A, E>(
  { context, others, sound }: Effect.Effect.Success<ReturnType<typeof scene>>,
  program: Effect.Effect<A, E, GhostDB>
) =>
  Effect.gen(function* () {
    const rounds = yield* Ref.make(0)
    const fiber = yield* Effect.fork(traffic(others, rounds))
    const result = yield* program
    const before = yield* Ref.get(rounds)
    yield* Effect.raceFirst(
      Fiber.join(fiber),
      HostileServer.eventually("another round on the other node", () => Effect.runSync(Ref.get(rounds)) > before)
    )
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(sound.connections().accepted, 1)
    return result
  }).pipe(Effect.provide(context))
