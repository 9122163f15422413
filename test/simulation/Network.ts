/**
 * The network of the simulated world: connections between processes and nodes, whose bytes take time, are held back
 * while a link is cut, and are lost when a connection is reset. A `Socket` stands in for that of `node:net`.
 */
import { Buffer } from "node:buffer"
import { EventEmitter } from "node:events"
import type * as Net from "node:net"
import type { Process } from "./Process.js"
import type { Random } from "./Random.js"
import type { ServerConnection, SimulatedNode } from "./SimulatedNode.js"
import { phase, type VirtualTime } from "./VirtualTime.js"

/** The two directions between a process and a node. */
export type Direction = "request" | "reply"

/** What the wire between a process and a node is like now. */
export interface Link {
  /** Directions that carry nothing; what is sent meanwhile arrives once they do again. */
  readonly cut: { request: number; reply: number }
  /** The probability that a message is lost, and its connection with it. */
  readonly loss: { request: number; reply: number }
  /** Called when a direction carries again. */
  readonly healed: Set<() => void>
}

/** A process has seen that a node has refused, reset or closed a connection. */
export interface Loss {
  readonly time: number
  readonly process: string
  readonly node: string
}

/** The end of a process's connection that was still being made, or on which commands were unanswered. */
export interface Closing {
  readonly time: number
  readonly process: string
  readonly node: string
  readonly connecting: boolean
  /** The commands, by their names. */
  readonly unanswered: ReadonlyArray<string>
}

/** The links between all parties. */
export class Network {
  private readonly links = new Map<string, Link>()
  readonly sockets = new Set<Socket>()
  /** Every connection that was ever asked for. */
  connects = 0
  readonly losses: Array<Loss> = []
  readonly closings: Array<Closing> = []
  /** The most bytes that were written and not yet sent, of any connection. */
  mostBuffered = 0

  constructor(
    readonly time: VirtualTime,
    readonly random: Random,
    readonly nodes: ReadonlyMap<string, SimulatedNode>,
    readonly trace: (who: string, line: () => string) => void
  ) {}

  link(process: Process, node: SimulatedNode): Link {
    const name = `${process.name} ${node.address}`
    let link = this.links.get(name)
    if (link === undefined) {
      link = { cut: { request: 0, reply: 0 }, loss: { request: 0, reply: 0 }, healed: new Set() }
      this.links.set(name, link)
    }
    return link
  }

  /** Cuts directions until the function that it returns is called. */
  cut(link: Link, directions: ReadonlyArray<Direction>): () => void {
    for (const direction of directions) link.cut[direction]++
    return () => {
      for (const direction of directions) link.cut[direction]--
      for (const resume of [...link.healed]) resume()
    }
  }

  connect(process: Process, { host = "", onread, port }: Net.TcpNetConnectOpts): Socket {
    this.connects++
    const socket = new Socket(this, process, this.nodes.get(`${host}:${port}`), onread ?? undefined)
    this.sockets.add(socket)
    return socket
  }
}

/** One direction of a connection: messages arrive in order, each after the delay of its link. */
class Channel {
  private lastAt = 0
  private held: Array<() => void> = []
  private readonly resume = () => {
    const { held } = this
    this.held = []
    for (const arrive of held) this.send(arrive)
    if (this.held.length === 0) this.link.healed.delete(this.resume)
  }

  constructor(
    private readonly network: Network,
    private readonly link: Link,
    private readonly direction: Direction,
    private readonly latency: () => number,
    private readonly lost: () => void
  ) {}

  send(arrive: () => void): void {
    if (this.held.length > 0 || this.link.cut[this.direction] > 0) {
      this.held.push(arrive)
      this.link.healed.add(this.resume)
      return
    }
    if (this.network.random.chance(this.link.loss[this.direction])) {
      this.lost()
      return
    }
    const { time } = this.network
    this.lastAt = Math.max(this.lastAt, time.now + this.latency())
    time.at(this.lastAt, phase.io, arrive)
  }
}

/** What a node's side may have unread before the process's writes stay in its own buffer. */
const windowBytes = 256 * 1024
const highWaterMark = 16 * 1024

const requestLine = /POST \/(\w+) HTTP/g

const systemError = (code: string): Error => Object.assign(new Error(code), { code })

/** The process's end of a connection. */
export class Socket extends EventEmitter {
  connecting = true
  destroyed = false
  bytesWritten = 0
  writableLength = 0
  writableNeedDrain = false
  private readonly toNode: Channel | undefined
  private readonly toProcess: Channel | undefined
  private peer: ServerConnection | undefined
  private unread = 0
  private buffered: Array<Buffer> = []
  private paused = false
  private arrived: Array<Buffer> = []
  private ended = false
  private readonly unanswered: Array<string> = []

