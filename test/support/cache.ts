import { Effect } from "effect"

/** An effect that counts its runs and gives their number, once it is let go. */
export const counter = Effect.gen(function* () {
  const gate = yield* Effect.makeLatch(true)
  const state = { runs: 0, interrupted: 0 }
  const effect = Effect.suspend(() => {
    const run = ++state.runs
    return Effect.onInterrupt(gate.whenOpen(Effect.succeed(run)), () => Effect.sync(() => state.interrupted++))
  })
  return { ...gate, state, effect }
})

/** Lets all that can go on without time go on. */
export const settle = Effect.repeat(Effect.yieldNow(), { times: 200 })

export const all = { concurrency: "unbounded" } as const
