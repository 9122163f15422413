/**
 * A client as it goes into production: options from the environment, an outage of the cache that is none of the program,
 * its metrics, a log line for each node that dies, and a shutdown that waits for what is under way. Here the nodes are
 * embedded, and one of them is stopped on the way.
 *
 * `GHOSTDB_NODES_FILE`, `GHOSTDB_TIMEOUT` (as in `300 millis`) and `GHOSTDB_TOKEN` configure it.
 */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, ConfigProvider, Console, Duration, Effect, Layer, Metric, Option, Schema, Stream } from "effect"
import { ClientMetrics, GhostDB, GhostDBLive, NodeServer } from "effect-ghostdb"

class Session extends Schema.Class<Session>("Session")({ user: Schema.String }) {}

/** Ten minutes after its last write, to the millisecond. */
const sessions = GhostDB.forSchema(Session, { prefix: "session:", ttl: 600, expiry: "exact", onDecodeError: "miss" })

const config = Config.all({
  nodesFile: Config.string("GHOSTDB_NODES_FILE").pipe(Config.withDefault("/etc/ghostdb/gdb.conf")),
  attemptTimeout: Config.duration("GHOSTDB_TIMEOUT").pipe(Config.withDefault(Duration.millis(300))),
  token: Config.option(Config.redacted("GHOSTDB_TOKEN"))
})

const Cache = Effect.map(config, ({ attemptTimeout, nodesFile, token }) =>
  GhostDBLive(nodesFile, {
    attemptTimeout,
    deadline: "1 second",
    // An outage of the cache is a miss.
    failOpen: true,
    headers: Option.match(token, { onNone: () => ({}), onSome: (value) => ({ "x-token": value }) })
  })
).pipe(Layer.unwrapEffect)

/** For a dashboard or an alert; the client logs the same by itself. */
const watch = GhostDB.topology.pipe(
  Stream.map(({ dead, live }) => `${live.length} live, ${dead.length} dead`),
  Stream.changes,
  Stream.runForEach((line) => Console.log(`nodes: ${line}`))
)

const request = (id: number) =>
  Effect.gen(function* () {
    const key = String(id % 10)
    const session = yield* sessions.get(key)
    if (Option.isNone(session)) yield* sessions.put(key, new Session({ user: `user ${key}` }))
  })

const program = Effect.gen(function* () {
  yield* Effect.forkScoped(watch)
  yield* Effect.forEach(
    Array.from({ length: 200 }, (_, i) => i),
    (i) => Effect.delay(request(i), "5 millis"),
    { concurrency: 4, discard: true }
  )
  const outages = yield* Metric.value(ClientMetrics.outages)
  yield* Console.log(`200 requests, ${outages.count} of them without a cache`)
})

// What follows stands in for the cluster.
const withEmbeddedNodes = Effect.gen(function* () {
  const servers = yield* NodeServer.cluster({ nodes: 3 })
  const nodesFile = join(mkdtempSync(join(tmpdir(), "ghostdb-")), "gdb.conf")
  writeFileSync(nodesFile, servers.map(({ address }) => `${address}\n`).join(""))
  const environment = ConfigProvider.fromMap(new Map([["GHOSTDB_NODES_FILE", nodesFile]]))
  const stopOne = Effect.delay(
    Effect.forEach(servers.slice(0, 1), ({ stop }) => stop),
    "100 millis"
  )
  yield* Effect.forkScoped(stopOne)
  yield* program.pipe(Effect.scoped, Effect.provide(Cache), Effect.withConfigProvider(environment))
})

// runMain interrupts the program at SIGINT and SIGTERM: the scopes close, and with them the connections.
withEmbeddedNodes.pipe(Effect.scoped, NodeRuntime.runMain)
