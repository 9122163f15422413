/** The commands on the whole cluster: options and help. */
import * as Args from "@effect/cli/Args"
import { define, lazily } from "../define.js"
import { connection, flag, interval, json, key, nodeList, probing } from "../line/options.js"

/** `ghostdb flush` */
export const flush = define({
  name: "flush",
  arguments: "",
  summary: "Empties every node, for all its clients",
  details: ["Asks first. Where there is no terminal to ask on, it wants --yes."],
  examples: ["flush", "flush --yes"],
  config: { yes: flag("yes", "do not ask"), json, connection },
  run: lazily(
    () => import("../commands/cluster.js"),
    (_) => _.flush
  )
})

/** `ghostdb ping` */
export const ping = define({
  name: "ping",
  arguments: "",
  summary: "Which nodes answer, how fast, and why the others do not",
  details: [
    "Ends with 1 where some do not, and with 3 where none does. The first ping of a node connects, which takes longer.",
    "With --watch it goes on until Ctrl-C; where no terminal is, or with --json, each interval has its own table or line."
  ],
  examples: ["ping", "ping --watch --interval 200ms", "ping --nodes https://config.example/gdb.conf --json"],
  config: {
    watch: flag("watch", "go on: least, median and 99th percentile of the last pings, and how many were lost"),
    interval,
    json,
    connection: probing
  },
  run: lazily(
    () => import("../commands/ping.js"),
    (_) => _.ping
  )
})

/** `ghostdb size` */
export const size = define({
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
  run: lazily(
    () => import("../commands/cluster.js"),
    (_) => _.size
  )
})

/** `ghostdb metrics` */
export const metrics = define({
  name: "metrics",
  arguments: "",
  summary: "What each node counts and measures, with its trend",
  details: [
    "Watchdog: requests and what came of them. Snitch: memory and collections. A node adds a row each interval, on real",
    "servers every 5 minutes; PER SECOND is what came between the last two. Lines that are 0 in every row are left out."
  ],
  examples: [
    "metrics --last",
    "metrics --node 10.0.0.1",
    "metrics --prometheus > /var/lib/node_exporter/ghostdb.prom",
    "metrics --json | jq '.watchdog[].data[-1].CacheMiss'"
  ],
  config: {
    node: nodeList("node", "only this node; may be given several times"),
    last: flag("last", "the last row alone, a line for each node, with its age"),
    prometheus: flag("prometheus", "the last row in Prometheus' text format"),
    json,
    connection
  },
  run: lazily(
    () => import("../commands/metrics.js"),
    (_) => _.metrics
  )
})

/** `ghostdb ring` */
export const ring = define({
  name: "ring",
  arguments: "[KEY]",
  summary: "The share of the key space that each node has, the owner of a key, or what a change of the nodes does",
  details: [
    "Computed from the addresses. With --live the nodes that do not answer are left out; with KEY its owners are asked",
    "what they are, for a second at most: in a raft cluster every node holds every key, and the leader is named instead."
  ],
  examples: [
    "ring",
    "ring AMZN",
    "ring --add 10.0.0.4",
    "ring --remove 10.0.0.1 --add 10.0.0.4,10.0.0.5",
    "ring --live"
  ],
  config: {
    key: key.pipe(Args.optional),
    live: flag("live", "leave out the nodes that do not answer a ping"),
    add: nodeList("add", "nodes to add: the shares before and after, and which keys move"),
    remove: nodeList("remove", "nodes to take out, likewise"),
    json,
    connection
  },
  run: lazily(
    () => import("../commands/ring.js"),
    (_) => _.ring
  )
})

/** `ghostdb leader` */
export const leader = define({
  name: "leader",
  arguments: "",
  summary: "The leader of a raft cluster",
  details: ["Ends with 1 where there is none, as in clusters of v1 and v2 servers."],
  examples: ["leader"],
  config: { json, connection },
  run: lazily(
    () => import("../commands/cluster.js"),
    (_) => _.leader
  )
})
