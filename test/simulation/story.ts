/** A scenario and what came of it, for people. */
import { invariants } from "./invariants.js"
import type { Scenario } from "./Scenario.js"
import * as World from "./World.js"

/** What takes part, what happens, and how it breaks the promise. */
export const story = (scenario: Scenario, invariant: string): string => {
  const history = World.run(scenario, { trace: true })
  const details = invariants[invariant]?.(history) ?? []
  const nodes = scenario.nodes.map(({ address, dialect }) => `${address} (${dialect})`)
  const clients = scenario.clients.map((plan) => `  ${JSON.stringify(plan)}`)
  return [
    `the shortest story found: nodes ${nodes.join(", ")}, replicas ${scenario.replicas}`,
    ...clients,
    ...history.trace.slice(0, 200).map((line) => `  ${line}`),
    `${invariant}:`,
    ...details.slice(0, 5).map((line) => `  ${line}`),
    `replay all of it: npm run simulate -- --seed ${scenario.seed} --trace`
  ].join("\n")
}
