/** Revival: dead nodes are pinged by a schedule, and by a command that finds no live node. */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { DeadNode } from "../model/Topology.js"
import * as Dialects from "../protocol/Dialects.js"
import type { Connections } from "../transport/Transport.js"
import * as ClusterState from "./ClusterState.js"
import type { Handshake } from "./Handshake.js"
import type { StateRef } from "./StateRef.js"

export interface Revival {
  /** Pings all dead nodes, unless that was done within the last second; callers at the same time share one probe. */
  readonly probeDead: Effect.Effect<void>
}

const minProbeInterval = 1000

/** Revives dead nodes by the `revive` schedule until the scope closes. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { ping }: Handshake,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Revival, never, Scope.Scope> {
  const flush = (node: string, dialect: Dialect) => {
    const { body, command, decode } = Dialects.forDialect(dialect).flush
    return Effect.filterOrFail(
      Effect.flatMap(connections.post(node, command, body), decode),
      (result) => result === "FLUSHED",
      (): Fault => ({ reason: "BadReply", detail: "the node did not flush" })
    )
  }

  const revive = (node: string) =>
    ping(node).pipe(
      // A raft member is brought up to date by its leader, and could not flush by itself.
      Effect.tap((dialect) =>
        settings.onRevival === "flush" && dialect !== "raft" ? flush(node, dialect) : Effect.void
      ),
      Effect.flatMap((dialect) =>
        ref.transition((self, now) => ClusterState.revived(self, node, dialect, settings.failureThreshold, now))
      ),
      Effect.ignore
    )

  /** Probes every dead node; succeeds with those that were dead at the start. */
  const probeNow = Effect.flatMap(ref.state, ({ topology: { dead } }) =>
    Effect.as(
      Effect.forEach(dead, ({ node }) => revive(node), { concurrency: "unbounded", discard: true }),
      dead
    )
  )

  const probing = yield* Effect.makeSemaphore(1)
  let lastProbe = Number.NEGATIVE_INFINITY
  const probeDead = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now - lastProbe < minProbeInterval
      ? Effect.void
      : Effect.zipRight(
          probeNow,
          Effect.map(Clock.currentTimeMillis, (end) => {
            lastProbe = end
          })
        )
  ).pipe(probing.withPermits(1))

  const deaths = Stream.map(ref.states, ({ topology }) => topology.dead)
  // The schedule runs from a death until no node is dead, and where it ends, again from the death of another.
  const revival = (known: ReadonlyArray<DeadNode>) =>
    deaths.pipe(
      Stream.filter((dead) => dead.some(({ failure }) => known.every((other) => other.failure !== failure))),
      Stream.runHead,
      Effect.map(Option.getOrElse(() => known)),
      Effect.flatMap((dead) =>
        Stream.fromSchedule(settings.revive).pipe(
          Stream.mapEffect(() => probeNow),
          Stream.runLast,
          Effect.map(Option.getOrElse(() => dead)),
          Effect.raceFirst(Stream.runHead(Stream.filter(deaths, Arr.isEmptyReadonlyArray)).pipe(Effect.as(dead)))
        )
      )
    )
  yield* Effect.forkScoped(Effect.iterate(Arr.empty<DeadNode>(), { while: () => true, body: revival }))
  return { probeDead }
})
