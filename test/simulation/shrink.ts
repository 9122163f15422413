/** Finds a smaller scenario that breaks the same promise: without faults, clients and operations that it does not need. */
import { invariants } from "./invariants.js"
import type { Scenario } from "./Scenario.js"
import * as World from "./World.js"

const breaks = (scenario: Scenario, invariant: string): boolean => {
  const check = invariants[invariant]
  return check !== undefined && check(World.run(scenario)).length > 0
}

/** Leaves out as much of a list as it can, halves first. */
const fewer = <A>(
  all: ReadonlyArray<A>,
  isEnough: (some: ReadonlyArray<A>) => boolean,
  budget: { left: number }
): ReadonlyArray<A> => {
  let kept = all
  for (let size = Math.ceil(all.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length && budget.left > 0; ) {
      const some = [...kept.slice(0, at), ...kept.slice(at + size)]
      budget.left--
      if (isEnough(some)) kept = some
      else at += size
    }
  }
  return kept
}

/** The smallest scenario found that breaks the promise, within some hundred runs. */
export const shrink = (scenario: Scenario, invariant: string): Scenario => {
  const budget = { left: 400 }
  let best = scenario
  const without = <K extends "faults" | "clients">(part: K) => {
    const kept = fewer<Scenario[K][number]>(best[part], (some) => breaks({ ...best, [part]: some }, invariant), budget)
    best = { ...best, [part]: kept }
  }
  without("faults")
  if (best.clients.length > 1) without("clients")
  best = {
    ...best,
    operations: best.operations.filter(({ client }) => best.clients.some(({ name }) => name === client))
  }
  // The commands after healing belong together: one alone fails by itself.
  const healed = best.operations.filter((operation) => operation.healed)
  const rest = fewer(
    best.operations.filter((operation) => !operation.healed),
    (some) => breaks({ ...best, operations: [...some, ...healed] }, invariant),
    budget
  )
  best = { ...best, operations: [...rest, ...healed] }
  without("faults")
  return best
}