  constructor(
    private readonly network: Network,
    readonly process: Process,
    readonly node: SimulatedNode | undefined,
    private readonly onread: Net.OnReadOpts | undefined
  ) {
    super()
    if (node === undefined) {
      process.after(1, phase.io, () => this.fail("ENOTFOUND"))
      return
    }
    const link = network.link(process, node)
    const latency = () => network.random.between(0.1, 0.5) + node.latency
    const lost = () => {
      network.trace(node.address, () => `connection of ${process.name} lost with a message`)
      this.reset()
    }
    this.toNode = new Channel(network, link, "request", latency, lost)
    this.toProcess = new Channel(network, link, "reply", latency, lost)
    if (process.filesExhausted) {
      process.after(0, phase.io, () => this.fail("EMFILE"))
      return
    }
    this.toNode.send(() => {
      if (this.destroyed) return
      if (!node.up) {
        this.toProcess?.send(() => this.inProcess(() => this.fail("ECONNREFUSED")))
        return
      }
      this.peer = node.accept(this)
      this.toProcess?.send(() =>
        this.inProcess(() => {
          if (this.destroyed) return
          this.connecting = false
          this.emit("connect")
          this.emit("ready")
        })
      )
    })
  }

  // What a client does with it

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  cork(): void {}

  uncork(): void {}

  pause(): this {
    this.paused = true
    return this
  }

  resume(): this {
    this.paused = false
    this.read()
    return this
  }

  write(data: string | Uint8Array): boolean {
    if (this.destroyed) return false
    const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : Buffer.from(data)
    this.bytesWritten += bytes.length
    for (const [, command = ""] of bytes.toString("latin1").matchAll(requestLine)) this.unanswered.push(command)
    this.buffered.push(bytes)
    this.writableLength += bytes.length
    this.flush()
    this.network.mostBuffered = Math.max(this.network.mostBuffered, this.writableLength)
    this.writableNeedDrain = this.writableLength >= highWaterMark
    return !this.writableNeedDrain
  }

  end(): this {
    return this.destroy()
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.close()
    const { peer } = this
    if (peer !== undefined) this.toNode?.send(() => peer.closedByClient())
    this.network.trace(this.process.name, () => `closes its connection to ${this.node?.address}`)
    this.process.after(0, phase.check, () => {
      if (error !== undefined) this.emit("error", error)
      this.emit("close", error !== undefined)
    })
    return this
  }

  // What the node and the network do to it

  /** The node's side has read that many bytes. */
  consumed(bytes: number): void {
    this.unread -= bytes
    if (this.buffered.length === 0 || this.destroyed) return
    this.process.after(0, phase.io, () => {
      this.flush()
      if (this.writableNeedDrain && this.writableLength === 0) {
        this.writableNeedDrain = false
        this.emit("drain")
      }
    })
  }

  /** Bytes of the node, on their way to the process: the last of a reply, or not. */
  reply(bytes: Buffer, isLast: boolean): void {
    this.toProcess?.send(() =>
      this.inProcess(() => {
        this.arrived.push(bytes)
        if (isLast) this.unanswered.shift()
        this.read()
      })
    )
  }

  /** The node has closed its side; what it has sent arrives before. */
  endByNode(): void {
    this.toProcess?.send(() =>
      this.inProcess(() => {
        if (this.destroyed || this.ended) return
        this.ended = true
        this.noteLoss()
        this.emit("end")
        if (this.destroyed) return
        this.close()
        this.emit("close", false)
      })
    )
  }

  /** The connection breaks now; what is under way in both directions is lost. */
  reset(): void {
    this.peer?.broken()
    this.process.after(this.network.random.between(0, 0.5), phase.io, () => this.fail("ECONNRESET"))
  }

  private inProcess(run: () => void): void {
    if (!this.destroyed) this.process.after(0, phase.io, run)
  }

  private flush(): void {
    const { peer } = this
    while (!this.connecting && peer !== undefined && this.unread < windowBytes) {
      const bytes = this.buffered.shift()
      if (bytes === undefined) return
      this.writableLength -= bytes.length
      this.unread += bytes.length
      this.toNode?.send(() => peer.receive(bytes))
    }
  }

  private read(): void {
    while (!this.paused && !this.destroyed) {
      const bytes = this.arrived.shift()
      if (bytes === undefined) return
      if (this.onread === undefined) this.emit("data", bytes)
      else this.readInto(this.onread, bytes)
    }
  }

  private readInto({ buffer, callback }: Net.OnReadOpts, bytes: Buffer): void {
    const target = typeof buffer === "function" ? buffer() : buffer
    for (let at = 0; at < bytes.length && !this.destroyed; at += target.length) {
      const length = bytes.copy(target, 0, at, at + target.length)
      if (!callback(length, target)) this.paused = true
    }
  }

  private fail(code: string): void {
    if (this.destroyed) return
    this.close()
    this.noteLoss()
    this.emit("error", systemError(code))
    this.emit("close", true)
  }

  private noteLoss(): void {
    const node = this.node?.address
    if (node !== undefined) this.network.losses.push({ time: this.network.time.now, process: this.process.name, node })
  }

  private close(): void {
    const { connecting, network, node, unanswered } = this
    if (node !== undefined && (connecting || unanswered.length > 0)) {
      const { time } = network
      network.closings.push({ time: time.now, process: this.process.name, node: node.address, connecting, unanswered })
    }
    this.destroyed = true
    this.network.sockets.delete(this)
    this.buffered = []
    this.arrived = []
  }
}
