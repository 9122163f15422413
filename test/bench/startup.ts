/** The process that measures, once, how long it takes from nothing to the first answer; its argument is a nodes file. */
import type { StartupResult } from "./micro.js"

const nodesFile = process.argv[2] ?? ""
const times: Array<number> = [performance.now()]
const lap = () => {
  times.push(performance.now())
  return (times.at(-1) ?? 0) - (times.at(-2) ?? 0)
}

const { Effect, ManagedRuntime } = await import("effect")
const importEffectMillis = lap()
const { GhostDB, GhostDBLive } = await import("effect-ghostdb")
const importMillis = lap()
const first = ManagedRuntime.make(GhostDBLive(nodesFile))
await first.runtime()
const firstLayerMillis = lap()
await first.runPromise(GhostDB.get("user:000000"))
const firstGetMillis = lap()
const builds = 50
for (let i = 0; i < builds; i++) await Effect.runPromise(Effect.provide(GhostDB, GhostDBLive(nodesFile)))
const layerMillis = lap() / builds

process.send?.({
  importEffectMillis,
  importMillis,
  firstLayerMillis,
  firstGetMillis,
  layerMillis
} satisfies StartupResult)
