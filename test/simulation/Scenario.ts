/** What happens in a world, as data that a seed gives: who takes part, what they do, and what befalls them. */
import type { Dialect } from "effect-ghostdb"
import * as Random from "./Random.js"
import type { Garbage } from "./SimulatedNode.js"

/** A client and its options; times are milliseconds. */
export interface ClientPlan {
  readonly name: string
  readonly startsAt: number
  readonly attemptTimeout: number
  readonly deadline: number
  readonly failureThreshold: number
  readonly revive: number
  readonly connections: number
  readonly pipelining: number
  /** Whether a tracer is installed: commands then go another way. */
  readonly traced: boolean
  readonly onRevival: "keep" | "flush"
  readonly nearCache: { readonly capacity: number; readonly ttl: number } | undefined
  readonly readFrom: "leaderPreferred" | "leader" | "any"
  readonly leaderLease: number
  readonly idleTimeout: number
  readonly failover: "standIn" | "none"
}

/** A command, or what is made of commands. Every value that is written is the only one of its kind. */
export type Command =
  | { readonly _tag: "get" | "delete"; readonly key: string }
  | { readonly _tag: "put" | "add"; readonly key: string; readonly value: string }
  | { readonly _tag: "getMany" | "deleteMany"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "putMany" | "addMany"; readonly entries: ReadonlyArray<readonly [key: string, value: string]> }
  | { readonly _tag: "flush" | "ping" | "leader" | "getSnitchMetrics" | "expireTags" | "clear" }
  | { readonly _tag: "nodeSize"; readonly node: string }
  | {
      readonly _tag: "getOrElse"
      readonly key: string
      readonly value: string
      /** How long the effect takes. */
      readonly takes: number
      readonly fails: boolean
      readonly lock: boolean
      readonly staleFor: "1 minute" | undefined
      /** Whether its entry has the tag that `expireTags` ends. */
      readonly tagged: boolean
    }

/** How a command is run: as it is, in an uninterruptible region, or in a finalizer. */
export type Region = "plain" | "uninterruptible" | "finalizer"

/** A command of a client at a time. */
export interface Operation {
  readonly id: number
  readonly client: string
  readonly at: number
  readonly command: Command
  readonly region: Region
  /** When the caller gives it up, counted from `at`. */
  readonly interruptAfter: number | undefined
  /** Made when all faults are over for long enough: it has to succeed. */
  readonly healed: boolean
}

/** What befalls the world from `at` to `until`. */
export type Fault = { readonly at: number; readonly until: number } & (
  | { readonly _tag: "down"; readonly node: string; readonly keep: boolean }
  | { readonly _tag: "frozen"; readonly node: string }
  | { readonly _tag: "slow"; readonly node: string; readonly latency: number }
  | { readonly _tag: "paced"; readonly node: string; readonly serviceTime: number }
  | {
      readonly _tag: "garbage"
      readonly node: string
      readonly form: Garbage
      /** The one command that is answered so; all of them where it is absent. */
      readonly only?: "put"
    }
  | { readonly _tag: "closing"; readonly node: string; readonly replies: number; readonly announced: boolean }
  | { readonly _tag: "reset"; readonly node: string }
  | { readonly _tag: "upgraded"; readonly node: string; readonly dialect: Dialect }
  | {
      readonly _tag: "cut"
      readonly node: string
      readonly client: string
      readonly directions: ReadonlyArray<"request" | "reply">
    }
  | {
      readonly _tag: "lossy"
      readonly node: string
      readonly client: string
      readonly direction: "request" | "reply"
      readonly probability: number
    }
  | { readonly _tag: "stalled"; readonly client: string }
  | { readonly _tag: "wall clock"; readonly client: string; readonly step: number }
  | { readonly _tag: "no files"; readonly client: string }
  | { readonly _tag: "closed" | "killed"; readonly client: string }
  | { readonly _tag: "nodes file"; readonly without: ReadonlyArray<string> }
  /** It is written anew, line by line, and is a shorter file meanwhile. */
  | { readonly _tag: "half a nodes file" }
  | { readonly _tag: "stepDown" }
  | { readonly _tag: "raft partition"; readonly members: ReadonlyArray<string> }
  /** Messages of the first member do not reach the second. */
  | { readonly _tag: "raft cut"; readonly from: string; readonly to: string }
  | { readonly _tag: "raft lag"; readonly member: string; readonly delay: number }
)

