/** The command tree of `ghostdb`: options, arguments, help, and which module carries out which command. */

import { createRequire } from "node:module"
import { stripVTControlCharacters } from "node:util"
import * as Args from "@effect/cli/Args"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Types from "effect/Types"
import { defaults } from "../model/GhostDBConfig.js"
import type { Ttl } from "../model/Ttl.js"
import { type CliError, exitCodes, outcome, UsageError, untilSignal } from "./exit.js"
import { type Request, read, shapeOf } from "./line/arguments.js"
import * as help from "./line/help.js"
import * as values from "./line/values.js"
import { hasColour, painter, print, printNote, visible } from "./terminal/output.js"

/** What the commands need from the platform. */
export type Environment = FileSystem.FileSystem | Path.Path | Terminal.Terminal

// Options and arguments

const setting = <A>(name: string, placeholder: string, description: string, parse: values.Parser<A>) =>
  Options.text(name).pipe(
    Options.withPseudoName(placeholder),
    Options.withDescription(description),
    Options.mapEffect((text) =>
      Either.mapLeft(parse(text), (expected) =>
        ValidationError.invalidValue(HelpDoc.p(`--${name} is ${expected}, not ${JSON.stringify(text)}`))
      )
    )
  )

const flag = (name: string, description: string) => Options.boolean(name).pipe(Options.withDescription(description))

const maxPort = 65535
const maxCount = 1_000_000

/** What leaves room for the rest of a request. */
const maxValueSize = defaults.maxRequestBytes - 1024

const replicas = setting(
  "replicas",
  "N",
  `points that each node has on the ring, as for all clients of the cluster (default ${defaults.replicas})`,
  values.whole(1, 65536)
).pipe(Options.withDefault(defaults.replicas))

const nodes = Options.text("nodes").pipe(
  Options.withPseudoName("FILE|URL"),
  Options.withDescription("the nodes file: one address a line (default $GHOSTDB_NODES, then ./gdb.conf)"),
  Options.withFallbackConfig(Config.nonEmptyString("GHOSTDB_NODES")),
  Options.withDefault("./gdb.conf")
)

const connection = {
  nodes,
  port: setting(
    "port",
    "PORT",
    `the port of nodes whose address names none (default ${defaults.port})`,
    values.whole(1, maxPort)
  ).pipe(Options.withDefault(defaults.port)),
  replicas,
  timeout: setting(
    "timeout",
    "TIME",
    `how long one command may take, retries and failovers included (default ${Duration.format(defaults.deadline)})`,
    values.duration
  ).pipe(Options.withDefault(Duration.millis(defaults.deadline))),
  tls: flag("tls", "speak HTTPS; NODE_EXTRA_CA_CERTS names further authorities")
}

const json = flag("json", "one JSON document on standard output")

const key = Args.text({ name: "key" }).pipe(Args.withDescription("The key"))

const stored = {
  key,
  value: Args.text({ name: "value" }).pipe(
    Args.withDescription("The value as JSON; standard input where it is left out"),
    Args.optional
  ),
  string: flag("string", "store the text as it is, as a string"),
  ttl: setting(
    "ttl",
    "TIME",
    "how long the entry lives: 5m, 2h, seconds, or -1 for ever (default -1)",
    values.ttl
  ).pipe(Options.withDefault<Ttl>(-1)),
  json,
  connection
}

const storeDetails = [
  "VALUE is JSON; without it the value comes from standard input. With --string it is text, line feeds and all."
]

// Commands

const define = <const Name extends string, const C extends Command.Command.Config, E extends CliError>(
  definition: Omit<help.Documented, "name" | "config"> & {
    readonly name: Name
    readonly config: C
    readonly run: (config: Types.Simplify<Command.Command.ParseConfig<C>>) => Effect.Effect<void, E, Environment>
  }
) => ({
  ...definition,
  shape: shapeOf(definition.config),
  command: Command.make(definition.name, definition.config, (config) =>
    Effect.tapErrorCause(definition.run(config), (cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logDebug("the command failed", cause)
    )
  ).pipe(Command.withDescription(`${definition.summary}.`))
})

// Modules are loaded by the command that needs them: the others start without them.
const commands = Effect.promise(() => import("./commands/basic.js"))

const get = define({
  name: "get",
  arguments: "KEY",
  summary: "The value of a key, as JSON",
  details: ["Control characters in it are shown escaped."],
  examples: ["get AMZN", "get greeting --string", "get AMZN --json | jq .value"],
  config: { key, string: flag("string", "a string value as plain text"), json, connection },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.get(config)))
})

const put = define({
  name: "put",
  arguments: "KEY [VALUE]",
  summary: "Stores a value, over the one that is there",
  details: storeDetails,
  examples: [
    `put AMZN '{"price": 3107.3}' --ttl 5m`,
    "put greeting 'Hello, world' --string",
    "put page --string --ttl 1h < page.html",
    "put balance -5"
  ],
  config: stored,
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.store("put")(config)))
})

