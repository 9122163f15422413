/**
 * Real servers, each in a network namespace and with a home of its own, on a bridge that the tests' process reaches. What
 * a scope starts here ends with it: processes by their ids, namespaces by their names.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { Array as Arr, Effect, Schedule, Schema, type Scope } from "effect"
import type { Dialect } from "effect-ghostdb"

const bins = process.env.GHOSTDB_BINS ?? ""
const outer = process.env.GHOSTDB_NAMESPACE ?? ""

/** The versions whose servers are there. */
export const versions: ReadonlyArray<Dialect> = (["v1", "v2", "raft"] as const).filter((version) =>
  (process.env.GHOSTDB_VERSIONS ?? "").split(",").includes(version)
)

/** One server, by its place in the cluster. */
export interface RealNode {
  /** As a nodes file writes it: the host alone, since every real server listens on 7991. */
  readonly address: string
  /** Ends the process at once, as a crash does. What it held in memory is lost. */
  readonly kill: Effect.Effect<void>
  /** Starts it again, empty, and waits until it listens. A raft member joins its group again. */
  readonly start: Effect.Effect<void>
  /** Kills the process and starts it again at once, empty, with the arguments of its first start, as a supervisor does. */
  readonly restart: Effect.Effect<void>
  /** Stops the process from running, and its connections from answering, without closing them. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Takes the node off the network: nothing reaches it, and nobody is told. */
  readonly unplug: Effect.Effect<void>
  readonly plug: Effect.Effect<void>
  /** Drops what the node exchanges with these others; the client still reaches it. */
  readonly cutFrom: (others: ReadonlyArray<RealNode>) => Effect.Effect<void>
  readonly mend: Effect.Effect<void>
}

const sh = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.sync(() => void execFileSync(command, args, { stdio: "pipe" }))

const ip = (...args: ReadonlyArray<string>) => sh("ip", ...args)

let count = 0

/** The reply of one server to a request that no client of ours has made. */
export const post = (address: string, command: string, body = "{}") =>
  Effect.tryPromise(async () => {
    const reply = await fetch(`http://${address}:7991/${command}`, {
      method: "POST",
      body,
      signal: AbortSignal.timeout(1000)
    })
    return await reply.text()
  })

/** Asks again until there is an answer. */
const soon = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A> =>
  Effect.orDie(Effect.retry(effect, Schedule.spaced("50 millis").pipe(Schedule.upTo("20 seconds"))))

const Leader = Schema.parseJson(Schema.Struct({ Message: Schema.TemplateLiteral(Schema.String, ":11000") }))

const Done = Schema.parseJson(Schema.Struct({ Message: Schema.Literal("OK") }))

/** The members that do what only a leader does. A leader that was cut off is one as well, until it notices. */
export const ruling = (nodes: ReadonlyArray<RealNode>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Effect.forEach(
      nodes,
      ({ address }) =>
        Effect.option(Effect.as(Effect.flatMap(post(address, "nodeSize"), Schema.decode(Done)), address)),
      { concurrency: "unbounded" }
    ),
    Arr.getSomes
  )

/** The address of the leader that one of these raft members knows. */
const leaderOf = (members: Iterable<string>): Effect.Effect<string> =>
  soon(
    Effect.firstSuccessOf(
      Array.from(members, (member) => Effect.flatMap(post(member, "getLeader"), Schema.decodeUnknown(Leader)))
    ).pipe(Effect.map(({ Message }) => Message.slice(0, -":11000".length)))
  )

const raftArguments = (address: string, starts: number, members: ReadonlyArray<string>) => {
  const others = members.filter((member) => member !== address)
  // Each start is another member to the group: what one had is lost with its home.
  const args = ["-http", `${address}:7991`, "-raft", `${address}:11000`, "-id", `${address}#${starts}`]
  return others.length === 0
    ? Effect.succeed(args)
    : Effect.map(leaderOf(others), (leader) => [...args, "-join", `${leader}:7991`])
}

/** As the servers' own defaults, but for what happens in intervals: it happens every second. */
const quickConfiguration = JSON.stringify({
  KeyspaceSize: 65536,
  SysMetricInterval: 1,
  AppMetricInterval: 1,
  DefaultTTL: -1,
  CrawlerInterval: 1,
  SnapshotInterval: 3600,
  EntryTimestamp: true
})

