/** Many posts over a transport that has no better way: workers that post one after the other. */
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import { queueTimeout } from "./Faults.js"
import type { Connections } from "./Transport.js"

/** Posts under way at a time. */
const workers = 128

/** Connections that can post many requests of a command at once. */
export interface ManyConnections extends Connections {
  readonly postMany: NonNullable<Connections["postMany"]>
}

/** The connections with their own `postMany`, or with one made of their `post`, which ends with the scope. */
export const complete = (connections: Connections): Effect.Effect<ManyConnections, never, Scope.Scope> => {
  const { post, postMany } = connections
  if (postMany !== undefined) return Effect.succeed({ ...connections, postMany })
  return Effect.map(Effect.all([Effect.scope, Effect.clock]), ([scope, clock]) => {
    /** What ends those to a node. */
    const open = new Map<string, Set<() => void>>()
    const endAll = (node: string) =>
      Effect.sync(() => {
        for (const end of [...(open.get(node) ?? [])]) end()
      })
    const postAll: ManyConnections["postMany"] = (node, command, exchanges, deadline) => {
      const waiting = new Set(Array.from({ length: exchanges.size }, (_, index) => index))
      let next = 0
      const fail = (index: number, fault: Fault) => {
        if (waiting.delete(index)) exchanges.onFault(index, fault)
      }
      const bodyOf = (index: number) => () => {
        const body = exchanges.body(index)
        // Withheld: that is its outcome.
        if (body === undefined) waiting.delete(index)
        return body
      }
      const postNext = Effect.suspend(() => {
        const index = next++
        if (Monotonic.unsafeNow(clock) >= deadline) {
          return Effect.sync(() => fail(index, queueTimeout))
        }
        return Effect.match(post(node, command, bodyOf(index), deadline), {
          onFailure: (fault) => fail(index, fault),
          onSuccess: (reply) => {
            if (waiting.delete(index)) exchanges.onReply(index, reply)
          }
        })
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
          const ends = open.get(node) ?? new Set()
          open.set(node, ends)
          const end = () => {
            ends.delete(end)
            if (ends.size === 0 && open.get(node) === ends) open.delete(node)
            fiber.unsafeInterruptAsFork(FiberId.none)
            for (const index of waiting) fail(index, ended)
          }
          ends.add(end)
          // The node is dead, or the scope has closed, or a post has died: a single `post` reports that defect.
          fiber.addObserver(end)
          return () => {
            waiting.clear()
            end()
          }
        })
      )
    }
    return {
      ...connections,
      postMany: postAll,
      interrupt: (node) => Effect.zipRight(connections.interrupt(node), endAll(node)),
      release: (node) => Effect.zipRight(connections.release(node), endAll(node))
    }
  })
}

const ended: Fault = { reason: "Reset", detail: "the request was ended by the client" }
