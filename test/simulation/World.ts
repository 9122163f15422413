/** Runs a scenario in virtual time, and keeps a history of what was asked and answered, and of what really happened. */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Record from "effect/Record"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import {
  Client,
  GhostDB,
  type GhostDBService,
  NearCache,
  RaftGroup,
  SocketTransport,
  type Topology
} from "effect-ghostdb"
import * as Watched from "../../src/discovery/Watched.js"
import * as Clocks from "../support/Clocks.js"
import * as Tracers from "../support/Tracers.js"
import { type Closing, type Loss, Network } from "./Network.js"
import { epoch, Process } from "./Process.js"
import * as Random from "./Random.js"
import type { ClientPlan, Command, Fault, Operation, Scenario } from "./Scenario.js"
import { type Execution, SimulatedNode, type Swallowed } from "./SimulatedNode.js"
import { phase, VirtualTime, within } from "./VirtualTime.js"

/** What came of an operation. */
export type Outcome =
  | { readonly _tag: "ok"; readonly answer: unknown }
  | { readonly _tag: "fail"; readonly error: unknown }
  | { readonly _tag: "interrupted" }
  | { readonly _tag: "defect"; readonly defect: string }

/** An operation as its caller sees it. */
export interface Entry {
  readonly operation: Operation
  /** Whether it is one key of a command on many. */
  readonly isPart: boolean
  readonly began: number
  /** When the caller gave it up. */
  interrupted: number | undefined
  ended: number | undefined
  outcome: Outcome | undefined
}

/** A run of the effect of a `getOrElse`. */
export interface Run {
  readonly client: string
  readonly key: string
  readonly value: string
  readonly lock: boolean
  readonly began: number
  /** Whether it has given the value. */
  succeeded: boolean
  ended: number | undefined
}

/** What a client thinks of its cluster, from a time on. */
export interface View {
  readonly time: number
  readonly topology: Topology
}

/** What is left of a client some time after it was closed. */
export interface Remains {
  readonly sleeping: number
  readonly fibers: number
  readonly sockets: number
}

/** All that is known of a world once it has ended. */
export interface History {
  readonly scenario: Scenario
  readonly entries: ReadonlyArray<Entry>
  readonly executions: ReadonlyArray<Execution>
  readonly runs: ReadonlyArray<Run>
  readonly views: ReadonlyMap<string, ReadonlyArray<View>>
  readonly processes: ReadonlyMap<string, Process>
  /** How many attempts the spans of a traced client tell of, by command and key. */
  readonly attempts: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly nodes: ReadonlyMap<string, SimulatedNode>
  /** When each client was closed or killed. */
  readonly ends: ReadonlyMap<string, number>
  readonly remains: ReadonlyMap<string, Remains>
  /** What a client had before it was closed, when nothing had happened for seconds. */
  readonly idle: ReadonlyMap<string, Remains>
  readonly losses: ReadonlyArray<Loss>
  readonly closings: ReadonlyArray<Closing>
  readonly swallowed: ReadonlyArray<Swallowed>
  /** The requests that were answered with garbage. */
  readonly garbled: ReadonlyArray<Swallowed>
  /** The most bytes that were written to a connection and not yet sent. */
  readonly mostBuffered: number
  /** Who led the raft group, from a time on; undefined is nobody. */
  readonly leaders: ReadonlyArray<{ readonly time: number; readonly node: string | undefined }>
  readonly connects: number
  readonly events: number
  /** A number that two worlds share only if the same happened in them. */
  readonly digest: number
  readonly trace: ReadonlyArray<string>
}

/** The time that a closed client has for its last words. */
const lastWords = 6000

const text = Schema.String
const stores = {
  server: GhostDB.forSchema(text),
  exact: GhostDB.forSchema(text, { expiry: "exact", ttl: 1 }),
  tagged: GhostDB.forSchema(text, { expiry: "exact", tags: ["tag"] }),
  clearable: GhostDB.forSchema(text, { expiry: "exact", prefix: "clearable:", clearable: true })
}

/** What the effect of a `getOrElse` fails with. */
export class RunFailed {
  readonly _tag = "RunFailed"
}

