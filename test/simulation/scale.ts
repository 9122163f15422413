/**
 * A thousand clients and two hundred nodes in virtual time: what each node sees at the worst moment, which commands fail,
 * and for how long keys are astray. The clients are real; the network is a delay, so that all of them fit into one process.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Client, type Fault, GhostDB, GhostDBConfig, type GhostDBService, Ring, Transport } from "effect-ghostdb"
import { Process } from "./Process.js"
import * as Random from "./Random.js"
import { phase, VirtualTime, within } from "./VirtualTime.js"

/** What one node saw in one second, at most. */
interface Peak {
  connections: number
  pings: number
  commands: number
}

/** A phase of the simulation: when it lasts, and what it was like. */
interface Phase {
  readonly name: string
  readonly from: number
  readonly until: number
}

const second = 1000

/** Counts by node and second. */
class Counter {
  private readonly counts = new Map<string, number>()

  add(node: string, time: number): void {
    const key = `${Math.floor(time / second)} ${node}`
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
  }

  peak(from: number, until: number): number {
    let most = 0
    for (const [key, count] of this.counts) {
      const at = Number(key.slice(0, key.indexOf(" "))) * second
      if (at >= from && at < until) most = Math.max(most, count)
    }
    return most
  }
}

const refused: Fault = { reason: "Refused", detail: "the node is stopped" }
const pong = { status: 200, body: '{"Gobj":{"Key":"","Value":null,"TTL":-1},"Status":1,"Message":"Pong!","Error":""}' }
const miss = {
  status: 200,
  body: '{"Gobj":{"Key":"","Value":null,"TTL":-1},"Status":0,"Message":"CACHE_MISS","Error":""}'
}

/** What a simulation of this size has. */
export interface Size {
  readonly clients: number
  readonly nodes: number
  /** Commands of a client in a second. */
  readonly rate: number
}

class Scale {
  readonly time = new VirtualTime()
  readonly random = Random.make(1, "scale")
  readonly connections = new Counter()
  readonly pings = new Counter()
  readonly commands = new Counter()
  readonly failures: Array<{ readonly time: number }> = []
  readonly astray: Array<{ readonly time: number }> = []
  readonly sent: Array<number> = []
  readonly down = new Set<string>()
  nodes: ReadonlyArray<string>
  private current: Process | undefined
  private readonly members: Array<{
    readonly process: Process
    readonly changes: Queue.Queue<ReadonlyArray<string>>
    /** When each node that it is connected to was last used. */
    readonly connected: Map<string, number>
  }> = []
  private ring: Ring.Ring

  constructor(private readonly size: Size) {
    this.nodes = Array.from({ length: size.nodes }, (_, i) => address(i))
    this.ring = Ring.make(this.nodes, { replicas: 40 })
  }

  /** Starts all clients at once. */
  start(until: number): void {
    for (let i = 0; i < this.size.clients; i++) {
      const process = new Process({
        name: `client-${i}`,
        time: this.time,
        seed: `scale:${i}`,
        enter: this.enter,
        log: undefined,
        tracer: undefined
      })
      const changes = Effect.runSync(Queue.unbounded<ReadonlyArray<string>>())
      const connected = new Map<string, number>()
      this.members.push({ process, changes, connected })
      const layer = Client.layer({
        nodes: this.nodes,
        changes: Stream.fromQueue(changes),
        replicas: 40,
        metrics: false
      }).pipe(Layer.provide(Layer.succeed(Transport.Transport, this.transport(process, connected))), Layer.orDie)
      this.time.at(0, phase.io, () => {
        this.current = process
        process.fork(
          Effect.scoped(
            Effect.flatMap(Layer.build(layer), (context) =>
              Effect.zipRight(
                Effect.sync(() => this.work(process, Context.get(context, GhostDB), until)),
                Effect.sleep(Duration.millis(until))
              )
            )
          )
        )
      })
    }
  }

  stop(nodes: ReadonlyArray<string>): void {
    for (const node of nodes) {
      this.down.add(node)
      for (const { connected } of this.members) connected.delete(node)
    }
  }

  restart(nodes: ReadonlyArray<string>): void {
    for (const node of nodes) this.down.delete(node)
  }

  /** Each client reads the new nodes file within a second. */
  reload(nodes: ReadonlyArray<string>): void {
    this.nodes = nodes
    this.ring = Ring.make(nodes, { replicas: 40 })
    for (const { changes, process } of this.members) {
      process.after(this.random.between(0, second), phase.io, () => Queue.unsafeOffer(changes, nodes))
    }
  }

