/** The commands that run for a while: options and help. */
import * as Options from "@effect/cli/Options"
import * as Duration from "effect/Duration"
import { defaults } from "../../model/GhostDBConfig.js"
import { define, lazily } from "../define.js"
import { connection, flag, interval, json, maxPort, probing, setting } from "../line/options.js"
import * as values from "../line/values.js"

const maxCount = 1_000_000

/** Leaves room for the rest of a request. */
const maxValueSize = defaults.maxRequestBytes - 1024

/** `ghostdb top` */
export const top = define({
  name: "top",
  arguments: "",
  summary: "A live view: which nodes answer, how fast, entries, requests, memory",
  details: [
    "State and round trip are measured, each node apart; dead and slow ones come first. Requests, hits and memory are of",
    "the rows that nodes write, on real servers every 5 minutes: AGE says how old the last one is. ? tells the keys."
  ],
  examples: [
    "top",
    "top --interval 5s",
    "top --once",
    "top --once --json | jq '.nodes[] | select(.status == \"dead\")'"
  ],
  config: {
    interval,
    once: flag("once", "print it once, every node, and end; needs no terminal"),
    json: flag("json", "a JSON document a line, one for each interval"),
    connection: probing
  },
  run: lazily(
    () => import("../commands/top/top.js"),
    (_) => _.top
  )
})

/** `ghostdb ui` */
export const ui = define({
  name: "ui",
  arguments: "",
  summary: "The cluster in a browser: nodes, events, load, the ring, a key",
  details: [
    "Prints the address of the page, which holds a random token: who has the address may look. Nothing is loaded from the",
    "network. The nodes are asked once, however many pages are open. Ctrl-C ends it."
  ],
  examples: ["ui", "ui --write --listen 8080", "ui --host 10.0.0.9"],
  config: {
    host: Options.text("host").pipe(
      Options.withPseudoName("HOST"),
      Options.withDescription("the interface to listen on (default 127.0.0.1, which only this machine reaches)"),
      Options.withDefault("127.0.0.1")
    ),
    listen: setting(
      "listen",
      "PORT",
      "the port of the page (default: any that is free)",
      values.whole(0, maxPort)
    ).pipe(Options.withDefault(0)),
    interval,
    write: flag("write", "let the page put, delete and flush"),
    connection: probing
  },
  endsItself: true,
  run: lazily(
    () => import("../commands/ui/ui.js"),
    (_) => (config) => _.ui({ ...config, port: config.listen })
  )
})

/** `ghostdb serve` */
export const serve = define({
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
  endsItself: true,
  run: lazily(
    () => import("../commands/serve.js"),
    (_) => _.serve
  )
})

/** `ghostdb bench` */
export const bench = define({
  name: "bench",
  arguments: "",
  summary: "Puts a load on the cluster, and tells commands a second and latencies",
  details: [
    "Works on keys of its own, ghostdb-bench:…, which are stored first, removed in the end, and expire should that fail.",
    "They take room: a node that is full evicts for them what was used least recently.",
    "Without --rate each command waits for one before it, and a server that stops for a second stops the load too. With",
    "--rate commands are due at fixed times, and the latency counts from then on: what a user would have waited.",
    "Failed commands count in the latencies. Ctrl-C ends it early, with a report. Ends with 1 where a node is dead."
  ],
  examples: [
    "bench",
    "bench --rate 2000 --warmup 5s --seconds 60 --histogram latencies.hgrm",
    "bench --in-flight 256 --value-size 4k --mix get=50,put=40,delete=10 --distribution zipf --csv"
  ],
  config: {
    inFlight: setting("in-flight", "N", "commands at a time (default 64)", values.whole(1, 65536)).pipe(
      Options.withDefault(64)
    ),
    rate: setting(
      "rate",
      "N",
      "commands a second (default: as many as there can be)",
      values.whole(1, 10_000_000)
    ).pipe(Options.optional),
    seconds: setting("seconds", "TIME", "how long (default 10s)", values.duration).pipe(
      Options.withDefault(Duration.seconds(10))
    ),
    warmup: setting("warmup", "TIME", "how long before that, without measuring (default none)", values.duration).pipe(
      Options.withDefault(Duration.zero)
    ),
    requests: setting("requests", "N", "end after so many commands", values.whole(1, 1_000_000_000)).pipe(
      Options.optional
    ),
    mix: setting(
      "mix",
      "WEIGHTS",
      "how often which command: get, put, add, delete (default get=80,put=20)",
      values.mix
    ).pipe(Options.withDefault<values.Mix>({ get: 80, put: 20, add: 0, delete: 0 })),
    keys: setting("keys", "N", "how many keys (default 1000)", values.whole(1, maxCount)).pipe(
      Options.withDefault(1000)
    ),
    distribution: setting(
      "distribution",
      "KIND",
      "how often which key: uniform (the default), zipf (few of them most often), gaussian (those in the middle)",
      values.oneOf("uniform", "zipf", "gaussian")
    ).pipe(Options.withDefault("uniform" as const)),
    valueSize: setting(
      "value-size",
      "BYTES",
      "the size of a value: 100, 4k, 1m (default 100)",
      values.size(maxValueSize)
    ).pipe(Options.withDefault(100)),
    connections: setting("connections", "N", "connections to each node (default 1)", values.whole(1, 1024)).pipe(
      Options.withDefault(1)
    ),
    histogram: Options.text("histogram").pipe(
      Options.withPseudoName("FILE"),
      Options.withDescription("write the latencies to a file, as HdrHistogram's tools plot them"),
      Options.optional
    ),
    csv: flag("csv", "comma-separated values on standard output"),
    json,
    connection
  },
  endsItself: true,
  run: lazily(
    () => import("../commands/bench/bench.js"),
    (_) => _.bench
  )
})