/** The name under which the attempts of a command on a key are counted. */
export const attemptOf = (command: string, key: string): string => `${command} ${key}`

/** A tracer whose spans count attempts by command and key. */
const attemptCounter = (attempts: Map<string, number>): Tracer.Tracer =>
  Tracers.make(({ attributes }) => ({
    event: (event) => {
      if (event !== "attempt") return
      const attempt = attemptOf(String(attributes.get("db.operation.name")), String(attributes.get("ghostdb.key")))
      attempts.set(attempt, (attempts.get(attempt) ?? 0) + 1)
    }
  }))

/** A client of the world, from its layer's building to its closing. */
class Member {
  readonly process: Process
  /** Events that tell of a change of the nodes file. */
  readonly fileEvents: Queue.Queue<void>
  readonly views: Array<View> = []
  /** How many attempts the spans tell of, by {@link attemptOf}; of traced clients only. */
  readonly attempts = new Map<string, number>()
  endedAt: number | undefined
  private readonly scope = Effect.runSync(Scope.make())
  private service: GhostDBService | undefined
  private readonly waiting: Array<(db: GhostDBService) => void> = []

  constructor(
    readonly plan: ClientPlan,
    private readonly world: World
  ) {
    const { scenario, time, trace } = world
    const log = world.tracing ? (line: string) => trace(plan.name, () => line) : undefined
    this.process = new Process({
      name: plan.name,
      time,
      seed: `${scenario.seed}:${plan.name}`,
      enter: world.enter,
      log,
      tracer: plan.traced ? attemptCounter(this.attempts) : undefined
    })
    this.fileEvents = this.process.runSync(Queue.unbounded<void>())
  }

  start(): void {
    const { plan, world } = this
    const revive = Schedule.spaced(plan.revive).pipe(Schedule.jittered)
    const options = {
      replicas: world.scenario.replicas,
      attemptTimeout: Duration.millis(plan.attemptTimeout),
      deadline: Duration.millis(plan.deadline),
      failureThreshold: plan.failureThreshold,
      connections: plan.connections,
      pipelining: plan.pipelining,
      keysInSpans: true,
      onRevival: plan.onRevival,
      readFrom: plan.readFrom,
      leaderLease: Duration.millis(plan.leaderLease),
      idleTimeout: Duration.millis(plan.idleTimeout),
      failover: plan.failover,
      metrics: false,
      revive
    } as const
    const file = Watched.watched({
      file: "nodes",
      content: textOf(world.scenario.nodes.map(({ address }) => address)),
      triggers: Stream.fromQueue(this.fileEvents),
      reader: Effect.succeed(Effect.sync(() => Either.right(world.nodesFile)))
    })
    const client = Layer.unwrapEffect(Effect.map(file, (watched) => Client.layer({ ...options, ...watched }))).pipe(
      Layer.provide(SocketTransport.layer),
      Layer.orDie
    )
    const layer =
      plan.nearCache === undefined
        ? client
        : Layer.provide(
            NearCache.layer({ capacity: plan.nearCache.capacity, ttl: Duration.millis(plan.nearCache.ttl) }),
            client
          )
    const built = Layer.buildWithScope(layer, this.scope).pipe(
      Effect.tap((context) =>
        Effect.sync(() => {
          const db = Context.get(context, GhostDB)
          this.service = db
          for (const use of this.waiting.splice(0)) use(db)
          this.process.fork(
            Stream.runForEach(db.topology, (topology) =>
              Effect.sync(() => {
                this.views.push({ time: world.time.now, topology })
                world.trace(plan.name, () => describe(topology))
              })
            )
          )
        })
      )
    )
    this.process.fork(built)
  }

  /** Hands the client over once it is there. */
  use(run: (db: GhostDBService) => void): void {
    if (this.service === undefined) this.waiting.push(run)
    else run(this.service)
  }

  close(): void {
    this.endedAt = this.world.time.now
    this.world.trace(this.plan.name, () => "closes")
    this.process.after(0, phase.io, () => this.process.fork(Scope.close(this.scope, Exit.void)))
  }

