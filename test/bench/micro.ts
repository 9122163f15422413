/** What is measured without contenders: what the processes say, and how it is shown. */
import * as Schema from "effect/Schema"

const RingRow = Schema.Struct({
  nodes: Schema.Number,
  replicas: Schema.Number,
  lookupNanos: Schema.Number,
  /** Of the lookup that commands use. */
  ownerNanos: Schema.Number,
  makeMillis: Schema.Number
})
export type RingRow = typeof RingRow.Type
export const RingResult = Schema.Array(RingRow)

export const MemoryResult = Schema.Struct({
  /** Of a client of one node whose layer is built. */
  idleClientBytes: Schema.Number,
  /** Of the same after its first command. */
  connectedClientBytes: Schema.Number,
  /** Of 10,000 gets without a reply. */
  commandsInFlightBytes: Schema.Number,
  /** Of as many of undici's requests. */
  undiciInFlightBytes: Schema.Number,
  /** Of a getMany of 100,000 keys at its peak, above what its result holds. */
  manyKeysBytes: Schema.Number
})
export type MemoryResult = typeof MemoryResult.Type

export const StartupResult = Schema.Struct({
  /** The barrel of Effect itself. */
  importEffectMillis: Schema.Number,
  /** The package, once Effect is there. */
  importMillis: Schema.Number,
  /** `GhostDBLive`, the first time in a process: reading and watching the nodes file. */
  firstLayerMillis: Schema.Number,
  /** The first command: connecting, the handshake. */
  firstGetMillis: Schema.Number,
  /** Building and closing `GhostDBLive`, later. */
  layerMillis: Schema.Number
})
export type StartupResult = typeof StartupResult.Type

export const BurstResult = Schema.Struct({
  /** Commands that failed, and nodes that were dead at the end. */
  failures: Schema.Number,
  dead: Schema.Number,
  /** The time of 20,000 puts of 1 KiB all at once, of that of 64 at a time. */
  ratio: Schema.Number,
  /** The same ratio where a command is a bare `Effect.async`. */
  bareRatio: Schema.Number
})
export type BurstResult = typeof BurstResult.Type

export const StalledResult = Schema.Struct({
  /** Commands that succeeded, which none can. */
  answered: Schema.Number,
  /** Until the last put of 10 KiB had ended. */
  seconds: Schema.Number,
  /** What the process used at its peak, above the callers' values. */
  bytesAboveValues: Schema.Number
})
export type StalledResult = typeof StalledResult.Type
