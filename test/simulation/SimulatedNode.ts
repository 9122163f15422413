/**
 * A node of the simulated world: a `CacheNode` behind HTTP, with the ways in which a server can misbehave. Requests of a
 * connection are carried out in order; those of several take turns.
 */
import { Buffer } from "node:buffer"
import type * as Effect from "effect/Effect"
import { CacheNode, type Dialect, type RaftGroup } from "effect-ghostdb"
import type { Socket } from "./Network.js"
import type { Random } from "./Random.js"
import { phase, type VirtualTime } from "./VirtualTime.js"

/** A request that a node has carried out. */
export interface Execution {
  readonly time: number
  readonly node: string
  readonly process: string
  readonly command: string
  readonly key: string | undefined
  /** The value of the request, as JSON. */
  readonly value: string | undefined
  /** The value of the reply, as JSON. */
  readonly answer: string | undefined
  readonly status: number
  readonly message: string | undefined
}

/** A request that a node has received while it was frozen, or answered with garbage. */
export interface Swallowed {
  readonly time: number
  readonly node: string
  readonly process: string
  readonly command: string
  readonly key: string | undefined
}

/** What a node sends in the place of a reply. */
export type Garbage = "bad gateway" | "no HTTP" | "two documents" | "empty" | "foreign JSON"

/** How a node behaves now. */
export interface Behaviour {
  readonly garbage: { readonly form: Garbage; readonly only?: string } | undefined
  /** Closes each connection after that many replies, with or without a word. */
  readonly closesAfter: { readonly replies: number; readonly announced: boolean } | undefined
}

const behaves: Behaviour = { garbage: undefined, closesAfter: undefined }

const garbage = (form: Garbage): string => {
  const http = (status: string, body: string) =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  switch (form) {
    case "bad gateway":
      return http("502 Bad Gateway", "<html>502</html>")
    case "no HTTP":
      return "-ERR unknown command 'POST'\r\n"
    case "two documents":
      return http("200 OK", '{"Message":"INVALID"}{"Message":"STORED"}')
    case "empty":
      return http("200 OK", "")
    case "foreign JSON":
      return http("200 OK", '{"took":3,"hits":[]}')
  }
}

interface Keyed {
  readonly Key?: string
  readonly Value?: unknown
}

interface Document extends Keyed {
  readonly Gobj?: Keyed
  readonly Message?: string
}

/** What a request or a reply says, as far as the checks of a history need it. */
const read = (body: string): Document => {
  try {
    const document: Document = JSON.parse(body)
    return { ...document, ...document.Gobj }
  } catch {
    return {}
  }
}

/** Runs an effect that needs nothing but the time. */
export type RunSync = <A, E>(effect: Effect.Effect<A, E>) => A

/** The node's end of a connection. */
export class ServerConnection {
  readonly requests: Array<{ readonly command: string; readonly body: string; readonly bytes: number }> = []
  closed = false
  replies = 0
  private bytes: Buffer = Buffer.alloc(0)

  constructor(
    readonly socket: Socket,
    private readonly node: SimulatedNode
  ) {}

  receive(bytes: Buffer): void {
    if (this.closed) return
    this.bytes = this.bytes.length === 0 ? bytes : Buffer.concat([this.bytes, bytes])
    for (;;) {
      const end = this.bytes.indexOf("\r\n\r\n")
      if (end < 0) break
      const head = this.bytes.toString("latin1", 0, end)
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      const total = end + 4 + length
      if (this.bytes.length < total) break
      const command = head.slice(head.indexOf("/") + 1, head.indexOf(" HTTP"))
      const body = this.bytes.toString("utf8", end + 4, total)
      this.requests.push({ command, body, bytes: total })
      this.node.received(this.socket.process.name, command, body)
      this.bytes = this.bytes.subarray(total)
    }
    const { name } = this.socket.process
    const { mostPipelined } = this.node
    mostPipelined.set(name, Math.max(mostPipelined.get(name) ?? 0, this.requests.length))
    this.node.work()
  }

  /** The client has closed its end: what it has sent is carried out all the same. */
  closedByClient(): void {
    if (this.requests.length === 0) this.node.dropped(this)
    this.closed = true
  }

  /** The connection is gone, with all that is in it. */
  broken(): void {
    this.closed = true
    this.requests.length = 0
    this.node.dropped(this)
  }
}

/** What a node is made with. */
export interface NodeOptions {
  readonly address: string
  readonly dialect: Dialect
  readonly raftGroup: RaftGroup.RaftGroup
}

/** A node of the world. */
export class SimulatedNode {
  up = true
  /** How often it is frozen at present: it accepts, and answers later. */
  frozen = 0
  /** Added to the delay of each message of its connections, in milliseconds. */
  latency = 0
  /** How long one request takes, in milliseconds. */
  serviceTime = 0.02
  behaviour = behaves
  /** The most requests of a connection that were in the node at a time, by process. */
  readonly mostPipelined = new Map<string, number>()
  readonly swallowed: Array<Swallowed> = []
  readonly garbled: Array<Swallowed> = []
  /** When it has lost what it held. */
  readonly lostMemoryAt: Array<number> = []
  private readonly connections = new Set<ServerConnection>()
  private turn = 0
  private busy = false
  private generation = 0

