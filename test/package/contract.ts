/**
 * What a client does on every runtime: a program without a test runner, so that it runs wherever the package does. It
 * needs a cluster of v2 nodes that is its own.
 */

import type { Layer } from "effect"
import { Cause, type Duration, Effect, Either, Exit, Option, Schema, Stream } from "effect"
import type { Json } from "effect-ghostdb"
import { GhostDB } from "effect-ghostdb/GhostDB"
import type { NodesFileError } from "effect-ghostdb/GhostDBError"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.String }) {}

const users = GhostDB.forSchema(User, { prefix: "user:", ttl: 300, onDecodeError: "miss" })

const values: ReadonlyArray<Json> = [
  null,
  true,
  0,
  -1.5,
  1e300,
  "",
  "CACHE_MISS",
  '"quoted" \\ \n \u2028 <&> é 日本語 😀',
  [],
  { "": 1, a: { b: [true, { c: "d" }] }, é: 2 },
  Array.from({ length: 1000 }, (_, i) => ({ i, text: "x".repeat(i % 50) }))
]

const keys = ["", "with space", "\u0000", '"', "é 日本語 😀", "a/b?c#d%20", "k".repeat(10_000)]

const dies = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(self), (exit) => Exit.isFailure(exit) && Cause.isDie(exit.cause))

const cycle = () => {
  const value: { self?: unknown } = {}
  value.self = value
  // The compiler refuses what is not JSON.
  return value as unknown as Json
}

/** Each is true where the client does as it should. */
const checks: { readonly [what: string]: Effect.Effect<boolean, unknown, GhostDB> } = {
  "every node answers": Effect.map(GhostDB.ping, (nodes) => nodes.length === 3),
  "a key without a value is a miss": Effect.map(GhostDB.get("missing"), Option.isNone),
  "what is put is what is got": Effect.map(
    Effect.forEach(values, (value, i) =>
      Effect.zipRight(GhostDB.put(`value:${i}`, value, 60), GhostDB.get(`value:${i}`))
    ),
    (found) => JSON.stringify(found.map(Option.getOrUndefined)) === JSON.stringify(values)
  ),
  "any text is a key": Effect.map(
    Effect.forEach(keys, (key, i) => Effect.zipRight(GhostDB.put(key, i, 60), GhostDB.get(key))),
    (found) => found.every((value, i) => Option.getOrUndefined(value) === i)
  ),
  "a put overwrites": Effect.map(
    Effect.all([GhostDB.put("twice", 1), GhostDB.put("twice", 2), GhostDB.get("twice")]),
    ([, stored, value]) => stored === "STORED" && Option.getOrUndefined(value) === 2
  ),
  "an add stores only where there is nothing": Effect.map(
    Effect.all([GhostDB.add("add", 1), GhostDB.add("add", 2), GhostDB.get("add")]),
    ([first, second, value]) => first === "STORED" && second === "NOT_STORED" && Option.getOrUndefined(value) === 1
  ),
  "a delete removes once": Effect.map(
    Effect.all([GhostDB.put("gone", 1), GhostDB.delete("gone"), GhostDB.delete("gone"), GhostDB.get("gone")]),
    ([, first, second, value]) => first === "REMOVED" && second === "NOT_FOUND" && Option.isNone(value)
  ),
  "a value of a megabyte": Effect.map(
    Effect.zipRight(GhostDB.put("large", "é".repeat(500_000), 60), GhostDB.get("large")),
    (value) => Option.getOrUndefined(value) === "é".repeat(500_000)
  ),
  "a request that is too large is not stored, and no node dies": Effect.map(
    Effect.zip(GhostDB.put("too large", "x".repeat(5_000_000)), GhostDB.ping),
    ([stored, nodes]) => stored === "NOT_STORED" && nodes.length === 3
  ),
  "500 commands at once": Effect.map(
    Effect.forEach(
      Array.from({ length: 500 }, (_, i) => i),
      (i) => Effect.zipRight(GhostDB.put(`many:${i}`, i, 60), GhostDB.get(`many:${i}`)),
      { concurrency: "unbounded" }
    ),
    (found) => found.every((value, i) => Option.getOrUndefined(value) === i)
  ),
  "many keys in one command": Effect.map(
    Effect.all([
      GhostDB.putMany([["m:1", 1] as const, ["m:2", 2] as const], { ttl: 60 }),
      GhostDB.getMany(["m:1", "m:2", "m:3"]),
      GhostDB.deleteMany(["m:1", "m:2", "m:3"])
    ]),
    ([stored, found, deleted]) =>
      [...stored.values()].every((one) => Either.isRight(one) && one.right === "STORED") &&
      [...found.values()].filter((one) => Either.isRight(one) && Option.isSome(one.right)).length === 2 &&
      [...deleted.values()].filter((one) => Either.isRight(one) && one.right === "REMOVED").length === 2
  ),
  "a key with a lone surrogate is refused": Effect.map(
    Effect.flip(GhostDB.get("\ud800")),
    (error) => error._tag === "KeyError"
  ),
  "a value with a cycle is a defect": dies(GhostDB.put("cycle", cycle())),
  "a TTL that is none is a defect": dies(GhostDB.put("ttl", 1, 0.5)),
  "a TTL as text": Effect.map(
    GhostDB.put("ttl", 1, "5 minutes" satisfies Duration.DurationInput),
    (stored) => stored === "STORED"
  ),
  "a schema's values": Effect.map(
    Effect.zipRight(users.put("1", new User({ id: 1, name: "Ada" })), users.get("1")),
    (found) => Option.isSome(found) && found.value instanceof User && found.value.name === "Ada"
  ),
  "callers of a key share one run": Effect.suspend(() => {
    let runs = 0
    const load = Effect.delay(
      Effect.sync(() => new User({ id: ++runs, name: "Bob" })),
      "20 millis"
    )
    return Effect.map(
      Effect.forEach([1, 2, 3], () => users.getOrElse("shared", load), { concurrency: "unbounded" }),
      (found) => runs === 1 && found.every(({ id }) => id === 1)
    )
  }),
  "an effect that is cached": Effect.map(
    Effect.forEach([1, 2], (n) => Effect.succeed(n).pipe(GhostDB.cached("cached", { schema: Schema.Number, ttl: 60 }))),
    ([first, second]) => first === 1 && second === 1
  ),
  "a value that another schema wrote is a miss": Effect.map(
    Effect.zipRight(GhostDB.put("user:old", { id: "one" }), users.get("old")),
    Option.isNone
  ),
  "the size of a node": Effect.map(
    Effect.flatMap(GhostDB.ping, ([node]) => GhostDB.nodeSize(node ?? "")),
    Option.isSome
  ),
  "metrics of the nodes": Effect.map(
    Effect.zip(GhostDB.getSnitchMetrics, GhostDB.getWatchdogMetrics),
    ([system, application]) => system.metrics.length === 3 && application.metrics.length === 3
  ),
  "the topology": Effect.map(Stream.runHead(GhostDB.topology), (topology) =>
    Option.exists(topology, ({ dead, live }) => live.length === 3 && dead.length === 0)
  ),
  "a command that is interrupted leaves the others alone": Effect.map(
    Effect.zipRight(
      Effect.raceFirst(
        Effect.forEach(values, (value, i) => GhostDB.put(`raced:${i}`, value, 60)),
        Effect.yieldNow()
      ),
      GhostDB.get("twice")
    ),
    (value) => Option.getOrUndefined(value) === 2
  ),
  "a flush empties every node": Effect.map(
    Effect.zip(GhostDB.flush, GhostDB.get("twice")),
    ([flushed, value]) => flushed === "FLUSHED" && Option.isNone(value)
  )
}

