/** What one contender is asked to do, shared by the processes of the benchmark. */
import * as Schema from "effect/Schema"

/** The load on one contender. */
export const Load = Schema.Struct({
  contender: Schema.String,
  command: Schema.Literal("get", "put"),
  /** Keys of one operation: where there is more than one, a command on many keys. */
  batch: Schema.Number,
  /** The size of the value, a string of ASCII letters, or {@link personBytes} for a record. */
  bytes: Schema.Number,
  /** Operations under way at any time. */
  inFlight: Schema.Number,
  /** GhostDB nodes, as `host:port`. */
  nodes: Schema.Array(Schema.String),
  /** The port of the contender's own kind of server on the loopback interface, 0 where it has none. */
  peerPort: Schema.Number
})
export type Load = typeof Load.Type

/** What one round of one contender came to. Latencies are microseconds. */
export const Sample = Schema.Struct({
  opsPerSecond: Schema.Number,
  /** CPU time of the measured process per operation, user and system, garbage collection included. */
  cpuMicros: Schema.Number,
  p50: Schema.Number,
  p99: Schema.Number
})
export type Sample = typeof Sample.Type

/** A value of five fields. */
export const Person = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  email: Schema.String,
  active: Schema.Boolean,
  score: Schema.NullOr(Schema.Number)
})

export const person: typeof Person.Type = { id: 1, name: "Ada", email: "ada@example.org", active: true, score: null }

/** The size that stands for a {@link Person}. */
export const personBytes = JSON.stringify(person).length

/** A string of so many bytes. */
export const textOf = (bytes: number): string => "abcdefgh".repeat(Math.ceil(bytes / 8)).slice(0, bytes)

/** The value of a size. */
export const valueOf = (bytes: number) => (bytes === personBytes ? person : textOf(bytes))

/** The keys, used in turn. */
export const keys: ReadonlyArray<string> = Array.from({ length: 1000 }, (_, i) => `user:${String(i).padStart(6, "0")}`)

/** A v2 server's replies. */
export const replies = {
  ping: `{"Gobj":{"Key":"","Value":null,"TTL":-1},"Status":1,"Message":"Pong!","Error":""}\n`,
  put: `{"Gobj":{"Key":"","Value":null,"TTL":-1},"Status":1,"Message":"STORED","Error":""}\n`,
  get: (bytes: number) =>
    `{"Gobj":{"Key":"","Value":${JSON.stringify(valueOf(bytes))},"TTL":-1},"Status":1,"Message":"OK","Error":""}\n`
}
