/** What is compared with what. */
import type { ContenderName } from "./contenders.js"
import { type Load, personBytes } from "./load.js"

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
  /** nginx with canned replies, a socket server with the same, the embedded node, or a real server of version 2. */
  readonly on: "nginx" | "canned" | "embedded" | "v2"
  /** How often all contenders start anew: two processes of the same program differ by some percent. Default 1. */
  readonly generations?: number
}

const kib = 1024
const few: ReadonlyArray<ContenderName> = ["full", "plain", "undici", "undici-dispatch"]
const fewAndPeers: ReadonlyArray<ContenderName> = [...few, "ioredis", "memjs"]

const get40 = { command: "get", bytes: 40, inFlight: 64, nodes: 1, on: "nginx" } as const

const replying = {
  canned: "on a server that answers many requests in one write",
  nginx: "on a server that answers each request in a write of its own",
  v2: "on a real server of version 2"
}

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
  {
    ...get40,
    name: "fetch",
    title: "get, 40 B, 6 in flight: over fetch",
    contenders: ["full-fetch", "full-httpclient-fetch", "fetch", "fetch-same-options"],
    inFlight: 6
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
    title: `get, 40 B, 64 in flight, ${replying.canned}`,
    contenders: ["full", "full-dispatch", "codec", "plain", "plain-effect", "undici", "undici-dispatch", "ioredis"],
    on: "canned"
  },
  {
    ...get40,
    name: "canned-256",
    title: `get, 40 B, 256 in flight, ${replying.canned}`,
    contenders: ["full", "plain", "plain-effect", "ioredis"],
    inFlight: 256,
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
  ...(["canned", "nginx", "v2"] as const).flatMap((on) =>
    (["get", "put"] as const).map(
      (command): Scenario => ({
        ...get40,
        name: `${command === "get" ? "many" : "put-many"}${{ canned: "", nginx: "-on-nginx", v2: "-on-v2" }[on]}`,
        title: `${command}Many of 1,000 keys, 40 B, ${replying[on]}; ops are keys`,
        contenders: [
          "ioredis-pipeline",
          "get-many",
          "plain-pipeline",
          ...(command === "get" ? (["for-each"] as const) : [])
        ],
        command,
        inFlight: 1,
        batch: 1000,
        on
      })
    )
  ),
  ...[1, 10].map(
    (batch): Scenario => ({
      ...get40,
      name: `many-of-${batch}`,
      title: `getMany of ${batch} keys, 40 B, and get of one, one at a time; ops are keys`,
      contenders: ["get-alone", "get-many"],
      inFlight: 1,
      batch,
      on: "canned",
      generations: 3
    })
  ),
  {
    ...get40,
    name: "many-on-5-nodes",
    title: "getMany of 1,000 keys, 40 B, on 5 nodes and on one; ops are keys",
    contenders: ["get-many-on-one", "get-many"],
    inFlight: 1,
    batch: 1000,
    nodes: 5,
    on: "canned",
    generations: 5
  },
  {
    ...get40,
    name: "store-get-many",
    title: "getMany of 1,000 keys, a struct of five fields; ops are keys",
    contenders: ["get-many", "store-get-many"],
    bytes: personBytes,
    inFlight: 1,
    batch: 1000,
    on: "canned"
  },
  {
    ...get40,
    name: "cache-aside",
    title: "40 B, 64 in flight, all hits",
    contenders: ["full", "store", "get-or-else", "near-cache"]
  }
]