  kill(): void {
    if (this.endedAt !== undefined) return
    this.endedAt = this.world.time.now
    this.world.trace(this.plan.name, () => "is killed")
    this.process.killed = true
    for (const socket of [...this.world.network.sockets]) if (socket.process === this.process) socket.destroy()
  }
}

const describe = ({ dead, leader, live }: Topology): string =>
  `sees ${live.map(({ node }) => node).join(" ")}${dead.map(({ failure, node }) => ` -${node} ${failure.reason}`).join("")}${Option.match(leader, { onNone: () => "", onSome: (node) => ` led by ${node}` })}`

const textOf = (nodes: ReadonlyArray<string>): string => nodes.map((node) => `${node}\n`).join("")

type RaftFault = Extract<Fault, { readonly _tag: "stepDown" | "raft partition" | "raft cut" | "raft lag" }>

class World {
  readonly time = new VirtualTime()
  readonly lines: Array<string> = []
  readonly executions: Array<Execution> = []
  readonly entries: Array<Entry> = []
  readonly runs: Array<Run> = []
  readonly nodes = new Map<string, SimulatedNode>()
  readonly members = new Map<string, Member>()
  readonly leaders: Array<{ readonly time: number; readonly node: string | undefined }> = []
  readonly remains = new Map<string, Remains>()
  readonly idle = new Map<string, Remains>()
  readonly network: Network
  readonly random: Random.Random
  digest = 0
  private raftFaults = 0
  /** What the nodes file leaves out at present. */
  private readonly missing: Array<ReadonlyArray<string>> = []
  /** How many of its lines have been written; absent where it is whole. */
  private written: number | undefined
  private current: Process | undefined
  /** The nodes' clock: that of the world, as they have no timers. */
  private readonly clock: Clock.Clock
  private readonly raftGroup: RaftGroup.RaftGroup

  constructor(
    readonly scenario: Scenario,
    readonly tracing: boolean
  ) {
    this.random = Random.make(scenario.seed, "network")
    this.network = new Network(this.time, this.random, this.nodes, this.trace)
    this.clock = Clocks.make({
      wall: () => Math.floor(epoch + this.time.now),
      monotonic: () => BigInt(Math.floor(this.time.now * 1e6)),
      sleep: () => Effect.dieMessage("a node that sleeps")
    })
    this.raftGroup = this.runSync(RaftGroup.make(Record.map(scenario.raft, Duration.millis)))
  }

  /** Runs what a node does, which needs nothing but the time. */
  private readonly runSync = <A, E>(effect: Effect.Effect<A, E>): A =>
    Effect.runSync(Effect.withClock(effect, this.clock))

  readonly enter = (process: Process): void => {
    this.current = process
  }

  /** What has happened, for the digest and for those who read a trace. */
  readonly trace = (who: string, line: () => string): void => {
    if (!this.tracing) return
    this.lines.push(`${this.time.now.toFixed(3).padStart(10)}  ${who.padEnd(15)}  ${line()}`)
  }

  /** Makes the digest depend on it. */
  mark(happened: string): void {
    this.digest = Random.hash(`${this.digest} ${this.time.now} ${happened}`)
  }

  run(): void {
    const { scenario, time } = this
    for (const { address, dialect } of scenario.nodes) {
      const options = { address, dialect, raftGroup: this.raftGroup }
      this.nodes.set(address, SimulatedNode.make(options, time, this.random, this.runSync, this.onExecution))
    }
    this.observeLeader()
    for (const plan of scenario.clients) {
      const member = new Member(plan, this)
      this.members.set(plan.name, member)
      time.at(plan.startsAt, phase.io, () => {
        this.current = member.process
        member.start()
      })
    }
    for (const operation of scenario.operations) this.plan(operation)
    for (const fault of scenario.faults) time.at(fault.at, phase.io, () => this.befall(fault))
    if (scenario.nodes.some(({ dialect }) => dialect === "raft")) {
      for (let at = 50; at < scenario.worksAt; at += 50) time.at(at, phase.check, () => this.observeLeader())
    }
    time.at(scenario.closedAt, phase.io, () => {
      for (const member of this.members.values()) {
        if (member.endedAt === undefined) this.idle.set(member.plan.name, this.holds(member))
        this.close(member)
      }
    })
    time.runUntil(scenario.closedAt + lastWords + 100)
  }

