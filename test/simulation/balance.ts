/** How evenly a ring spreads keys, and how many move when a node joins or leaves: a table, by counting. */
import * as Option from "effect/Option"
import { Ring } from "effect-ghostdb"
import * as Random from "./Random.js"

const rings = 20

/** Enough of them that what the count adds to the largest share is small: a thousand for each node. */
const keysFor = (nodes: number) => Array.from({ length: Math.max(50_000, nodes * 1000) }, (_, i) => `user:${i}:profile`)

const addresses = (random: Random.Random, count: number): ReadonlyArray<string> => {
  const found = new Set<string>()
  while (found.size < count) found.add(`10.${random.int(0, 255)}.${random.int(0, 255)}.${random.int(1, 254)}`)
  return [...found]
}

const ownersIn = (ring: Ring.Ring, keys: ReadonlyArray<string>): ReadonlyArray<string> =>
  keys.map((key) => Option.getOrElse(Ring.lookup(ring, key), () => ""))

/** The largest share over the mean, the largest share, and the share of keys that one more node moves. */
const measure = (random: Random.Random, nodes: number, replicas: number) => {
  const all = addresses(random, nodes + 1)
  const ring = Ring.make(all.slice(0, nodes), { replicas })
  const keys = keysFor(nodes)
  const before = ownersIn(ring, keys)
  const counts = new Map<string, number>()
  for (const owner of before) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  const after = ownersIn(Ring.add(ring, all[nodes] ?? ""), keys)
  const moved = after.filter((owner, i) => owner !== before[i]).length
  const largest = Math.max(...counts.values()) / keys.length
  return { largest, ratio: largest * nodes, moved: moved / keys.length }
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`

/** The table, as Markdown: means of 20 rings of random addresses (5 of more than 100 nodes), and the worst of them. */
export const table = (): string => {
  const rows = [3, 5, 10, 30, 100, 300, 1000].flatMap((nodes) =>
    [1, 10, 40, 160].map((replicas) => {
      const random = Random.make(nodes * 1000 + replicas, "balance")
      const measured = Array.from({ length: nodes > 100 ? rings / 4 : rings }, () => measure(random, nodes, replicas))
      const ratios = measured.map(({ ratio }) => ratio)
      const moved = measured.map((one) => one.moved)
      return [
        nodes,
        replicas,
        mean(ratios).toFixed(2),
        Math.max(...ratios).toFixed(2),
        percent(Math.max(...measured.map(({ largest }) => largest))),
        percent(mean(moved)),
        percent(Math.max(...moved)),
        percent(1 / (nodes + 1))
      ].join(" | ")
    })
  )
  return [
    "| nodes | replicas | largest share over the mean | worst ring | its largest share | keys moved by one more node | worst | ideal |",
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map((row) => `| ${row} |`)
  ].join("\n")
}
