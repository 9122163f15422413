/** What is compared with what. */
import type { ContenderName } from "./contenders.js"
import type { Load } from "./load.js"

/** One comparison: the contenders take turns, round by round. */
export interface Scenario {
  /** For `--only`, and for the ratios that must hold. */
  readonly name: string
  readonly title: string
  readonly contenders: ReadonlyArray<ContenderName>
  readonly command: Load["command"]
  readonly bytes: number
  readonly inFlight: number
  /** Keys of one operation. Default 1. */
  readonly batch?: number
  readonly nodes: number
  /** nginx with canned replies, a socket server with the same, or the embedded node. */
  readonly on: "nginx" | "canned" | "embedded"
  /** How often all contenders start anew: two processes of the same program differ by some percent. Default 1. */
  readonly generations?: number
}

const kib = 1024
const few: ReadonlyArray<ContenderName> = ["full", "plain", "undici", "undici-dispatch"]
const fewAndPeers: ReadonlyArray<ContenderName> = [...few, "ioredis", "memjs"]

const get40 = { command: "get", bytes: 40, inFlight: 64, nodes: 1, on: "nginx" } as const

/** The scenario that most ratios are about. */
export const headline: Scenario = {
  ...get40,
  name: "get",
  title: "get, 40 B, 64 in flight",
  contenders: ["full", "codec", "plain", "undici", "undici-dispatch", "ioredis", "node-redis", "memjs"],
  generations: 3
}

export const scenarios: ReadonlyArray<Scenario> = [
  headline,
  {
    ...get40,
    name: "transports",
    title: "get, 40 B, 64 in flight: other ways to send",
    contenders: ["full", "full-dispatch", "full-httpclient", "undici", "undici-dispatch", "http-request"]
  },
  ...[1, 16, 256].map(
    (inFlight): Scenario => ({
      ...get40,
      name: `get-${inFlight}-in-flight`,
      title: `get, 40 B, ${inFlight} in flight`,
      contenders: fewAndPeers,
      inFlight
    })
  ),
  {
    ...get40,
    name: "put",
    title: "put, 40 B, 64 in flight",
    contenders: ["full", "codec", "plain", "undici", "undici-dispatch", "ioredis", "node-redis", "memjs"],
    command: "put"
  },
  ...(["get", "put"] as const).flatMap((command) =>
    [10, 100].map(
      (size): Scenario => ({
        ...get40,
        name: `${command}-${size}k`,
        title: `${command}, ${size} KiB, 64 in flight`,
        contenders: fewAndPeers,
        command,
        bytes: size * kib
      })
    )
  ),
  { ...get40, name: "5-nodes", title: "get, 40 B, 64 in flight, 5 nodes", contenders: few, nodes: 5 },
  {
    ...get40,
    name: "canned",
    title: "get, 40 B, 64 in flight, on a server that answers many requests in one write",
    contenders: ["full", "full-dispatch", "codec", "plain", "undici", "undici-dispatch"],
    on: "canned"
  },
  {
    ...get40,
    name: "embedded",
    title: "get, 40 B, 64 in flight, on the embedded node",
    contenders: few,
    on: "embedded"
  },
  {
    ...get40,
    name: "telemetry",
    title: "get, 40 B, 64 in flight: what metrics and tracing cost",
    contenders: ["full", "full-no-metrics", "full-no-spans", "full-traced"],
    generations: 5
  },
  {
    ...get40,
    name: "many",
    title: "getMany of 1,000 keys, 40 B, on a server that answers many requests in one write; ops are keys",
    contenders: ["ioredis-pipeline", "get-many", "store-get-many", "for-each"],
    inFlight: 1,
    batch: 1000,
    on: "canned"
  },
  {
    ...get40,
    name: "put-many",
    title: "putMany of 1,000 keys, 40 B, on a server that answers many requests in one write; ops are keys",
    contenders: ["ioredis-pipeline", "get-many"],
    command: "put",
    inFlight: 1,
    batch: 1000,
    on: "canned"
  },
  {
    ...get40,
    name: "many-on-nginx",
    title: "getMany of 1,000 keys, 40 B, on a server that answers each request in a write of its own; ops are keys",
    contenders: ["ioredis-pipeline", "get-many", "for-each"],
    inFlight: 1,
    batch: 1000
  },
  ...[1, 10].map(
    (batch): Scenario => ({
      ...get40,
      name: `many-of-${batch}`,
      title: `getMany of ${batch} keys, 40 B, one at a time; ops are keys`,
      contenders: ["get-many"],
      inFlight: 1,
      batch,
      on: "canned"
    })
  ),
  {
    ...get40,
    name: "many-on-5-nodes",
    title: "getMany of 1,000 keys, 40 B, 5 nodes; ops are keys",
    contenders: ["get-many"],
    inFlight: 1,
    batch: 1000,
    nodes: 5,
    on: "canned"
  },
  {
    ...get40,
    name: "cache-aside",
    title: "40 B, 64 in flight, all hits",
    contenders: ["full", "store", "get-or-else", "near-cache"]
  }
]