const add = define({
  name: "add",
  arguments: "KEY [VALUE]",
  summary: "Stores a value where the key has none",
  details: storeDetails,
  examples: ["add lock:backup true --ttl 10m"],
  config: stored,
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.store("add")(config)))
})

const remove = define({
  name: "delete",
  arguments: "KEY",
  summary: "Removes a key",
  details: [],
  examples: ["delete AMZN"],
  config: { key, json, connection },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.remove(config)))
})

const flush = define({
  name: "flush",
  arguments: "",
  summary: "Empties every node, for all its clients",
  details: ["Asks first. Where there is no terminal to ask on, it wants --yes."],
  examples: ["flush", "flush --yes"],
  config: { yes: flag("yes", "do not ask"), json, connection },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.flush(config)))
})

const ping = define({
  name: "ping",
  arguments: "",
  summary: "Which nodes answer",
  details: ["Ends with 1 where some do not, and with 3 where none does."],
  examples: ["ping", "ping --nodes https://config.example/gdb.conf --json"],
  config: { json, connection },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.ping(config)))
})

const size = define({
  name: "size",
  arguments: "[NODE]",
  summary: "How many entries the nodes hold",
  details: ["A v1 server cannot tell."],
  examples: ["size", "size 10.0.0.1 --json"],
  config: {
    node: Args.text({ name: "node" }).pipe(Args.withDescription("An address as in the nodes file"), Args.optional),
    json,
    connection
  },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.size(config)))
})

const metrics = define({
  name: "metrics",
  arguments: "",
  summary: "What each node counts and measures, with its trend",
  details: [
    "Watchdog: requests and what came of them. Snitch: memory and collections. A node adds a row each interval, on real",
    "servers every 5 minutes; PER SECOND is what came between the last two. Lines that are 0 in every row are left out."
  ],
  examples: ["metrics", "metrics --json | jq '.watchdog[].data[-1].CacheMiss'"],
  config: { json, connection },
  run: (config) =>
    untilSignal(
      Effect.flatMap(
        Effect.promise(() => import("./commands/metrics.js")),
        (_) => _.metrics(config)
      )
    )
})

const ring = define({
  name: "ring",
  arguments: "[KEY]",
  summary: "The share of the key space that each node has, or the owner of a key",
  details: [
    "Computed from the nodes file: no node is asked, unless with --live. In a raft cluster every node holds every key,",
    "and this is the node that a read of any node asks."
  ],
  examples: ["ring", "ring AMZN", "ring AMZN --live"],
  config: {
    key: key.pipe(Args.optional),
    live: flag("live", "leave out the nodes that do not answer a ping"),
    json,
    connection
  },
  run: (config) =>
    untilSignal(
      Effect.flatMap(
        Effect.promise(() => import("./commands/ring.js")),
        (_) => _.ring(config)
      )
    )
})

const leader = define({
  name: "leader",
  arguments: "",
  summary: "The leader of a raft cluster",
  details: ["Ends with 1 where there is none, as in clusters of v1 and v2 servers."],
  examples: ["leader"],
  config: { json, connection },
  run: (config) => untilSignal(Effect.flatMap(commands, (_) => _.leader(config)))
})

const top = define({
  name: "top",
  arguments: "",
  summary: "A live view: health, requests per second, hit rate, memory",
  details: ["Requests and hits are those between the last two rows that a node has recorded. q ends it."],
  examples: ["top", "top --interval 5s"],
  config: {
    interval: setting("interval", "TIME", "how often the nodes are asked (default 1s)", values.duration).pipe(
      Options.withDefault(Duration.seconds(1))
    ),
    connection
  },
  run: (config) =>
    untilSignal(
      Effect.flatMap(
        Effect.promise(() => import("./commands/top.js")),
        (_) => _.top(config)
      )
    )
})

const serve = define({
  name: "serve",
  arguments: "",
  summary: "Embedded nodes, for development and trying out, until Ctrl-C",
  details: [
    "Writes a nodes file for the other commands and removes it in the end. A file that it did not write stays as it is,",
    "unless with --force. Everything is in memory and goes with the process."
  ],
  examples: ["serve", "serve --nodes 5 --port 0 --dialect v1 --file nodes.conf"],
  config: {
    nodes: setting("nodes", "N", "how many nodes (default 3)", values.whole(1, 1000)).pipe(Options.withDefault(3)),
    dialect: Options.choice("dialect", ["v1", "v2", "raft"]).pipe(
      Options.withDescription("what they speak (default v2)"),
      Options.withDefault("v2" as const)
    ),
    port: setting(
      "port",
      "PORT",
      `the first node's port, the others follow; 0 for any that are free (default ${defaults.port})`,
      values.whole(0, maxPort)
    ).pipe(Options.withDefault(defaults.port)),
    host: Options.text("host").pipe(
      Options.withPseudoName("HOST"),
      Options.withDescription("the interface to listen on (default 127.0.0.1)"),
      Options.withDefault("127.0.0.1")
    ),
    file: Options.text("file").pipe(
      Options.withPseudoName("FILE"),
      Options.withDescription("the nodes file to write (default ./gdb.conf)"),
      Options.withDefault("./gdb.conf")
    ),
    force: flag("force", "overwrite the file, whoever wrote it"),
    metricsInterval: setting(
      "metrics-interval",
      "TIME",
      "how often each node records a row of metrics (default 1s)",
      values.duration
    ).pipe(Options.withDefault(Duration.seconds(1))),
    json
  },
  run: (config) =>
    Effect.flatMap(
      Effect.promise(() => import("./commands/serve.js")),
      (_) => _.serve(config)
    )
})

