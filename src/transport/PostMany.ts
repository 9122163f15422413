/** Many posts over a transport that has no better way: workers that post one after the other. */
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { withheld } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { Connections } from "./Transport.js"

/** Posts under way at a time. */
const workers = 128

const queueTimeout: Fault = {
  reason: "QueueTimeout",
  detail: "the deadline passed while the request waited to be sent"
}

/** The transport's own `postMany`, or one made of its `post`, which ends with the scope. */
export const of = (
  connections: Connections
): Effect.Effect<NonNullable<Connections["postMany"]>, never, Scope.Scope> => {
  const { post, postMany } = connections
  if (postMany !== undefined) return Effect.succeed(postMany)
  return Effect.map(
    Effect.all([Effect.scope, Effect.clock]),
    ([scope, clock]): NonNullable<Connections["postMany"]> =>
      (node, command, exchanges, deadline) => {
        const waiting = new Set(Array.from({ length: exchanges.size }, (_, index) => index))
        let next = 0
        const fail = (index: number, fault: Fault) => {
          if (waiting.delete(index)) exchanges.onFault(index, fault)
        }
        const postNext = Effect.suspend(() => {
          const index = next++
          if (Number(clock.unsafeCurrentTimeNanos()) / 1e6 >= deadline) {
            return Effect.sync(() => fail(index, queueTimeout))
          }
          return Effect.match(
            post(node, command, () => exchanges.body(index), deadline),
            {
              onFailure: (fault) => fail(index, fault),
              onSuccess: (reply) => {
                if (waiting.delete(index) && reply !== withheld) exchanges.onReply(index, reply)
              }
            }
          )
        })
        const worker = Effect.whileLoop({
          while: () => next < exchanges.size,
          body: () => postNext,
          step: () => {}
        })
        const all = Effect.replicate(worker, Math.min(workers, exchanges.size))
        return Effect.all(all, { concurrency: "unbounded", discard: true }).pipe(
          Effect.interruptible,
          Effect.forkIn(scope),
          Effect.map((fiber) => {
            // The scope has closed, or a post has died: a single `post` reports that defect.
            fiber.addObserver(() => {
              for (const index of waiting) fail(index, ended)
            })
            return () => {
              waiting.clear()
              fiber.unsafeInterruptAsFork(FiberId.none)
            }
          })
        )
      }
  )
}

const ended: Fault = { reason: "Reset", detail: "the request was ended by the client" }
