/**
 * Requests under way, for transports whose requests end early only by an interruption. A caller waits for its request by a
 * callback, and so ends at its deadline, or when the node is dead, even where it cannot be interrupted.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import type { Reply } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Connections } from "./Transport.js"

/** The requests under way to each node. */
export interface InFlight extends Pick<Connections, "interrupt"> {
  /**
   * Runs a request in a fiber of its own. Ends with it, with `Deadline` at the deadline (milliseconds of the monotonic
   * clock), or with `Reset` by `interrupt`; a request that is still under way then is interrupted, and nobody waits for
   * it.
   */
  readonly run: (node: string, request: Effect.Effect<Reply, Fault>, deadline?: number) => Effect.Effect<Reply, Fault>
}

/** No requests yet. When the scope closes, those under way end as an interruption ends them. */
export const make: Effect.Effect<InFlight, never, Scope.Scope> = Effect.map(Effect.scope, (scope) => {
  const byNode = new Map<string, Set<(exit: Exit.Exit<Reply, Fault>) => void>>()

  const run: InFlight["run"] = (node, request, deadline) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.forkIn(Effect.interruptible(until(request, deadline)), scope), (fiber) =>
        restore(
          Effect.async<Reply, Fault>((resume) => {
            const requests = byNode.get(node) ?? new Set()
            byNode.set(node, requests)
            const end = (exit: Exit.Exit<Reply, Fault>) => {
              requests.delete(end)
              if (requests.size === 0 && byNode.get(node) === requests) byNode.delete(node)
              fiber.unsafeInterruptAsFork(FiberId.none)
              resume(exit)
            }
            requests.add(end)
            fiber.addObserver(end)
            return Effect.sync(() => end(Exit.interrupt(FiberId.none)))
          })
        )
      )
    )

  return {
    run,
    interrupt: (node) =>
      Effect.sync(() => {
        for (const end of [...(byNode.get(node) ?? [])]) end(interrupted)
      })
  }
})

const interrupted = Exit.fail<Fault>({ reason: "Reset", detail: "the node has been found dead" })

const until = (request: Effect.Effect<Reply, Fault>, deadline: number | undefined): Effect.Effect<Reply, Fault> =>
  deadline === undefined
    ? request
    : Effect.flatMap(Clock.currentTimeNanos, (now) =>
        Effect.timeoutFail(Effect.disconnect(request), {
          duration: Math.max(deadline - Number(now) / 1e6, 0),
          onTimeout: (): Fault => ({ reason: "Deadline", detail: "no reply before the command's deadline" })
        })
      )
