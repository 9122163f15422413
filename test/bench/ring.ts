/** The process that measures lookups in rings of several sizes. */
import { Ring } from "effect-ghostdb"
import { keys } from "./load.js"
import type { RingRow } from "./micro.js"

const rounds = 7
const lookups = 200_000

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Nanoseconds of one call. `found` keeps the engine from leaving the calls out. */
const nanos = (call: (key: string) => unknown): number => {
  let found = 0
  const round = () => {
    const startedAt = performance.now()
    for (let i = 0; i < lookups; i++) if (call(keys[i % keys.length] ?? "") !== undefined) found++
    return ((performance.now() - startedAt) * 1e6) / lookups
  }
  round()
  const result = median(Array.from({ length: rounds }, round))
  if (found !== lookups * (rounds + 1)) throw new Error("a key without a node")
  return result
}

const rows: Array<RingRow> = []
for (const nodes of [3, 100, 1000]) {
  for (const replicas of [1, 40]) {
    const addresses = Array.from({ length: nodes }, (_, i) => `10.0.${i >> 8}.${i & 255}:7991`)
    const startedAt = performance.now()
    const ring = Ring.make(addresses, { replicas })
    const makeMillis = performance.now() - startedAt
    rows.push({
      nodes,
      replicas,
      lookupNanos: nanos((key) => Ring.lookup(ring, key)),
      ownerNanos: nanos((key) => Ring.owner(ring, key)),
      makeMillis
    })
  }
}
process.send?.(rows)