/** What a client whose nodes are all dead does. */
const withoutNodes: { readonly [what: string]: Effect.Effect<boolean, unknown, GhostDB> } = {
  "without nodes ten commands at once fail with NoMoreServers": Effect.map(
    Effect.forEach(
      Array.from({ length: 10 }, (_, i) => i),
      (i) => Effect.either(GhostDB.get(`key:${i}`)),
      { concurrency: "unbounded" }
    ),
    (answers) => answers.every((answer) => Either.isLeft(answer) && answer.left._tag === "NoMoreServers")
  ),
  "without nodes an effect that is cached runs": Effect.map(
    Effect.succeed(1).pipe(GhostDB.cached("cached", { schema: Schema.Number })),
    (value) => value === 1
  )
}

const failures = (
  all: { readonly [what: string]: Effect.Effect<boolean, unknown, GhostDB> },
  cluster: Layer.Layer<GhostDB, NodesFileError>
) =>
  Effect.forEach(Object.entries(all), ([what, check]) =>
    Effect.match(Effect.sandbox(check), {
      onSuccess: (ok) => (ok ? [] : [what]),
      onFailure: (cause) => [`${what}: ${Cause.pretty(cause)}`]
    })
  ).pipe(
    Effect.map((found) => found.flat()),
    Effect.provide(cluster),
    Effect.orDie
  )

/** Runs every check, and says how many there are and which failed. */
export const contract = (clusters: {
  readonly live: Layer.Layer<GhostDB, NodesFileError>
  readonly dead: Layer.Layer<GhostDB, NodesFileError>
}): Promise<{ readonly checks: number; readonly failed: ReadonlyArray<string> }> =>
  Effect.runPromise(
    Effect.map(Effect.zip(failures(checks, clusters.live), failures(withoutNodes, clusters.dead)), ([live, dead]) => ({
      checks: Object.keys(checks).length + Object.keys(withoutNodes).length,
      failed: [...live, ...dead]
    }))
  )
