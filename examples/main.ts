/**
 * The tour: a cache in front of a slow service, on three embedded nodes, one of which is stopped and started again on the
 * way. `npm start -- --nodes gdb.conf` runs it on a cluster of your own, and stops nothing.
 */
import { parseArgs } from "node:util"
import { FileSystem, Path } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Array as Arr, Console, Effect, Option, Schedule, Stream } from "effect"
import { GhostDB, GhostDBLive, NodeServer, NodesFile, Ring, type Topology } from "effect-ghostdb"

const { values: args } = parseArgs({ options: { nodes: { type: "string" } } })

const paint = (code: number) => (text: string) => (process.stdout.isTTY ? `\u001b[${code}m${text}\u001b[0m` : text)
const bold = paint(1)
const green = paint(32)
const yellow = paint(33)
const red = paint(31)
const dim = paint(2)

const title = (text: string) => Console.log(`\n${bold(text)}`)

const symbols = ["AMZN", "AAPL", "BRK.B", "GOOG", "INTC", "MSFT", "NVDA", "ORCL", "SAP", "TSM"]

/** The service that is worth a cache: 50 ms a quote. */
const fetchQuote = (symbol: string) => Effect.delay(Effect.succeed({ symbol, price: symbol.length * 100 }), "50 millis")

/** The quote, and whether it was in the cache. An outage of the cache is no outage of the quotes. */
const quote = (symbol: string) =>
  GhostDB.get(symbol).pipe(
    Effect.flatMap(
      Option.match({
        onSome: (value) => Effect.succeed({ value, hit: true }),
        onNone: () =>
          fetchQuote(symbol).pipe(
            Effect.tap((value) => GhostDB.put(symbol, value, 300)),
            Effect.map((value) => ({ value, hit: false }))
          )
      })
    ),
    Effect.catchTag("NoMoreServers", () => Effect.map(fetchQuote(symbol), (value) => ({ value, hit: false })))
  )

const liveRing = Effect.map(Effect.flatten(Stream.runHead(GhostDB.topology)), ({ live }) =>
  Ring.make(live.map(({ node }) => node))
)

/** All quotes at once, and a line for each: hit or miss, and the node that holds it. */
const round = (name: string) =>
  Effect.gen(function* () {
    yield* title(name)
    const [took, quotes] = yield* Effect.timed(Effect.forEach(symbols, quote, { concurrency: 5 }))
    const ring = yield* liveRing
    for (const [symbol, { hit }] of Arr.zip(symbols, quotes)) {
      const node = Ring.owner(ring, symbol) ?? ""
      yield* Console.log(`  ${symbol.padEnd(6)} ${hit ? green("hit ") : yellow("miss")}  ${dim(`on ${node}`)}`)
    }
    const hits = quotes.filter(({ hit }) => hit).length
    yield* Console.log(`  ${hits} of ${symbols.length} from the cache`)
    return took
  })

const metrics = Effect.gen(function* () {
  yield* title("Metrics of the nodes")
  const [application, system] = yield* Effect.all([GhostDB.getWatchdogMetrics, GhostDB.getSnitchMetrics], {
    concurrency: "unbounded"
  })
  yield* Console.log(
    `  ${"node".padEnd(22)}${["gets", "misses", "puts", "heap MiB"].map((h) => h.padStart(10)).join("")}`
  )
  for (const { data, node } of application.metrics) {
    const last = data.at(-1)
    const heap = system.metrics.find((entry) => entry.node === node)?.data.at(-1)?.HeapAlloc ?? 0
    const columns = [last?.GetRequests ?? 0, last?.CacheMiss ?? 0, last?.PutRequests ?? 0, (heap / 2 ** 20).toFixed(1)]
    yield* Console.log(`  ${node.padEnd(22)}${columns.map((column) => String(column).padStart(10)).join("")}`)
  }
})

const until = (predicate: (topology: Topology) => boolean) =>
  GhostDB.topology.pipe(Stream.filter(predicate), Stream.runHead)

/** Prints each change of the topology while the rest goes on. */
const announce = GhostDB.topology.pipe(
  Stream.map(({ dead, live }) => ({ dead: dead.map(({ node }) => node), live: live.length })),
  Stream.changesWith((a, b) => a.live === b.live),
  Stream.drop(1),
  Stream.runForEach(({ dead, live }) =>
    Console.log(
      dead.length > 0 ? red(`  ! ${dead.join(", ")} is dead, ${live} live`) : green(`  ! all ${live} nodes live`)
    )
  )
)

/** Three nodes of this process and the nodes file that names them. */
const embedded = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const servers = yield* NodeServer.cluster({ nodes: 3, metricsInterval: "500 millis" })
  const file = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "ghostdb-" }), "gdb.conf")
  yield* fs.writeFileString(file, servers.map(({ address }) => `${address}\n`).join(""))
  return { servers, file }
})

const onEmbeddedNodes = Effect.gen(function* () {
  const { file, servers } = yield* embedded
  yield* title(`Three embedded nodes, named in ${file}`)
  for (const { address } of servers) yield* Console.log(`  ${address}`)
  yield* Effect.gen(function* () {
    yield* Effect.fork(announce)
    yield* round("A cold cache")
    yield* round("A warm cache")

    const ring = yield* liveRing
    const [victim] = Arr.sort(servers, byKeysIn(ring))
    if (victim === undefined) return
    yield* title(`Stopping ${victim.address}`)
    yield* victim.stop
    yield* round("The program goes on: the keys of that node move to the next one")
    yield* round("and are cached there")

    yield* title(`Starting ${victim.address} again`)
    yield* victim.start()
    yield* until(({ dead }) => dead.length === 0)
    yield* round("Its keys are at home again")
    yield* Effect.sleep("600 millis")
    yield* metrics
  }).pipe(Effect.provide(GhostDBLive(file, { revive: Schedule.spaced("500 millis") })))
})

/** The server with the most of the symbols first. */
const byKeysIn = (ring: Ring.Ring) => {
  const keys = (server: NodeServer.NodeServer) =>
    symbols.filter((symbol) => Ring.owner(ring, symbol) === server.address).length
  return (a: NodeServer.NodeServer, b: NodeServer.NodeServer) => {
    const more = keys(b) - keys(a)
    return more > 0 ? 1 : more < 0 ? -1 : 0
  }
}

const onCluster = (file: string) =>
  Effect.gen(function* () {
    yield* title(`The nodes that ${NodesFile.isUrl(file) ? "the URL" : file} names`)
    const answering = yield* GhostDB.ping
    yield* Console.log(`  ${answering.length === 0 ? red("none answers") : `${answering.join(", ")} answer`}`)
    yield* round("First round")
    yield* round("Second round")
    yield* metrics
  }).pipe(Effect.provide(GhostDBLive(file)))

const main = args.nodes === undefined ? onEmbeddedNodes : onCluster(args.nodes)

main.pipe(
  Effect.catchTags({
    NoMoreServers: (error) =>
      Effect.zipRight(
        Console.error(red(error.message)),
        Effect.sync(() => (process.exitCode = 1))
      ),
    NodesFileError: (error) =>
      Effect.zipRight(
        Console.error(red(error.message)),
        Effect.sync(() => (process.exitCode = 1))
      )
  }),
  Effect.scoped,
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