  /** What Node.js would do for a process. */
  host() {
    const process = () => {
      if (this.current === undefined) throw new Error("nobody runs")
      return this.current
    }
    return {
      connect: (options: Parameters<Network["connect"]>[1]) => this.network.connect(process(), options) as never,
      nextTick: (run: () => void) => this.time.nextTick(run),
      setImmediate: (run: () => void) => void process().after(0, phase.check, run),
      random: Random.make(this.scenario.seed, "Math.random"),
      uuids: Random.make(this.scenario.seed, "UUIDs")
    }
  }

  private readonly onExecution = (execution: Execution): void => {
    this.executions.push(execution)
    const { command, key, message, node, process, value } = execution
    this.mark(`${node} ${process} ${command} ${key} ${message}`)
    this.trace(node, () => `${command} ${key ?? ""} ${value ?? ""} for ${process}: ${message ?? execution.status}`)
  }

  private observeLeader(): void {
    const node = [...this.nodes.values()].find(({ cache, up }) => up && this.runSync(cache.isLeader))
    const last = this.leaders.at(-1)
    if (last !== undefined && last.node === node?.address) return
    this.leaders.push({ time: this.time.now, node: node?.address })
    if (last !== undefined) this.trace("raft", () => `led by ${node?.address ?? "nobody"}`)
  }

  private close(member: Member): void {
    if (member.endedAt !== undefined) return
    member.close()
    this.time.at(this.time.now + lastWords, phase.check, () => {
      this.remains.set(member.plan.name, this.holds(member))
    })
  }

  private holds({ process }: Member): Remains {
    const sockets = [...this.network.sockets].filter((socket) => socket.process === process).length
    return { fibers: process.running, sleeping: process.sleeping, sockets }
  }

  // Operations

  private plan(operation: Operation): void {
    const member = this.members.get(operation.client)
    if (member === undefined) return
    this.time.at(operation.at, phase.io, () => {
      if (member.endedAt !== undefined) return
      member.process.after(0, phase.io, () => member.use((db) => this.begin(member, db, operation)))
    })
  }

  private begin(member: Member, db: GhostDBService, operation: Operation): void {
    if (member.endedAt !== undefined) return
    const { process } = member
    const parts = partsOf(operation.command)
    const entries = parts.map(
      (command): Entry => ({
        operation: { ...operation, command },
        isPart: parts.length !== 1 || parts[0] !== operation.command,
        began: this.time.now,
        interrupted: undefined,
        ended: undefined,
        outcome: undefined
      })
    )
    this.entries.push(...entries)
    this.trace(process.name, () => `#${operation.id} ${show(operation.command)} ${operation.region}`)
    const fiber = process.fork(inRegion(operation, this.effectOf(db, member, operation.command)))
    fiber.addObserver((exit) => {
      for (const entry of entries) {
        entry.ended = this.time.now
        entry.outcome = entry.isPart ? outcomeOfPart(exit, keyOf(entry.operation.command)) : outcomeOf(exit)
        const result = showOutcome(entry.outcome)
        this.mark(`${process.name} ${operation.id} ${result}`)
        this.trace(process.name, () => `#${operation.id} ${show(entry.operation.command)} -> ${result}`)
      }
    })
    if (operation.interruptAfter === undefined) return
    process.after(operation.interruptAfter, phase.io, () => this.interrupt(entries, fiber))
  }

  private interrupt(entries: ReadonlyArray<Entry>, fiber: Fiber.RuntimeFiber<unknown, unknown>): void {
    for (const entry of entries) {
      if (entry.ended !== undefined) return
      entry.interrupted = this.time.now
      this.trace(entry.operation.client, () => `#${entry.operation.id} is given up`)
    }
    fiber.unsafeInterruptAsFork(FiberId.none)
  }

