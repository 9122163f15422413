/** Worlds that are written out: what befalls real clusters, each with what a client promises of it in particular. */
import * as Option from "effect/Option"
import { type Dialect, Ring } from "effect-ghostdb"
import { found, keyOf, valueOf } from "./invariants/common.js"
import type { ClientPlan, Command, Fault, Operation, Scenario } from "./Scenario.js"
import type { Entry, History } from "./World.js"

/** A world with a name, and how a history of it has broken its promise, in a line each. */
export interface Named {
  readonly name: string
  readonly scenario: (seed: number) => Scenario
  readonly broken: (history: History) => ReadonlyArray<string>
}

const addresses = ["10.0.0.1:7991", "10.0.0.2:7991", "10.0.0.3:7991", "10.0.0.4:7991", "10.0.0.5:7991"]

/** The options of a client, as they are by default but for quicker revivals. */
const client = (name: string, options: Partial<ClientPlan> = {}): ClientPlan => ({
  name,
  startsAt: 0,
  attemptTimeout: 1000,
  deadline: 5000,
  failureThreshold: 3,
  revive: 1000,
  connections: 1,
  pipelining: 256,
  traced: false,
  onRevival: "keep",
  nearCache: undefined,
  readFrom: "leaderPreferred",
  leaderLease: 2000,
  idleTimeout: 90_000,
  failover: "standIn",
  ...options
})

type Task = Pick<Operation, "client" | "at" | "command">

/** A command again and again. */
const every = (
  millis: number,
  from: number,
  until: number,
  task: (at: number) => { readonly client: string; readonly command: Command }
): ReadonlyArray<Task> =>
  Array.from({ length: Math.floor((until - from) / millis) }, (_, i) => {
    const at = from + i * millis
    return { at, ...task(at) }
  })

const put = (key: string, at: number): Command => ({ _tag: "put", key, value: `value-${key}-${at}` })

const get = (key: string): Command => ({ _tag: "get", key })

const world = (options: {
  readonly seed: number
  readonly dialect: Dialect
  readonly nodes: number
  readonly clients: ReadonlyArray<ClientPlan>
  readonly tasks: ReadonlyArray<Task>
  readonly faults: ReadonlyArray<Fault>
  readonly leaseTime?: number
}): Scenario => {
  const healedAt = Math.max(...options.faults.map(({ until }) => until), ...options.tasks.map(({ at }) => at)) + 500
  return {
    seed: options.seed,
    replicas: 1,
    raft: { electionTime: 1000, leaseTime: options.leaseTime ?? 0, replicationDelay: 200 },
    nodes: addresses.slice(0, options.nodes).map((address) => ({ address, dialect: options.dialect })),
    clients: options.clients,
    operations: options.tasks.map((task, id) => ({
      ...task,
      id,
      region: "plain",
      interruptAfter: undefined,
      healed: false
    })),
    faults: options.faults,
    healedAt,
    worksAt: healedAt + 8000,
    closedAt: healedAt + 18_000
  }
}

const line = (entry: Entry): string =>
  `#${entry.operation.id} ${entry.operation.command._tag} from ${entry.began.toFixed(1)} to ${entry.ended?.toFixed(1)}: ${JSON.stringify(entry.outcome)}`

const failed = ({ entries }: History): ReadonlyArray<string> =>
  entries.filter(({ outcome }) => outcome?._tag !== "ok").map(line)

/** Reads that found what is older than a write of the key that was acknowledged `age` milliseconds before they began. */
const olderThan = ({ entries }: History, age: number): ReadonlyArray<string> => {
  const writes = entries.filter(({ operation, outcome }) => operation.command._tag === "put" && outcome?._tag === "ok")
  return entries.flatMap((read) => {
    const value = found(read)
    if (value === undefined) return []
    const known = writes.filter(
      (write) => keyOf(write) === keyOf(read) && (write.ended ?? Number.POSITIVE_INFINITY) < read.began - age
    )
    const last = known.at(-1)
    const of = writes.findIndex((write) => valueOf(write) === value)
    return last === undefined || (value !== null && (of < 0 || of >= writes.indexOf(last)))
      ? []
      : [`${line(read)}, after ${line(last)}`]
  })
}