  run(until: number): void {
    const host = {
      connect: () => {
        throw new Error("no sockets here")
      },
      nextTick: (run: () => void) => this.time.nextTick(run),
      setImmediate: (run: () => void) => void this.current?.after(0, phase.check, run),
      random: Random.make(1, "Math.random"),
      uuids: Random.make(1, "UUIDs")
    }
    within(host, () => this.time.runUntil(until))
  }

  private readonly enter = (process: Process): void => {
    this.current = process
  }

  private work(process: Process, db: GhostDBService, until: number): void {
    const next = () => {
      if (this.time.now >= until - 10 * second) return
      this.sent.push(this.time.now)
      process.fork(db.get(`user:${this.random.int(0, 1e6)}`)).addObserver((exit) => {
        if (Exit.isFailure(exit)) this.failures.push({ time: this.time.now })
      })
      process.after(this.random.between(0, (2 * second) / this.size.rate), phase.io, next)
    }
    next()
  }

  private transport(process: Process, connected: Map<string, number>): Context.Tag.Service<Transport.Transport> {
    const post = (node: string, command: string, body: string) =>
      Effect.async<typeof pong, Fault>((resume) => {
        const now = this.time.now
        const usedAt = connected.get(node) ?? Number.NEGATIVE_INFINITY
        if (now - usedAt >= GhostDBConfig.defaults.idleTimeout) this.connections.add(node, now)
        if (this.down.has(node)) {
          process.after(1, phase.io, () => resume(Effect.fail(refused)))
          return
        }
        connected.set(node, now)
        if (command === "ping") this.pings.add(node, now)
        else this.count(node, body, now)
        process.after(1, phase.io, () =>
          resume(this.down.has(node) ? Effect.fail(refused) : Effect.succeed(command === "ping" ? pong : miss))
        )
      })
    return {
      connect: () =>
        Effect.succeed({
          post: (node, command, body) => post(node, command, String(typeof body === "function" ? body() : body)),
          release: () => Effect.void,
          interrupt: () => Effect.void
        })
    }
  }

  private count(node: string, body: string, now: number): void {
    this.commands.add(node, now)
    const key = /"Key":"([^"]*)"/.exec(body)?.[1] ?? ""
    if (Option.getOrUndefined(Ring.lookup(this.ring, key)) !== node) this.astray.push({ time: now })
  }
}

const address = (i: number): string => `10.0.${Math.floor(i / 100)}.${(i % 100) + 1}`

/** Runs all phases and gives a table of them, as Markdown. */
export const table = (size: Size): string => {
  const scale = new Scale(size)
  const { nodes, time } = scale
  const at = (when: number, run: () => void) => void time.at(when, phase.io, run)
  const started: Phase = { name: "all clients start at once", from: 0, until: 30 * second }
  const rolling: Phase = {
    name: "a rolling restart: every second another node is away for 5 s",
    from: started.until,
    until: started.until + size.nodes * second + 50 * second
  }
  const rack: Phase = {
    name: "a tenth of the nodes away for 60 s",
    from: rolling.until,
    until: rolling.until + 120 * second
  }
  const doubled: Phase = { name: "a nodes file that doubles", from: rack.until, until: rack.until + 30 * second }
  nodes.forEach((node, i) => {
    at(rolling.from + i * second, () => scale.stop([node]))
    at(rolling.from + i * second + 5 * second, () => scale.restart([node]))
  })
  const lost = nodes.slice(0, Math.ceil(size.nodes / 10))
  at(rack.from, () => scale.stop(lost))
  at(rack.from + 60 * second, () => scale.restart(lost))
  at(doubled.from, () => scale.reload(Array.from({ length: 2 * size.nodes }, (_, i) => address(i))))
  const end = doubled.until + 10 * second
  scale.start(end)
  scale.run(end + 40 * second)
  const within = (times: ReadonlyArray<{ readonly time: number }>, { from, until }: Phase) =>
    times.filter((one) => one.time >= from && one.time < until)
  const rows = [started, rolling, rack, doubled].map((one) => {
    const { from, name, until } = one
    const peak: Peak = {
      connections: scale.connections.peak(from, until),
      pings: scale.pings.peak(from, until),
      commands: scale.commands.peak(from, until)
    }
    const sent = scale.sent.filter((when) => when >= from && when < until).length
    const astray = within(scale.astray, one)
    const last = astray.at(-1)?.time
    return [
      name,
      peak.connections,
      peak.pings,
      peak.commands,
      sent,
      within(scale.failures, one).length,
      `${((astray.length / Math.max(sent, 1)) * 100).toFixed(2)} %`,
      last === undefined ? "never" : `${((last - from) / second).toFixed(1)} s`
    ].join(" | ")
  })
  return [
    "| | connections/s | pings/s | commands/s | commands sent | failed | astray | the last of them after |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map((row) => `| ${row} |`)
  ].join("\n")
}