  private constructor(
    readonly address: string,
    private readonly time: VirtualTime,
    private readonly random: Random,
    /** Runs an effect of the node, at once. */
    readonly run: RunSync,
    private readonly raftGroup: RaftGroup.RaftGroup,
    private readonly executed: (execution: Execution) => void,
    public cache: CacheNode.CacheNode
  ) {}

  static make(
    { address, dialect, raftGroup }: NodeOptions,
    time: VirtualTime,
    random: Random,
    run: RunSync,
    executed: (execution: Execution) => void
  ): SimulatedNode {
    const cache = run(CacheNode.make({ dialect, raftGroup, raftHost: hostOf(address) }))
    return new SimulatedNode(address, time, random, run, raftGroup, executed, cache)
  }

  get dialect(): Dialect {
    return this.cache.dialect
  }

  // What clients do with it

  accept(socket: Socket): ServerConnection {
    const connection = new ServerConnection(socket, this)
    this.connections.add(connection)
    return connection
  }

  get openConnections(): number {
    return this.connections.size
  }

  received(process: string, command: string, body: string): void {
    if (this.frozen === 0) return
    this.swallowed.push({ time: this.time.now, node: this.address, process, command, key: read(body).Key })
  }

  dropped(connection: ServerConnection): void {
    this.connections.delete(connection)
  }

  /** Carries out what is there, a request at a time. */
  work(): void {
    if (this.busy || !this.up || this.frozen > 0) return
    const waiting = [...this.connections].filter(({ requests }) => requests.length > 0)
    const connection = waiting[this.turn++ % waiting.length]
    if (connection === undefined) return
    this.busy = true
    const { generation } = this
    this.time.at(this.time.now + this.serviceTime, phase.io, () => {
      if (generation !== this.generation) return
      this.busy = false
      if (this.frozen === 0) this.serve(connection)
      this.work()
    })
  }

  // What happens to it

  /** Its process has ended, and with it its connections. */
  stop(): void {
    if (!this.up) return
    this.up = false
    this.run(this.cache.stop)
    this.breakConnections()
  }

  /** Its process runs again, with what it held or empty. */
  start(keep: boolean): void {
    if (this.up) return
    this.run(this.cache.start({ keep }))
    if (!keep) this.lostMemoryAt.push(this.time.now)
    this.up = true
  }

  /** It has been stopped and is replaced by a node of another dialect. */
  replace(dialect: Dialect): void {
    this.stop()
    this.run(this.cache.leave)
    this.cache = this.run(CacheNode.make({ dialect, raftGroup: this.raftGroup, raftHost: hostOf(this.address) }))
    this.lostMemoryAt.push(this.time.now)
    this.up = true
  }

  breakConnections(): void {
    this.generation++
    this.busy = false
    for (const { socket } of [...this.connections]) socket.reset()
  }

  behave(behaviour: Partial<Behaviour>): void {
    this.behaviour = { ...this.behaviour, ...behaviour }
  }

  private serve(connection: ServerConnection): void {
    const request = connection.requests.shift()
    if (request === undefined) return
    connection.socket.consumed(request.bytes)
    const { body, command } = request
    const bad = this.behaviour.garbage
    if (bad !== undefined && (bad.only === undefined || bad.only === command)) {
      const process = connection.socket.process.name
      this.garbled.push({ time: this.time.now, node: this.address, process, command, key: read(body).Key })
      this.send(connection, garbage(bad.form))
      return
    }
    const { Key: key, Value: value } = read(body)
    const reply = this.run(this.cache.handle(command, body))
    const { Message: message, Value: answer } = read(reply.body)
    this.executed({
      time: this.time.now,
      node: this.address,
      process: connection.socket.process.name,
      command,
      key,
      value: this.jsonOf(value),
      answer: this.jsonOf(answer),
      status: reply.status,
      message
    })
    const closesAfter = this.behaviour.closesAfter
    const closes = closesAfter !== undefined && connection.replies + 1 >= closesAfter.replies
    const close = closes && closesAfter.announced ? "Connection: close\r\n" : ""
    this.send(
      connection,
      `HTTP/1.1 ${reply.status} OK\r\n${close}Content-Length: ${Buffer.byteLength(reply.body)}\r\n\r\n${reply.body}`
    )
    if (closes && !connection.closed) {
      connection.closed = true
      connection.requests.length = 0
      this.dropped(connection)
      connection.socket.endByNode()
    }
  }

  /** A value of the wire as JSON; in v1 it is JSON in a string. */
  private jsonOf(value: unknown): string | undefined {
    if (value === undefined) return undefined
    return typeof value === "string" && this.dialect === "v1" ? value : JSON.stringify(value)
  }

  private send(connection: ServerConnection, reply: string): void {
    connection.replies++
    if (connection.closed) {
      if (connection.requests.length === 0) this.dropped(connection)
      return
    }
    const bytes = Buffer.from(reply, "utf8")
    // A reply may come in two pieces.
    const split = this.random.chance(0.05) ? this.random.int(0, bytes.length) : bytes.length
    const pieces = [bytes.subarray(0, split), bytes.subarray(split)].filter(({ length }) => length > 0)
    for (const [i, piece] of pieces.entries()) connection.socket.reply(piece, i === pieces.length - 1)
  }
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":"))