/** The owner of a key, and the node that stands in for it. */
const ownersOf = (key: string, nodes: number): readonly [owner: string, standIn: string] => {
  const ring = Ring.make(addresses.slice(0, nodes), { replicas: 1 })
  const owner = Option.getOrElse(Ring.lookup(ring, key), () => "")
  return [owner, Option.getOrElse(Ring.lookup(Ring.remove(ring, owner), key), () => "")]
}

/** When a client first saw a node dead. */
const deadAt = ({ views }: History, name: string, node: string): number =>
  views.get(name)?.find(({ topology }) => topology.dead.some((dead) => dead.node === node))?.time ??
  Number.POSITIVE_INFINITY

const leader = addresses[0] ?? ""

const keys = Array.from({ length: 20 }, (_, i) => `key-${i + 1}`)

/** The longest delay before another attempt, and the time of that: a command in such a delay goes on after it. */
const retryDelay = 60

const cutLeader = (seed: number, readFrom: ClientPlan["readFrom"]): Scenario =>
  world({
    seed,
    dialect: "raft",
    nodes: 3,
    leaseTime: 60_000,
    clients: [client("reader", { readFrom }), client("writer")],
    tasks: [
      ...every(50, 100, 15_000, (at) => ({ client: "writer", command: put("key-1", at) })),
      ...every(50, 525, 15_000, () => ({ client: "reader", command: get("key-1") }))
    ],
    faults: [{ _tag: "raft partition", at: 2000, until: 14_000, members: [leader] }]
  })

const outages = (seed: number, onRevival: ClientPlan["onRevival"]): Scenario => {
  const [owner] = ownersOf("key-1", 3)
  const tasks = [500, 2000, 6000].map((at) => ({ client: "client", at, command: put("key-1", at) }))
  return world({
    seed,
    dialect: "v2",
    nodes: 3,
    clients: [client("client", { onRevival })],
    tasks: [...tasks, ...every(100, 8500, 9500, () => ({ client: "client", command: get("key-1") }))],
    faults: [
      { _tag: "down", at: 1500, until: 3000, node: owner, keep: true },
      { _tag: "down", at: 8000, until: 10_000, node: owner, keep: true }
    ]
  })
}

