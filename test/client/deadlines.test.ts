import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Cause, Effect, Either, Layer, Option, Schedule } from "effect"
import { type ClientOptions, GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import * as HostileServer from "../support/HostileServer.js"
import { client, failureOf, greet, type Node, reasonsOf, topologyWhere } from "../support/scene.js"

describe.concurrent("a cluster that never answers", () => {
  const cluster = Effect.fnUntraced(function* (options: Partial<ClientOptions>) {
    const nodes = yield* Effect.all([HostileServer.make(), HostileServer.make(), HostileServer.make()])
    const context = yield* Layer.build(client(nodes, options))
    yield* Effect.provide(greet, context)
    yield* Effect.forEach(nodes, ({ behave }) => behave("accepts and never answers", "badly"))
    return { nodes, context }
  })

  /** Each command, with a name. */
  const commands = ({ address }: Node) =>
    [
      ["get", GhostDB.get("key")],
      ["put", GhostDB.put("key", 1)],
      ["add", GhostDB.add("key", 1)],
      ["delete", GhostDB.delete("key")],
      ["flush", GhostDB.flush],
      ["ping", GhostDB.ping],
      ["nodeSize", GhostDB.nodeSize(address)],
      ["leader", GhostDB.leader],
      ["getSnitchMetrics", GhostDB.getSnitchMetrics],
      ["getWatchdogMetrics", GhostDB.getWatchdogMetrics]
    ] as const

  /** What a command has ended with. Without the limit that it is tested for it would not end for an hour. */
  const ending = <A, E, R>(name: string, self: Effect.Effect<A, E, R>) =>
    Effect.timeoutFailCause(Effect.either(self), {
      duration: "1 minute",
      onTimeout: () => Cause.die(new Error(`${name}: not ended within a minute`))
    })

  it.scopedLive("an attempt ends by attemptTimeout, whatever the deadline; the nodes die of it", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({
        attemptTimeout: "100 millis",
        deadline: "1 hour",
        retry: Schedule.recurs(0)
      })
      // On each node an attempt and a ping, then the sweep.
      const failure = yield* ending("get", GhostDB.get("key")).pipe(Effect.provide(context))
      assert.deepStrictEqual(
        Either.isLeft(failure) && failure.left._tag === "NoMoreServers" ? reasonsOf(failure.left).sort() : [],
        nodes.map(({ address }) => `${address} AttemptTimeout`).sort()
      )
      assert.strictEqual((yield* Effect.provide(topologyNow, context)).dead.length, 3)
    })
  )

  it.scopedLive("each command ends by its deadline: in the middle of a retry", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({
        attemptTimeout: "200 millis",
        deadline: "300 millis",
        retry: Schedule.forever
      })
      yield* Effect.forEach(
        commands(nodes[0]),
        ([name, command]) =>
          Effect.map(ending<unknown, unknown, GhostDB>(name, command), (result) => {
            if (name === "ping") assert.deepStrictEqual(result, Either.right([]))
            else if (name === "leader") assert.deepStrictEqual(result, Either.right(Option.none()))
            else
              assert.match(
                String(Either.isLeft(result) ? result.left : ""),
                / (Deadline|AttemptTimeout|QueueTimeout|Overloaded) ?/,
                name
              )
          }),
        { concurrency: "unbounded" }
      ).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("each command ends by its deadline: shorter than an attempt", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({ attemptTimeout: "1 hour", deadline: "200 millis" })
      yield* Effect.forEach(commands(nodes[0]), ([name, command]) => ending<unknown, unknown, GhostDB>(name, command), {
        concurrency: "unbounded"
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("each command ends by its deadline: in the middle of a sweep, and names the dead", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({
        attemptTimeout: "1 hour",
        deadline: "300 millis",
        retry: Schedule.recurs(0)
      })
      yield* Effect.gen(function* () {
        yield* Effect.forEach(nodes, ({ stop }) => stop)
        // A slow machine may need more than one command's deadline to be refused by all of them.
        yield* Effect.repeat(Effect.zipRight(failureOf(GhostDB.get("key")), topologyNow), {
          until: ({ dead }) => dead.length === nodes.length
        })
        yield* Effect.forEach(nodes, ({ start }) => start)
        yield* Effect.forEach(
          Arr.range(1, 4),
          () =>
            Effect.forEach(
              commands(nodes[0]).filter(([name]) => name !== "ping" && name !== "leader"),
              ([name, command]) =>
                Effect.map(ending<unknown, unknown, GhostDB>(name, command), (result) => {
                  const message = String(Either.isLeft(result) ? result.left : "")
                  assert.match(message, / (Refused|Reset|QueueTimeout|Overloaded) ?/, name)
                }),
              { concurrency: "unbounded" }
            ),
          { discard: true }
        )
      }).pipe(Effect.provide(context))
    })
  )

  it.scopedLive("a node dies although the commands on it end by their deadline before that", () =>
    Effect.gen(function* () {
      const { context, nodes } = yield* cluster({
        attemptTimeout: "200 millis",
        deadline: "250 millis",
        retry: Schedule.spaced("1 second")
      })
      yield* Effect.gen(function* () {
        const keys = nodes.map((node) => HostileServer.keysOf(nodes, node, 1)[0])
        const round = Effect.forEach(keys, (key) => failureOf(GhostDB.get(key)), { concurrency: "unbounded" })
        // A process that is too busy to send within the deadline says so.
        for (const failure of yield* round) assert.match(String(reasonsOf(failure)), /Deadline|QueueTimeout/)
        // One round does, unless this process was too busy to send the pings.
        yield* Effect.raceFirst(
          topologyWhere(({ dead }) => dead.length === 3),
          Effect.forever(round)
        )
      }).pipe(Effect.provide(context))
    })
  )
})