const bench = define({
  name: "bench",
  arguments: "",
  summary: "Puts a load on the cluster, and tells commands a second and latencies",
  details: [
    "Works on keys of its own, ghostdb-bench:…, which are stored first, removed in the end, and expire should that fail.",
    "They take room: a node that is full evicts for them what was used least recently."
  ],
  examples: ["bench", "bench --in-flight 256 --value-size 4k --mix get=50,put=40,delete=10 --seconds 30"],
  config: {
    inFlight: setting("in-flight", "N", "commands at a time (default 64)", values.whole(1, 65536)).pipe(
      Options.withDefault(64)
    ),
    valueSize: setting(
      "value-size",
      "BYTES",
      "the size of a value: 100, 4k, 1m (default 100)",
      values.size(maxValueSize)
    ).pipe(Options.withDefault(100)),
    mix: setting(
      "mix",
      "WEIGHTS",
      "how often which command: get, put, add, delete (default get=80,put=20)",
      values.mix
    ).pipe(Options.withDefault<values.Mix>({ get: 80, put: 20, add: 0, delete: 0 })),
    seconds: setting("seconds", "TIME", "how long (default 10s)", values.duration).pipe(
      Options.withDefault(Duration.seconds(10))
    ),
    keys: setting("keys", "N", "how many keys (default 1000)", values.whole(1, maxCount)).pipe(
      Options.withDefault(1000)
    ),
    json,
    connection
  },
  run: (config) =>
    untilSignal(
      Effect.flatMap(
        Effect.promise(() => import("./commands/bench.js")),
        (_) => _.bench(config)
      )
    )
})

const definitions = [get, put, add, remove, flush, ping, size, metrics, ring, leader, top, serve, bench] as const

const tree = Command.make("ghostdb").pipe(
  Command.withDescription("Looks at a GhostDB cluster, and drives it."),
  Command.withSubcommands([
    get.command,
    put.command,
    add.command,
    remove.command,
    flush.command,
    ping.command,
    size.command,
    metrics.command,
    ring.command,
    leader.command,
    top.command,
    serve.command,
    bench.command
  ])
)

// The program

/** The package knows itself by its name, wherever it was built to. */
const version = Effect.sync((): string => createRequire(import.meta.url)("effect-ghostdb/package.json").version)

const cliConfig = CliConfig.layer({ isCaseSensitive: true, autoCorrectLimit: 0 })

/** @effect/cli prints through `Console`: what it prints has no colours where there are none, and errors are for us to tell. */
const withPlainConsole = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.console, (console) =>
    Console.withConsole(self, {
      ...console,
      log: (...parts) => {
        const text = parts.join(" ")
        return print(hasColour(process.stdout) ? text : stripVTControlCharacters(text))
      },
      error: () => Effect.void
    })
  )

const helpFor = (name: string | undefined): string => {
  const paint = painter(hasColour(process.stdout))
  const definition = definitions.find((definition) => definition.name === name)
  return definition === undefined ? help.ofProgram(definitions, paint) : help.ofCommand(definition, paint)
}

const execute = (request: Request) => {
  switch (request._tag) {
    case "Help":
      return Effect.as(print(helpFor(request.command)), request.asked ? exitCodes.done : exitCodes.usage)
    case "Version":
      return Effect.as(Effect.flatMap(version, print), exitCodes.done)
    case "Run": {
      const needsTerminal = request.args.includes("--wizard") && process.stdin.isTTY !== true
      return needsTerminal
        ? new UsageError({ message: "--wizard asks on a terminal, and there is none" })
        : Effect.flatMap(version, (version) =>
            Command.run(tree, { name: "ghostdb", version, executable: "ghostdb" })(["node", "ghostdb", ...request.args])
          ).pipe(withPlainConsole, Effect.provide(cliConfig), Effect.as(exitCodes.done))
    }
  }
}

/** A line for each log on standard error, whatever is in its text. */
const logger = Logger.replace(
  Logger.defaultLogger,
  Logger.map(Logger.logfmtLogger, (line) => {
    process.stderr.write(`${visible(line)}\n`)
  })
)

/** Runs the words behind the program's name to the exit code. Everything that is to be said has been written then. */
export const run = (words: ReadonlyArray<string>): Effect.Effect<number, never, Environment> =>
  read(words, new Map(definitions.map(({ name, shape }) => [name, shape]))).pipe(
    Effect.flatMap(execute),
    Effect.catchAllCause((cause) => {
      const { code, line } = outcome(cause)
      return Effect.as(line === undefined ? Effect.void : printNote(line), code)
    }),
    Effect.provide(logger),
    Logger.withMinimumLogLevel(LogLevel.Error)
  )