/** A whole world. */
export interface Scenario {
  readonly seed: number
  readonly replicas: number
  /** The timing of the raft group that all raft nodes form, in milliseconds. */
  readonly raft: { readonly electionTime: number; readonly leaseTime: number; readonly replicationDelay: number }
  readonly nodes: ReadonlyArray<{ readonly address: string; readonly dialect: Dialect }>
  readonly clients: ReadonlyArray<ClientPlan>
  readonly operations: ReadonlyArray<Operation>
  readonly faults: ReadonlyArray<Fault>
  /** From then on nothing is wrong any more. */
  readonly healedAt: number
  /** From then on everything works again. */
  readonly worksAt: number
  /** When all clients are closed. */
  readonly closedAt: number
}

/** How long a client may take to revive a node that is well: a probe that was under way, and one more. */
export const revivalTakes = ({ attemptTimeout, onRevival, revive }: ClientPlan): number =>
  2 * (1.2 * revive + attemptTimeout * (onRevival === "flush" ? 2 : 1)) + 50

const places = (random: Random.Random): Scenario["nodes"] => {
  const count = random.weighted<number>([
    [2, 1],
    [3, 2],
    [5, 3],
    [3, 5],
    [1, 9]
  ])
  const addresses = Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}:7991`)
  const dialects = random.weighted<ReadonlyArray<Dialect>>([
    [4, ["v2"]],
    [2, ["v1"]],
    [4, ["raft"]],
    [1, ["v1", "v2"]],
    [1, ["v2", "raft"]]
  ])
  return addresses.map((address) => ({ address, dialect: random.pick(dialects) }))
}

const clientPlans = (seed: number, random: Random.Random): ReadonlyArray<ClientPlan> =>
  Array.from({ length: random.pick([1, 1, 1, 2, 2, 3, 3, 4, 5]) }, (_, i) => {
    const attemptTimeout = random.pick([200, 500, 1000])
    const name = `client-${i + 1}`
    // Of a stream of its own: what else the seed chooses stays as it is.
    const routing = Random.make(seed, `routing of ${name}`)
    return {
      name,
      startsAt: random.chance(0.5) ? 0 : random.int(0, 500),
      attemptTimeout,
      deadline: attemptTimeout * random.pick([1, 3, 5]),
      failureThreshold: random.pick([1, 3, 3, 5]),
      revive: random.pick([300, 1000, 2000]),
      connections: random.pick([1, 1, 1, 2]),
      pipelining: random.pick([1, 8, 256]),
      traced: random.chance(0.3),
      onRevival: random.pick(["keep", "keep", "flush"]),
      nearCache: random.chance(0.2) ? { capacity: random.int(1, 4), ttl: random.pick([100, 1000]) } : undefined,
      readFrom: routing.pick(["leaderPreferred", "leaderPreferred", "leader", "any"]),
      leaderLease: routing.pick([500, 2000, 2000]),
      failover: routing.pick(["standIn", "standIn", "none"]),
      idleTimeout: routing.pick([200, 1000, 90_000])
    }
  })

/**
 * One of five keys: with a lock, without, with stale values, with a tag, and of a store that can be cleared. Callers of a
 * key must agree on that.
 */
const lookup = (random: Random.Random, value: string): Command => {
  const at = random.int(1, 5)
  return {
    _tag: "getOrElse",
    key: `store-${at}`,
    value,
    takes: random.pick([1, 20, 300]),
    fails: random.chance(0.1),
    lock: at === 1,
    staleFor: at === 3 ? "1 minute" : undefined,
    tagged: at === 4
  }
}

/** A command on some keys, of which each is a part of the history by itself. */
const manyOf = (random: Random.Random, id: number, keys: number): Command => {
  const some = Array.from({ length: keys }, (_, i) => `key-${i + 1}`).filter(() => random.chance(0.6))
  const entries = some.map((key, i) => [key, `value-${id}-${i + 1}`] as const)
  return random.weighted<Command>([
    [4, { _tag: "getMany", keys: some }],
    [3, { _tag: "putMany", entries }],
    [1, { _tag: "addMany", entries }],
    [1, { _tag: "deleteMany", keys: some }]
  ])
}

const commandOf = (random: Random.Random, id: number, keys: number, scenario: Pick<Scenario, "nodes">): Command => {
  const key = `key-${random.int(1, keys)}`
  const value = `value-${id}`
  return random.weighted<() => Command>([
    [40, () => ({ _tag: "get", key })],
    [25, () => ({ _tag: "put", key, value })],
    [10, () => ({ _tag: "add", key, value })],
    [10, () => ({ _tag: "delete", key })],
    // Keys that nothing else touches: what an add answers there is certain.
    [5, () => ({ _tag: "add", key: `fresh-${id}`, value })],
    [15, () => lookup(random, value)],
    [2, () => ({ _tag: "delete", key: `store-${random.int(1, 5)}` })],
    [2, () => ({ _tag: "expireTags" })],
    [1, () => ({ _tag: "clear" })],
    [5, () => manyOf(random, id, keys)],
    [0.5, () => ({ _tag: "flush" })],
    [1, () => ({ _tag: "ping" })],
    [1, () => ({ _tag: "leader" })],
    [1, () => ({ _tag: "getSnitchMetrics" })],
    [1, () => ({ _tag: "nodeSize", node: random.pick(scenario.nodes).address })]
  ])()
}

const operationsOf = (
  seed: number,
  { name, startsAt }: ClientPlan,
  nodes: Scenario["nodes"],
  keys: number,
  span: number,
  firstId: number,
  isOverloaded: boolean
): ReadonlyArray<Operation> => {
  const random = Random.make(seed, `operations of ${name}`)
  const operations: Array<Operation> = []
  const add = (at: number) => {
    const id = firstId + operations.length
    operations.push({
      id,
      client: name,
      at,
      command: commandOf(random, id, keys, { nodes }),
      region: random.weighted<Region>([
        [8, "plain"],
        [1, "uninterruptible"],
        [1, "finalizer"]
      ]),
      interruptAfter: random.chance(0.15) ? random.pick([0, random.between(0, 2), random.between(0, 1500)]) : undefined,
      healed: false
    })
  }
  const pace = random.pick([50, 150, 400])
  for (let at = startsAt; at < startsAt + span; at += random.between(0, 2 * pace)) {
    const together = random.chance(0.1) ? 5 : 1
    for (let i = 0; i < together; i++) add(at)
  }
  if (random.chance(isOverloaded ? 0.6 : 0.05)) {
    const [at, burst] = [startsAt + random.between(0, span), random.pick(isOverloaded ? [200, 400] : [50, 200])]
    for (let i = 0; i < burst; i++) add(at)
  }
  return operations
}

const onNode = (random: Random.Random, node: string, dialect: Dialect, at: number, until: number): Fault => {
  const time = { at, until, node }
  return random.weighted<() => Fault>([
    [3, () => ({ ...time, _tag: "down", keep: random.chance(0.4) })],
    [3, () => ({ ...time, _tag: "frozen" })],
    [2, () => ({ ...time, _tag: "slow", latency: random.pick([1, 5, 10, 150, 1500]) })],
    [2, () => ({ ...time, _tag: "paced", serviceTime: random.pick([0.5, 2, 5]) })],
    [
      2,
      () => ({
        ...time,
        _tag: "garbage",
        form: random.pick<Garbage>(["bad gateway", "no HTTP", "two documents", "empty", "foreign JSON"])
      })
    ],
    [2, () => ({ ...time, _tag: "garbage", form: "bad gateway", only: "put" })],
    [2, () => ({ ...time, _tag: "closing", replies: random.int(1, 10), announced: random.chance(0.7) })],
    [2, () => ({ ...time, _tag: "reset" })],
    [dialect === "raft" ? 0 : 1, () => ({ ...time, _tag: "upgraded", dialect: dialect === "v1" ? "v2" : "v1" })]
  ])()
}

const onLink = (random: Random.Random, node: string, client: string, at: number, until: number): Fault =>
  random.chance(0.5)
    ? {
        _tag: "cut",
        at,
        until,
        node,
        client,
        directions: random.pick<ReadonlyArray<"request" | "reply">>([["request", "reply"], ["request"], ["reply"]])
      }
    : {
        _tag: "lossy",
        at,
        until,
        node,
        client,
        direction: random.pick(["request", "reply"]),
        probability: random.pick([0.01, 0.1, 0.5])
      }

const onClient = (random: Random.Random, client: string, at: number, until: number): Fault => {
  const time = { at, until, client }
  return random.weighted<() => Fault>([
    [3, () => ({ ...time, _tag: "stalled" })],
    [3, () => ({ ...time, _tag: "wall clock", step: random.pick([-3_600_000, -1000, 1000, 3_600_000]) })],
    [1, () => ({ ...time, _tag: "no files" })],
    [0.5, () => ({ ...time, _tag: "closed" })],
    [0.5, () => ({ ...time, _tag: "killed" })]
  ])()
}

const onRaft = (random: Random.Random, members: ReadonlyArray<string>, at: number, until: number): Fault => {
  const time = { at, until }
  return random.weighted<() => Fault>([
    [1, () => ({ ...time, _tag: "stepDown" })],
    // Mostly one member: most of the time the others have a majority.
    [2, () => ({ ...time, _tag: "raft partition", members: members.slice(0, random.pick([1, 1, 2])) })],
    [1, () => ({ ...time, _tag: "raft cut", from: random.pick(members), to: random.pick(members) })],
    [1, () => ({ ...time, _tag: "raft lag", member: random.pick(members), delay: random.pick([100, 2000]) })]
  ])()
}

const faultsOf = (
  seed: number,
  nodes: Scenario["nodes"],
  clients: ReadonlyArray<ClientPlan>,
  healedAt: number
): ReadonlyArray<Fault> => {
  const random = Random.make(seed, "faults")
  const members = nodes.filter(({ dialect }) => dialect === "raft").map(({ address }) => address)
  return Array.from(
    {
      length: random.weighted<number>([
        [1, 0],
        [3, 1],
        [4, 3],
        [3, 6]
      ])
    },
    (): Fault => {
      const at = random.between(0, healedAt * 0.8)
      const until = Math.min(healedAt, at + random.pick([1, 100, 1500, 4000]) * random.between(0.5, 1.5))
      const { address, dialect } = random.pick(nodes)
      const { name } = random.pick(clients)
      return random.weighted<() => Fault>([
        [6, () => onNode(random, address, dialect, at, until)],
        [2, () => onLink(random, address, name, at, until)],
        [2, () => onClient(random, name, at, until)],
        [
          nodes.length > 1 ? 1 : 0,
          () => ({
            _tag: "nodes file",
            at,
            until,
            without: nodes.slice(1).flatMap((node) => (random.chance(0.5) ? [node.address] : []))
          })
        ],
        [members.length > 0 ? 4 : 0, () => onRaft(random, members, at, until)]
      ])()
    }
  )
}

/** The nodes file is written in place, now and then. */
const rewriting = (seed: number, nodes: Scenario["nodes"], healedAt: number): ReadonlyArray<Fault> => {
  const random = Random.make(seed, "writing of the nodes file")
  if (nodes.length === 1 || !random.chance(0.15)) return []
  const at = random.between(0, healedAt * 0.8)
  return [{ _tag: "half a nodes file", at, until: Math.min(healedAt, at + random.pick([10, 800, 1500])) }]
}

/** All nodes are so slow that bursts have to wait, and none of them stands still. */
const overload = (random: Random.Random, nodes: Scenario["nodes"], until: number): ReadonlyArray<Fault> => {
  const serviceTime = random.pick([2, 5])
  return nodes.map(({ address }) => ({ _tag: "paced", at: 0, until, node: address, serviceTime }))
}

/** The commands by which each client shows that it works again. */
const healedOperations = (clients: ReadonlyArray<ClientPlan>, at: number, firstId: number): ReadonlyArray<Operation> =>
  clients.flatMap(({ name }, i) =>
    (["put", "get", "delete"] as const).map((tag, j): Operation => {
      const id = firstId + i * 3 + j
      const key = `healed-${name}`
      return {
        id,
        client: name,
        at: at + j * 100,
        command: tag === "put" ? { _tag: tag, key, value: `value-${id}` } : { _tag: tag, key },
        region: "plain",
        interruptAfter: undefined,
        healed: true
      }
    })
  )

/** The world of a seed. */
export const generate = (seed: number): Scenario => {
  const random = Random.make(seed, "world")
  const nodes = places(random)
  const clients = clientPlans(seed, random)
  const span = random.weighted<number>([
    [5, 500],
    [3, 1500],
    [1, 5000]
  ])
  const keys = random.int(1, 6)
  const operations: Array<Operation> = []
  const isOverloaded = random.chance(0.08)
  for (const client of clients) {
    operations.push(...operationsOf(seed, client, nodes, keys, span, operations.length, isOverloaded))
  }
  const healedAt = span + 500
  const worksAt = healedAt + Math.max(...clients.map((client) => revivalTakes(client) + client.deadline)) + 1000
  operations.push(...healedOperations(clients, worksAt, operations.length))
  return {
    seed,
    replicas: random.pick([1, 1, 20]),
    raft: {
      electionTime: random.pick([100, 1000]),
      leaseTime: random.pick([0, 500, 3000]),
      replicationDelay: random.pick([0, 20, 200])
    },
    nodes,
    clients,
    operations,
    faults: [
      ...faultsOf(seed, nodes, clients, healedAt),
      ...rewriting(seed, nodes, healedAt),
      ...(isOverloaded ? overload(random, nodes, healedAt) : [])
    ],
    healedAt,
    worksAt,
    closedAt: worksAt + 10_000
  }
}
