/** What the readers of a hot key do about its expiry. */
import { type Effect, Schema } from "effect"
import { GhostDB } from "effect-ghostdb"

/** Milliseconds that a value lives, and that a new one takes. */
export const lifetime = 2000
export const effort = 50

const store = GhostDB.forSchema(Schema.Number, { prefix: "stampede:", ttl: "2 seconds", expiry: "exact" })

/** The options, by their name in the table. */
export const scenarios = {
  "none of these": {},
  lock: { lock: true },
  refreshAhead: { refreshAhead: true },
  "refreshAhead, lock": { refreshAhead: true, lock: true },
  "staleFor, lock": { staleFor: "1 minute", lock: true }
} as const

/** The name of a scenario. */
export type Scenario = keyof typeof scenarios

/** Reads the key of a scenario; `load` gives a new value. */
export const read = <E, R>(scenario: Scenario, load: Effect.Effect<number, E, R>) =>
  store.getOrElse(scenario, load, scenarios[scenario])

/** What a process is asked to do: to read so often a second until a time. */
export interface Order {
  readonly scenario: Scenario
  readonly perSecond: number
  readonly until: number
}

/** What it has done. Times in milliseconds since the epoch. */
export interface Report {
  readonly reads: number
  readonly failures: number
  /** When its runs of the effect began. */
  readonly runs: ReadonlyArray<number>
  /** How many lookups found no value that could be used. */
  readonly misses: number
  /** The longest read. */
  readonly longest: number
}
