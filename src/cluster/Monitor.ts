/**
 * Watches a cluster from outside: each node is probed apart, with its own timeout, so that a frozen one delays no other.
 * What is known is measured here as far as it can be (state, dialect, round trip, entries); the rows of metrics are the
 * servers' own, and are fetched when a new one can be there.
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { Monitor, SocketTransport } from "effect-ghostdb"
 *
 * const program = Effect.gen(function* () {
 *   const monitor = yield* Monitor.make({ nodes: ["10.0.0.1", "10.0.0.2"] })
 *   yield* Stream.runForEach(monitor.changes, ({ nodes }) => Effect.log([...nodes.values()]))
 * }).pipe(Effect.scoped, Effect.provide(SocketTransport.layer))
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DurationLike } from "../model/Ttl.js"
import type { Transport } from "../transport/Transport.js"
import * as MonitorState from "./MonitorState.js"
import * as Probe from "./Probe.js"

export type { MonitorEvent, MonitorState, NodeView, RoundTrip, Totals } from "./MonitorState.js"
export { placement, quantile, roundTripSummary, totals } from "./MonitorState.js"
export * as Rates from "./Rates.js"

/**
 * Which nodes a {@link Monitor} watches, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface MonitorOptions extends Probe.ProbeOptions {
  /** Addresses as a nodes file holds them. */
  readonly nodes: ReadonlyArray<string>
  /** Later lists of all nodes. Default: none. */
  readonly changes?: Stream.Stream<ReadonlyArray<string>> | undefined
  /** How long after the answer of a node, or its lack, it is probed again. Default 1 second. */
  readonly interval?: DurationLike | undefined
  /** Whether entries and rows of metrics are asked for, and not pings alone. Default `true`. */
  readonly metrics?: boolean | undefined
}

/**
 * A cluster that is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface Monitor {
  readonly state: Effect.Effect<MonitorState.MonitorState>
  /** The state as it is, then the latest one each time that it has changed: a slow consumer misses those between. */
  readonly changes: Stream.Stream<MonitorState.MonitorState>
}

/**
 * Watches until the scope closes. Options that cannot be used are a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* ({
  changes = Stream.empty,
  interval: between = "1 second",
  metrics = true,
  nodes,
  ...options
}: MonitorOptions): Effect.fn.Return<Monitor, never, Transport | Scope.Scope> {
  const interval = DurationLike.toMillis("interval", between)
  const probe = yield* Probe.make(options)
  const published = yield* PubSub.sliding<void>(1)
  let state = MonitorState.make(nodes, yield* Clock.currentTimeMillis)

  const transition = (change: (state: MonitorState.MonitorState, now: number) => MonitorState.MonitorState) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.suspend(() => {
        const next = change(state, now)
        if (next === state) return Effect.void
        state = next
        return PubSub.publish(published, undefined)
      })
    )

  const readRows = (node: string, dialect: Probe.Pong["dialect"]) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      MonitorState.wantsRows(state, node, now)
        ? Effect.all(
            { snitch: probe.snitchMetrics(node, dialect), watchdog: probe.watchdogMetrics(node, dialect) },
            { concurrency: 2 }
          ).pipe(
            Effect.flatMap((rows) => transition((self, now) => MonitorState.rowsRead(self, node, rows, now))),
            Effect.ignore
          )
        : Effect.void
    )

  /** The time that connecting takes is not the node's: the first ping after it was away is followed by the one that counts. */
  const measuredPing = (node: string) =>
    Effect.suspend(() =>
      state.nodes.get(node)?.status === "live" ? probe.ping(node) : Effect.zipRight(probe.ping(node), probe.ping(node))
    )

  const probeOnce = (node: string) =>
    Effect.flatMap(Effect.either(measuredPing(node)), (answer) => {
      if (Either.isLeft(answer)) return transition((self, now) => MonitorState.unanswered(self, node, answer.left, now))
      const { dialect } = answer.right
      const alive = transition((self, now) => MonitorState.answered(self, node, answer.right, now))
      if (!metrics) return alive
      const count = Effect.orElseSucceed(probe.nodeSize(node, dialect), () => Option.none<number>()).pipe(
        Effect.flatMap((entries) => transition((self, now) => MonitorState.counted(self, node, entries, now)))
      )
      return alive.pipe(Effect.zipRight(count), Effect.zipRight(readRows(node, dialect)))
    })

  const loops = yield* FiberMap.make<string>()
  const follow = (node: string) =>
    FiberMap.run(loops, node, Effect.repeat(probeOnce(node), Schedule.spaced(interval)), { onlyIfMissing: true })
  yield* Effect.forEach(nodes, follow, { discard: true })

  const reload = (next: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const left = [...state.nodes.keys()].filter((node) => !next.includes(node))
      yield* transition((self, now) => MonitorState.reloaded(self, next, now))
      yield* Effect.forEach(left, (node) => Effect.zipRight(FiberMap.remove(loops, node), probe.release(node)))
      yield* Effect.forEach(next, follow, { discard: true })
    })
  yield* Effect.forkScoped(Stream.runForEach(changes, reload))
  yield* transition(MonitorState.ticked).pipe(
    Effect.repeat(Schedule.fixed(Math.max(interval, 100))),
    Effect.delay(interval),
    Effect.forkScoped
  )

  return {
    state: Effect.sync(() => state),
    changes: Stream.unwrapScoped(
      Effect.map(Stream.fromPubSub(published, { scoped: true }), (published) =>
        Stream.map(Stream.concat(Stream.void, published), () => state)
      )
    )
  }
})