/** A command that gives the servers a file of their own in `/etc`, where they look for their user's home as well. */
const configure = (configuration: string) =>
  [
    "mount -t tmpfs none /etc",
    "mkdir /etc/ghostdb",
    `printf %s '${configuration}' >/etc/ghostdb/ghostdbConf.json`,
    `printf 'root:x:0:0::${homedir()}:/bin/sh\\n' >/etc/passwd`
  ].join(" && ")

const makeNode = Effect.fnUntraced(function* (
  version: Dialect,
  isQuick: boolean,
  /** The members of a raft group, as they are when the node starts. */
  members: () => ReadonlyArray<string>
): Effect.fn.Return<RealNode, never, Scope.Scope> {
  const id = ++count
  const namespace = `${outer}n${id}`
  const address = `192.0.2.${id}`
  const [link, end] = [`n${id}`, "node"]
  const base = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "ghostdb-real-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  yield* Effect.acquireRelease(ip("netns", "add", namespace), () => ip("netns", "del", namespace))
  // The end in the namespace would go with it, but later, when another test may want the name.
  yield* Effect.acquireRelease(
    ip("-n", outer, "link", "add", link, "type", "veth", "peer", "name", end, "netns", namespace),
    () => ip("-n", outer, "link", "del", link)
  )
  yield* ip("-n", outer, "link", "set", link, "master", "nodes", "up")
  yield* ip("-n", namespace, "addr", "add", `${address}/24`, "dev", end)
  yield* ip("-n", namespace, "link", "set", end, "up")
  yield* ip("-n", namespace, "link", "set", "lo", "up")

  let child: ChildProcess | undefined
  let starts = 0
  let first: ReadonlyArray<string> | undefined
  const run = Effect.fnUntraced(function* (again: ReadonlyArray<string> | undefined) {
    // A home of its own at each start: the servers read what an earlier one has left there.
    const home = join(base, String(++starts))
    mkdirSync(join(home, ".config", "ghostdb"), { recursive: true })
    const bin = join(bins, `ghostdb-${version}`)
    const args = again ?? (version === "raft" ? yield* raftArguments(address, starts, members()) : [])
    first ??= args
    const folder = version === "raft" ? [join(home, "raft")] : []
    // The servers keep their files in the user's home, whatever HOME says.
    const configured = isQuick ? `${configure(quickConfiguration)} && ` : ""
    const script = `${configured}mount --bind "$0" "${homedir()}" && cd "$0" && exec "$@"`
    const command = [
      "netns",
      "exec",
      namespace,
      "unshare",
      "--mount",
      "sh",
      "-c",
      script,
      home,
      bin,
      ...args,
      ...folder
    ]
    child = spawn("ip", command, { stdio: "ignore" })
    yield* soon(post(address, "ping"))
  })
  const kill = Effect.promise(async () => {
    const running = child
    child = undefined
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const ended = once(running, "exit")
    running.kill("SIGKILL")
    await ended
  })
  const start = run(undefined)
  yield* Effect.acquireRelease(start, () => kill)
  const signal = (name: "SIGSTOP" | "SIGCONT") => Effect.sync(() => void child?.kill(name))
  return {
    address,
    kill,
    start,
    restart: Effect.zipRight(
      kill,
      Effect.suspend(() => run(first))
    ),
    freeze: signal("SIGSTOP"),
    thaw: signal("SIGCONT"),
    unplug: ip("-n", outer, "link", "set", link, "down"),
    plug: ip("-n", outer, "link", "set", link, "up"),
    cutFrom: (others) =>
      Effect.forEach(others, (other) => ip("-n", namespace, "route", "add", "blackhole", `${other.address}/32`), {
        discard: true
      }),
    mend: Effect.ignore(ip("-n", namespace, "route", "flush", "type", "blackhole"))
  }
})

/**
 * So many nodes of one version, listening; the first of a raft group leads it at first. Ends with the scope. With `isQuick`,
 * which v1 servers have no configuration for, they look for what has expired, and write metrics, every second.
 */
export const make = Effect.fnUntraced(function* (
  version: Dialect,
  size: number,
  isQuick = false
): Effect.fn.Return<ReadonlyArray<RealNode>, never, Scope.Scope> {
  const nodes: Array<RealNode> = []
  const addresses = () => nodes.map(({ address }) => address)
  for (let i = 0; i < size; i++) nodes.push(yield* makeNode(version, isQuick, addresses))
  if (version === "raft") yield* leaderOf(addresses())
  return nodes
})