  private effectOf(db: GhostDBService, { process }: Member, command: Command): Effect.Effect<unknown, unknown> {
    switch (command._tag) {
      case "get":
        return Effect.map(db.get(command.key), Option.getOrNull)
      case "put":
        return db.put(command.key, command.value)
      case "add":
        return db.add(command.key, command.value)
      case "delete":
        return command.key === "store-5"
          ? Effect.provideService(stores.clearable.delete(command.key), GhostDB, db)
          : db.delete(command.key)
      case "getMany":
        return Effect.provideService(GhostDB.getMany(command.keys), GhostDB, db)
      case "deleteMany":
        return Effect.provideService(GhostDB.deleteMany(command.keys), GhostDB, db)
      case "putMany":
        return Effect.provideService(GhostDB.putMany(command.entries), GhostDB, db)
      case "addMany":
        return Effect.provideService(GhostDB.addMany(command.entries), GhostDB, db)
      case "nodeSize":
        return db.nodeSize(command.node)
      case "getOrElse": {
        const compute = this.runOf(process, command)
        const { key, lock, staleFor, tagged } = command
        const lookup =
          staleFor !== undefined
            ? stores.exact.getOrElse(key, compute, { lock, staleFor })
            : tagged
              ? stores.tagged.getOrElse(key, compute)
              : key === "store-5"
                ? stores.clearable.getOrElse(key, compute)
                : stores.server.getOrElse(key, compute, { lock })
        return Effect.provideService(lookup, GhostDB, db)
      }
      case "clear":
        return Effect.provideService(stores.clearable.clear, GhostDB, db)
      case "expireTags":
        return Effect.provideService(GhostDB.expireTags(["tag"]), GhostDB, db)
      default:
        return db[command._tag]
    }
  }

  /** The effect of a `getOrElse`, as the source of truth sees it. */
  private runOf(process: Process, command: Extract<Command, { readonly _tag: "getOrElse" }>) {
    return Effect.suspend(() => {
      const { key, lock, value } = command
      const run: Run = {
        client: process.name,
        key,
        value,
        lock,
        began: this.time.now,
        succeeded: false,
        ended: undefined
      }
      this.runs.push(run)
      this.trace(process.name, () => `computes ${key}`)
      return Effect.sleep(command.takes).pipe(
        Effect.zipRight(command.fails ? Effect.fail(new RunFailed()) : Effect.succeed(command.value)),
        Effect.onExit((exit) =>
          Effect.sync(() => {
            run.succeeded = Exit.isSuccess(exit)
            run.ended = this.time.now
          })
        )
      )
    })
  }

  // Faults

  private befall(fault: Fault): void {
    const end = this.start(fault)
    this.trace("world", () => `${showFault(fault)} begins`)
    this.mark(fault._tag)
    if (end === undefined) return
    this.time.at(fault.until, phase.io, () => {
      end()
      this.trace("world", () => `${showFault(fault)} ends`)
    })
  }

  /** Starts a fault; returns what ends it. */
  private start(fault: Fault): (() => void) | undefined {
    if ("node" in fault) {
      const node = this.nodes.get(fault.node)
      return node === undefined ? undefined : this.startOnNode(fault, node)
    }
    if ("client" in fault) {
      const member = this.members.get(fault.client)
      return member === undefined ? undefined : this.startOnClient(fault, member)
    }
    if (fault._tag === "half a nodes file") return this.rewrite(fault)
    if (fault._tag !== "nodes file") return this.startOnRaft(fault)
    this.missing.push(fault.without)
    this.tellNodes()
    return () => {
      this.missing.splice(this.missing.indexOf(fault.without), 1)
      this.tellNodes()
    }
  }

  /** Writes the nodes file anew, line by line. */
  private rewrite({ at, until }: Fault): () => void {
    const { length } = this.scenario.nodes
    const write = (lines: number | undefined) => {
      this.written = lines
      this.tellNodes()
    }
    write(0)
    for (let lines = 1; lines < length; lines++) {
      this.time.at(at + (lines * (until - at)) / length, phase.io, () => write(lines))
    }
    return () => write(undefined)
  }

  /** The text of the nodes file as it is now. */
  get nodesFile(): string {
    const nodes = this.scenario.nodes
      .map(({ address }) => address)
      .filter((address) => this.missing.every((without) => !without.includes(address)))
    return textOf(nodes.slice(0, this.written))
  }

