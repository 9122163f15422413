/**
 * Runs worlds by their seeds, and shows those that break a promise.
 *
 * `--seeds <n>`: that many (default 2000), from `--from <seed>` (default 1) on. `--seed <n>`: this one alone; with
 * `--trace`, with all that happens in it. `--keep-going`: does not stop at the first that fails. `--brief`: tells no story.
 *
 * `--plant`: plants bugs, one at a time, and tells after how many seeds each is found. `--scale`: a thousand clients and
 * two hundred nodes. `--balance`: how evenly rings spread keys.
 */
import { parseArgs } from "node:util"
import * as Balance from "./balance.js"
import { violations } from "./invariants.js"
import { plant } from "./plant.js"
import * as Scenario from "./Scenario.js"
import * as Scale from "./scale.js"
import { shrink } from "./shrink.js"
import { story } from "./story.js"
import * as World from "./World.js"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "2000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    "keep-going": { type: "boolean", default: false },
    brief: { type: "boolean", default: false },
    plant: { type: "boolean", default: false },
    scale: { type: "boolean", default: false },
    balance: { type: "boolean", default: false }
  }
})

/** Runs a seed and tells what it breaks; true where it breaks nothing. */
const check = (seed: number): boolean => {
  const scenario = Scenario.generate(seed)
  const broken = violations(World.run(scenario))
  const [first] = broken
  if (first === undefined) return true
  console.log(`seed ${seed} breaks ${broken.map(({ invariant }) => invariant).join(", ")}`)
  if (!values.brief) console.log(story(shrink(scenario, first.invariant), first.invariant))
  return false
}

const one = (seed: number): boolean => {
  if (!values.trace) return check(seed)
  const history = World.run(Scenario.generate(seed), { trace: true })
  for (const line of history.trace) console.log(line)
  const broken = violations(history)
  for (const { details, invariant } of broken) {
    console.log(invariant)
    for (const detail of details) console.log(`  ${detail}`)
  }
  console.log(`digest ${history.digest.toString(16)}`)
  return broken.length === 0
}

const many = (from: number, count: number): boolean => {
  const began = performance.now()
  let failed = 0
  let done = 0
  for (let seed = from; seed < from + count && (failed === 0 || values["keep-going"]); seed++) {
    if (!check(seed)) failed++
    done++
    if (done % 100 === 0)
      console.log(`${done} seeds, ${failed} failed, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  return failed === 0
}

const run = (): boolean => {
  if (values.plant) return plant(Number(values.seeds))
  if (values.scale) {
    console.log(Scale.table({ clients: 1000, nodes: 200, rate: 0.5 }))
    return true
  }
  if (values.balance) {
    console.log(Balance.table())
    return true
  }
  return values.seed === undefined ? many(Number(values.from), Number(values.seeds)) : one(Number(values.seed))
}

process.exitCode = run() ? 0 : 1