/** The worlds. */
export const scenarios: ReadonlyArray<Named> = [
  {
    name: "a raft leader is killed and restarts at once, empty: a client that reads finds everything",
    scenario: (seed) =>
      world({
        seed,
        dialect: "raft",
        nodes: 3,
        clients: [client("reader"), client("writer")],
        tasks: [
          { client: "writer", at: 100, command: put("key-1", 100) },
          ...every(10, 600, 5000, () => ({ client: "reader", command: get("key-1") }))
        ],
        faults: [{ _tag: "down", at: 1000, until: 1100, node: leader, keep: false }]
      }),
    broken: (history) => [...failed(history), ...olderThan(history, 0)]
  },
  ...(["leaderPreferred", "leader"] as const).map((readFrom) => ({
    name: `a raft leader is cut off from the others, and not from its readers: "${readFrom}" reads nothing older than its lease`,
    scenario: (seed: number) => cutLeader(seed, readFrom),
    broken: (history: History) => olderThan(history, readFrom === "leader" ? 2000 : 3500)
  })),
  {
    name: "a node is frozen: it is dead in two attempts, and all who wait on it are answered at that moment",
    scenario: (seed) =>
      world({
        seed,
        dialect: "v2",
        nodes: 3,
        clients: [client("client")],
        tasks: [
          ...every(20, 100, 5000, (at) => ({ client: "client", command: get(`key-${at}`) })),
          ...every(100, 110, 5000, (at) => ({ client: "client", command: put(`key-${at}`, at) }))
        ],
        faults: [{ _tag: "frozen", at: 1000, until: 6000, node: leader }]
      }),
    broken: (history) => {
      const dead = deadAt(history, "client", leader)
      const swallowed = history.swallowed[0]?.time ?? Number.NaN
      return [
        ...failed(history),
        ...(dead <= swallowed + 2200 ? [] : [`dead at ${dead}, the first request swallowed at ${swallowed}`]),
        ...history.entries
          .filter(({ began, ended }) => began < dead && (ended ?? Number.POSITIVE_INFINITY) > dead + retryDelay)
          .map(line)
      ]
    }
  },
  {
    name: "two neighbours on the ring are frozen: a command is answered within its deadline",
    scenario: (seed) =>
      world({
        seed,
        dialect: "v2",
        nodes: 5,
        clients: [client("client")],
        tasks: [
          { client: "client", at: 100, command: put("key-1", 100) },
          { client: "client", at: 1500, command: get("key-1") }
        ],
        faults: ownersOf("key-1", 5).map((node) => ({ _tag: "frozen", at: 1000, until: 9000, node }))
      }),
    broken: failed
  },
  ...(["keep", "flush"] as const).map((onRevival) => ({
    name: `an owner is away twice, onRevival "${onRevival}": what its stand-in was given is not read at the second time`,
    scenario: (seed: number) => outages(seed, onRevival),
    broken: (history: History) => [
      ...failed(history),
      ...history.entries
        .filter((entry) => entry.operation.at >= 8500)
        .filter((entry) => found(entry) === "value-key-1-2000")
        .map(line)
    ]
  })),
  {
    name: "a nodes file is written line by line, 0.4 s after another: no node goes, and no read is astray",
    scenario: (seed) =>
      world({
        seed,
        dialect: "v2",
        nodes: 5,
        clients: [client("client")],
        tasks: [
          ...keys.map((key, i) => ({ client: "client", at: 100 + 10 * i, command: put(key, 0) })),
          ...every(10, 900, 4500, (at) => ({ client: "client", command: get(keys[(at / 10) % keys.length] ?? "") }))
        ],
        faults: [{ _tag: "half a nodes file", at: 1000, until: 3000 }]
      }),
    broken: (history) => [
      ...failed(history),
      ...history.entries.filter((entry) => found(entry) === null).map(line),
      ...(history.views.get("client") ?? [])
        .filter(({ topology }) => topology.live.length < 5)
        .map(({ time }) => `a node is gone at ${time}`)
    ]
  },
  {
    name: "a node is taken out of the nodes file: it is gone after 2 s, when that is confirmed",
    scenario: (seed) =>
      world({
        seed,
        dialect: "v2",
        nodes: 5,
        clients: [client("client")],
        tasks: every(50, 100, 6000, (at) => ({ client: "client", command: put("key-1", at) })),
        faults: [{ _tag: "nodes file", at: 1000, until: 7000, without: [addresses[1] ?? ""] }]
      }),
    broken: (history) => {
      const gone = history.views.get("client")?.find(({ topology }) => topology.live.length === 4)?.time ?? 0
      return [...failed(history), ...(gone >= 3000 && gone <= 3200 ? [] : [`gone at ${gone}`])]
    }
  },
  {
    name: "a raft leader is frozen: writes are back within a second of the next leader",
    scenario: (seed) =>
      world({
        seed,
        dialect: "raft",
        nodes: 3,
        clients: [client("client")],
        tasks: every(50, 100, 6000, (at) => ({ client: "client", command: put("key-1", at) })),
        faults: [{ _tag: "frozen", at: 1000, until: 7000, node: leader }]
      }),
    broken: (history) => {
      const next = history.leaders.find(({ node, time }) => time > 1000 && node !== undefined)?.time ?? Number.NaN
      const back = history.entries
        .filter(({ ended, outcome }) => outcome?._tag === "ok" && (ended ?? 0) > next)
        .reduce((first, { ended }) => Math.min(first, ended ?? first), Number.POSITIVE_INFINITY)
      return back <= next + 1000 ? [] : [`a leader since ${next}, and the first write at ${back}`]
    }
  }
]