  private startOnRaft(fault: RaftFault): (() => void) | undefined {
    this.runSync(this.raftChange(fault))
    this.observeLeader()
    if (fault._tag === "stepDown") return undefined
    this.raftFaults++
    return () => this.endRaftFault()
  }

  private raftChange(fault: RaftFault): Effect.Effect<void> {
    const { raftGroup } = this
    // A node that has been replaced by another is no member any more.
    const addressOf = (node: string) => this.nodes.get(node)?.cache.raftAddress
    const addresses = (nodes: ReadonlyArray<string>) => nodes.flatMap((node) => addressOf(node) ?? [])
    switch (fault._tag) {
      case "stepDown":
        return raftGroup.stepDown
      case "raft partition":
        return raftGroup.partition(addresses(fault.members))
      case "raft cut": {
        const [from, to] = [addressOf(fault.from), addressOf(fault.to)]
        return from === undefined || to === undefined ? Effect.void : raftGroup.cut(from, to)
      }
      case "raft lag":
        return Effect.forEach(
          addresses([fault.member]),
          (member) => raftGroup.lag(member, Duration.millis(fault.delay)),
          { discard: true }
        )
    }
  }

  /** The other members of the raft group hear nothing of a node that is frozen. */
  private cutOff({ cache }: SimulatedNode): () => void {
    const { raftAddress } = cache
    if (raftAddress === undefined) return () => {}
    this.runSync(this.raftGroup.partition([raftAddress]))
    this.observeLeader()
    this.raftFaults++
    return () => this.endRaftFault()
  }

  private endRaftFault(): void {
    this.raftFaults--
    if (this.raftFaults > 0) return
    this.runSync(this.raftGroup.heal())
    this.observeLeader()
  }

  /** Each client reads the nodes file a little later than the one before. */
  private tellNodes(): void {
    let delay = 0
    for (const { endedAt, fileEvents, process } of this.members.values()) {
      delay += 20
      if (endedAt === undefined) process.after(delay, phase.io, () => Queue.unsafeOffer(fileEvents, undefined))
    }
  }

  private startOnNode(fault: Extract<Fault, { readonly node: string }>, node: SimulatedNode): (() => void) | undefined {
    switch (fault._tag) {
      case "down":
        node.stop()
        this.observeLeader()
        return () => node.start(fault.keep)
      case "frozen": {
        node.frozen++
        const rejoin = this.cutOff(node)
        return () => {
          node.frozen--
          rejoin()
          node.work()
        }
      }
      case "slow":
        node.latency += fault.latency
        return () => {
          node.latency -= fault.latency
        }
      case "paced":
        node.serviceTime += fault.serviceTime
        return () => {
          node.serviceTime -= fault.serviceTime
        }
      case "garbage":
        node.behave({ garbage: fault })
        return () => node.behave({ garbage: undefined })
      case "closing":
        node.behave({ closesAfter: fault })
        return () => node.behave({ closesAfter: undefined })
      case "reset":
        node.breakConnections()
        return undefined
      case "upgraded":
        node.replace(fault.dialect)
        return undefined
      case "cut":
      case "lossy":
        return this.startOnLink(fault, node)
    }
  }

  private startOnLink(fault: Extract<Fault, { readonly _tag: "cut" | "lossy" }>, node: SimulatedNode) {
    const member = this.members.get(fault.client)
    if (member === undefined) return undefined
    const link = this.network.link(member.process, node)
    if (fault._tag === "cut") return this.network.cut(link, fault.directions)
    link.loss[fault.direction] += fault.probability
    return () => {
      link.loss[fault.direction] -= fault.probability
    }
  }

  private startOnClient(
    fault: Extract<Fault, { readonly _tag: "stalled" | "wall clock" | "no files" | "closed" | "killed" }>,
    member: Member
  ): (() => void) | undefined {
    const { process } = member
    switch (fault._tag) {
      case "stalled":
        process.stall(fault.until - fault.at)
        return undefined
      case "wall clock":
        process.wallOffset += fault.step
        return undefined
      case "no files":
        process.filesExhausted = true
        return () => {
          process.filesExhausted = false
        }
      case "closed":
        this.close(member)
        return undefined
      case "killed":
        member.kill()
        return undefined
    }
  }
}

