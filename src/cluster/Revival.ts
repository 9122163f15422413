/** Revival: dead nodes are pinged by a schedule, and by a command that finds no live node. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Dialect } from "../model/Dialect.js"
import type { Settings } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import * as Dialects from "../protocol/Dialects.js"
import type { Connections } from "../transport/Transport.js"
import * as Backoff from "./Backoff.js"
import * as ClusterState from "./ClusterState.js"
import { type Handshake, patience } from "./Handshake.js"
import { request } from "./request.js"
import * as Shared from "./Shared.js"
import type { StateRef } from "./StateRef.js"

export interface Revival {
  /**
   * Pings all dead nodes, unless that was done within the last second; callers at the same time share one probe. Ends at
   * `deadline`, milliseconds of the monotonic clock, at the latest.
   */
  readonly probeDead: (deadline: number) => Effect.Effect<void>
  /** Pings the dead nodes beside the caller where that is due by the `revive` schedule, for who isolates callers. */
  readonly probeInPassing: Effect.Effect<void>
}

const minProbeInterval = 1000

/** Revives dead nodes by the `revive` schedule until the scope closes. */
export const make = Effect.fnUntraced(function* (
  ref: StateRef,
  { ping }: Handshake,
  connections: Connections,
  settings: Settings
): Effect.fn.Return<Revival, never, Scope.Scope> {
  const clock = yield* Effect.clock
  const deadline = () => Monotonic.unsafeNow(clock) + settings.attemptTimeout * patience

  const flush = (node: string, dialect: Dialect) =>
    Effect.filterOrFail(
      request(connections, node, Dialects.forDialect(dialect).flush, deadline()),
      // A v1 server counts a key that was put twice as two, and then says of what it has emptied that it is not empty.
      (result) => result === "FLUSHED" || dialect === "v1",
      (): Fault => ({ reason: "BadReply", detail: "the node did not flush" })
    )

  const revive = (node: string) =>
    Effect.suspend(() => ping(node, deadline())).pipe(
      // A raft member is brought up to date by its leader, and could not flush by itself.
      Effect.tap((dialect) =>
        settings.onRevival === "flush" && dialect !== "raft" ? flush(node, dialect) : Effect.void
      ),
      Effect.flatMap((dialect) =>
        ref.transition((self, now) => ClusterState.revived(self, node, dialect, settings.failureThreshold, now))
      ),
      Effect.ignore
    )

  const probe = Effect.flatMap(ref.state, (state) =>
    Effect.forEach(ClusterState.deaths(state), ({ node }) => revive(node), { concurrency: "unbounded", discard: true })
  )

  let probeAgainAt = Number.NEGATIVE_INFINITY
  const probes = yield* Shared.make<void, never>({
    work: () =>
      Effect.map(probe, () => {
        probeAgainAt = Monotonic.unsafeNow(clock) + minProbeInterval
      }),
    // A ping and a flush.
    timeout: settings.attemptTimeout * patience * 2,
    isolated: connections.isolatesCallers === true,
    timedOut: Exit.void,
    late: Exit.void,
    closed: Exit.void
  })

  /** The deaths that the last probe knew of. */
  let known = 0
  const probeBySchedule = Effect.suspend(() => {
    const backoff = Backoff.make(settings.revive, clock)
    const step = Effect.tap(backoff.next(undefined, Number.POSITIVE_INFINITY), (goesOn) => {
      known = ref.unsafeState().deaths
      return goesOn ? probe : Effect.void
    })
    return Effect.repeat(step, { while: (goesOn) => goesOn })
  })
  // The schedule runs from a death until no node is dead, and where it ends, again from the next death.
  const revival = ref
    .awaitState(({ counts, deaths }) => counts.dead > 0 && deaths > known)
    .pipe(
      Effect.zipRight(
        Effect.raceFirst(
          probeBySchedule,
          ref.awaitState(({ counts }) => counts.dead === 0)
        )
      )
    )
  if (connections.isolatesCallers !== true) yield* Effect.forkScoped(Effect.forever(revival))

  return {
    probeInPassing: makeInPassing(ref, settings, clock, probe),
    probeDead: (deadline) =>
      Effect.suspend(() =>
        Monotonic.unsafeNow(clock) < probeAgainAt ? Effect.void : probes.run("dead nodes", deadline)
      )
  }
})

/** {@link Revival.probeInPassing}: a schedule that starts with a death, and whose delays nobody waits for. */
const makeInPassing = (
  ref: StateRef,
  { revive }: Settings,
  clock: Clock.Clock,
  probe: Effect.Effect<void>
): Effect.Effect<void> => {
  let current: { readonly backoff: Backoff.Backoff<undefined>; deaths: number; dueAt: number } | undefined
  return Effect.suspend(() => {
    const { counts, deaths } = ref.unsafeState()
    if (counts.dead === 0) {
      current = undefined
      return Effect.void
    }
    const hasEnded = current === undefined || (current.dueAt === Number.POSITIVE_INFINITY && deaths > current.deaths)
    if (hasEnded) current = { backoff: Backoff.make(revive, clock), deaths, dueAt: Number.NEGATIVE_INFINITY }
    const schedule = current
    if (schedule === undefined || Monotonic.unsafeNow(clock) < schedule.dueAt) return Effect.void
    return Effect.flatMap(schedule.backoff.nextAt(undefined), (time = Number.POSITIVE_INFINITY) => {
      schedule.dueAt = time
      schedule.deaths = deaths
      return hasEnded ? Effect.void : Effect.asVoid(Effect.forkDaemon(Effect.interruptible(probe)))
    })
  })
}