const inRegion = ({ region }: Operation, effect: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> => {
  switch (region) {
    case "plain":
      return effect
    case "uninterruptible":
      return Effect.uninterruptible(effect)
    case "finalizer": {
      // A finalizer's failures are nobody's: the outcome is handed out beside it.
      let exit: Exit.Exit<unknown, unknown> = Exit.void
      const keep = Effect.map(Effect.exit(effect), (made) => {
        exit = made
      })
      return Effect.flatMap(Effect.ensuring(Effect.void, keep), () => exit)
    }
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return { _tag: "ok", answer: exit.value }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return { _tag: "fail", error: failure.value }
  return Cause.isInterruptedOnly(exit.cause)
    ? { _tag: "interrupted" }
    : { _tag: "defect", defect: Cause.pretty(exit.cause) }
}

const keyOf = (command: Command): string => ("key" in command ? command.key : "")

/** A command as commands on one key each, where it is one on many. */
const partsOf = (command: Command): ReadonlyArray<Command> => {
  switch (command._tag) {
    case "getMany":
      return command.keys.map((key) => ({ _tag: "get", key }))
    case "deleteMany":
      return command.keys.map((key) => ({ _tag: "delete", key }))
    case "putMany":
      return command.entries.map(([key, value]) => ({ _tag: "put", key, value }))
    case "addMany":
      return command.entries.map(([key, value]) => ({ _tag: "add", key, value }))
    default:
      return [command]
  }
}

/** What came of one key of a command on many. */
const outcomeOfPart = (exit: Exit.Exit<unknown, unknown>, key: string): Outcome => {
  if (Exit.isFailure(exit)) return outcomeOf(exit)
  const result = exit.value instanceof Map ? exit.value.get(key) : undefined
  if (!Either.isEither(result)) return { _tag: "defect", defect: `no result of ${key}` }
  if (Either.isLeft(result)) return { _tag: "fail", error: result.left }
  return { _tag: "ok", answer: Option.isOption(result.right) ? Option.getOrNull(result.right) : result.right }
}

/** A command in one line. */
export const show = (command: Command): string =>
  "keys" in command || "entries" in command
    ? `${command._tag} ${partsOf(command).map(keyOf).join(" ")}`
    : [command._tag, keyOf(command), "value" in command ? command.value : ""].filter(Boolean).join(" ")

/** A fault in one line. */
export const showFault = ({ _tag, at, until, ...rest }: Fault): string =>
  `${_tag} ${Object.entries(rest)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ")}`

/** An outcome in one line. */
export const showOutcome = (outcome: Outcome): string => {
  switch (outcome._tag) {
    case "ok":
      return `ok ${JSON.stringify(outcome.answer)}`
    case "fail":
      return `fail ${String(outcome.error)}`
    case "interrupted":
      return "interrupted"
    case "defect":
      return `defect ${outcome.defect}`
  }
}

/** Runs a scenario from its beginning to its end; `trace` keeps each event as a line. */
export const run = (scenario: Scenario, options: { readonly trace?: boolean } = {}): History => {
  const world = new World(scenario, options.trace ?? false)
  within(world.host(), () => world.run())
  const members = [...world.members.values()]
  return {
    scenario,
    entries: world.entries,
    executions: world.executions,
    runs: world.runs,
    views: new Map(members.map(({ plan, views }) => [plan.name, views])),
    processes: new Map(members.map(({ plan, process }) => [plan.name, process])),
    attempts: new Map(members.map(({ attempts, plan }) => [plan.name, attempts])),
    nodes: world.nodes,
    ends: new Map(members.map(({ endedAt, plan }) => [plan.name, endedAt ?? scenario.closedAt])),
    remains: world.remains,
    idle: world.idle,
    losses: world.network.losses,
    closings: world.network.closings,
    swallowed: [...world.nodes.values()].flatMap(({ swallowed }) => swallowed),
    garbled: [...world.nodes.values()].flatMap(({ garbled }) => garbled),
    mostBuffered: world.network.mostBuffered,
    leaders: world.leaders,
    connects: world.network.connects,
    events: world.time.events,
    digest: world.digest,
    trace: world.lines
  }
}
