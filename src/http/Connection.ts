/**
 * The transport of `GhostDBLive`: HTTP/1.1 on `node:net` and `node:tls` sockets, a fixed number of connections to each
 * node, pipelined, the requests of one tick in one write, replies matched to requests in order.
 */
import { Buffer } from "node:buffer"
import * as Net from "node:net"
import { nextTick } from "node:process"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as MutableList from "effect/MutableList"
import * as Redacted from "effect/Redacted"
import * as NodesFile from "../discovery/NodesFile.js"
import type { TlsOptions } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import type { JsonText, Reply } from "../protocol/Protocol.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import { type Connections, faultOfSystemError, Transport, type TransportSettings } from "../transport/Transport.js"
import { HttpReplyParser, type ReplyError } from "./ReplyParser.js"

/** A request from the moment it is made until it has its one and only outcome. */
interface Slot {
  /** Up to the digits of the Content-Length. */
  readonly head: string
  readonly body: JsonText
  /** When it was made, in milliseconds. */
  readonly since: number
  /** Taken away with the outcome: a slot without it keeps its place in the pipeline and nothing else. */
  resume: ((outcome: Exit.Exit<Reply, Fault>) => void) | undefined
}

const settle = (slot: Slot, outcome: Exit.Exit<Reply, Fault>): void => {
  const resume = slot.resume
  if (resume !== undefined) {
    slot.resume = undefined
    resume(outcome)
  }
}

const fault = (reason: Fault["reason"], detail: string): Exit.Exit<never, Fault> => Exit.fail({ reason, detail })

/** What all connections to one node share. */
interface Endpoint {
  readonly connect: (onread: Net.OnReadOpts) => Net.Socket
  readonly readyEvent: "connect" | "secureConnect"
  readonly maxReplyBytes: number
  readonly attemptTimeout: number
  readonly now: () => number
  /**
   * Requests that may be in flight on a connection: 1 after the node has closed a connection with its first reply, and
   * as many as there are once a connection has had a second one.
   */
  depth: number
}

/** A write takes no more requests once it has this many characters. */
const fullWrite = 64 * 1024

const readBytes = 64 * 1024

class Connection {
  /** Not yet written, and written without a reply. */
  private unsent = MutableList.empty<Slot>()
  private sent = MutableList.empty<Slot>()
  private readonly socket: Net.Socket
  private readonly parser: HttpReplyParser
  private readonly since: number
  private ready = false
  private flushing = false
  private replies = 0
  /** The bytes written that the metrics know of. */
  private written = 0
  private retired = false
  private closed = false

  constructor(
    private readonly endpoint: Endpoint,
    private readonly owner: {
      /** Called once, when no more requests may be given to the connection. */
      readonly onRetired: (connection: Connection) => void
      /** Called once, after `onRetired`. */
      readonly onClosed: (connection: Connection) => void
      /** Finds another connection for a request. */
      readonly send: (slot: Slot) => void
    }
  ) {
    this.parser = new HttpReplyParser(
      {
        onReply: (status, body) => this.onReply(status, body),
        onClose: () => this.onLastReply()
      },
      endpoint.maxReplyBytes
    )
    this.since = endpoint.now()
    // One for all reads of the connection: a stream would allocate one for each.
    const buffer = Buffer.allocUnsafeSlow(readBytes)
    const socket = endpoint.connect({
      buffer,
      callback: (length) => {
        this.onData(buffer.subarray(0, length))
        return true
      }
    })
    this.socket = socket
    socket.setNoDelay(true)
    socket.on(endpoint.readyEvent, () => {
      this.ready = true
      this.flush()
    })
    socket.on("drain", () => this.flush())
    socket.on("end", () => {
      this.parser.end()
      this.onClosedByNode()
    })
    socket.on("error", (error) => this.onError(error))
    socket.on("close", () => this.onClosedByNode())
  }

  /** Requests that have not been answered; never 0 while it is not ready. */
  get load(): number {
    return MutableList.length(this.unsent) + MutableList.length(this.sent)
  }

  send(slot: Slot): void {
    MutableList.append(this.unsent, slot)
    if (!this.flushing && this.ready) {
      this.flushing = true
      nextTick(flush, this)
    }
  }

  /** Writes what the pipeline's depth and the socket's buffer allow. */
  flush(): void {
    this.flushing = false
    while (this.ready && !this.closed && !this.socket.writableNeedDrain) {
      let text = ""
      let bytes: Uint8Array | undefined
      while (bytes === undefined && text.length < fullWrite && MutableList.length(this.sent) < this.endpoint.depth) {
        const slot = MutableList.shift(this.unsent)
        if (slot === undefined) break
        if (slot.resume === undefined) continue
        // The text is made now and not kept: strings that live until the reply are copied by garbage collections.
        if (typeof slot.body === "string") text += `${slot.head}${Buffer.byteLength(slot.body)}\r\n\r\n${slot.body}`
        else {
          bytes = slot.body
          text += `${slot.head}${bytes.length}\r\n\r\n`
        }
        MutableList.append(this.sent, slot)
        this.parser.awaiting += 1
      }
      if (text === "") return
      if (bytes === undefined) this.socket.write(text, "utf8")
      else {
        this.socket.cork()
        this.socket.write(text, "utf8")
        this.socket.write(bytes)
        this.socket.uncork()
      }
    }
  }

  /** Ends what has taken too long; the connection takes no more when a request that was sent is among it. */
  expire(): void {
    const { attemptTimeout, now } = this.endpoint
    const deadline = now() - attemptTimeout
    if (!this.ready && this.since <= deadline) {
      this.fail(fault("ConnectTimeout", `no connection in ${attemptTimeout} ms`))
      return
    }
    const outcome = fault("AttemptTimeout", `no reply in ${attemptTimeout} ms`)
    for (const slot of this.unsent) if (slot.since <= deadline) settle(slot, outcome)
    let stuck = false
    for (const slot of this.sent) {
      if (slot.since > deadline) continue
      stuck ||= slot.resume !== undefined
      settle(slot, outcome)
    }
    if (stuck) this.retire()
    if (this.retired) this.closeIfIdle()
  }

  /** Tells the metrics of what has been read and, since the last time, written. */
  private count(read: number): void {
    Telemetry.read(read)
    Telemetry.wrote(this.socket.bytesWritten - this.written)
    this.written = this.socket.bytesWritten
  }

  /** Ends every request and closes the connection at once. */
  fail(outcome: Exit.Exit<never, Fault>, first: Exit.Exit<never, Fault> = outcome): void {
    if (this.closed) return
    this.closed = true
    this.count(0)
    this.socket.destroy()
    let next = first
    for (const slot of this.sent) {
      settle(slot, next)
      next = outcome
    }
    MutableList.reset(this.sent)
    if (!this.ready) {
      for (const slot of this.unsent) settle(slot, outcome)
    }
    this.retire()
    this.owner.onClosed(this)
  }

  /** Gives up its place, and with it what it has not sent; replies to what it has sent still arrive. */
  private retire(): void {
    if (!this.retired) {
      this.retired = true
      this.owner.onRetired(this)
    }
    const unsent = this.unsent
    this.unsent = MutableList.empty()
    for (const slot of unsent) if (slot.resume !== undefined) this.owner.send(slot)
  }

  private closeIfIdle(): void {
    for (const slot of this.sent) if (slot.resume !== undefined) return
    this.fail(fault("Reset", "the connection was idle"))
  }

  private onData(chunk: Buffer): void {
    this.count(chunk.length)
    const violation = this.parser.push(chunk)
    if (violation !== undefined) this.onViolation(violation)
  }

  private onReply(status: number, body: string): void {
    this.replies += 1
    if (this.replies === 2) this.endpoint.depth = Number.POSITIVE_INFINITY
    const slot = MutableList.shift(this.sent)
    if (slot !== undefined) settle(slot, Exit.succeed({ status, body }))
    if (this.retired) this.closeIfIdle()
    else if (MutableList.length(this.unsent) > 0 && !this.flushing) {
      this.flushing = true
      nextTick(flush, this)
    }
  }

  /** The node has said that it closes after this reply: it has not looked at the requests behind it. */
  private onLastReply(): void {
    if (this.replies === 1) this.endpoint.depth = 1
    const unsent = this.unsent
    this.unsent = this.sent
    this.sent = MutableList.empty()
    for (const slot of unsent) MutableList.append(this.unsent, slot)
    this.fail(fault("Reset", "the node closed the connection"))
  }

  private onViolation(violation: ReplyError): void {
    this.fail(fault("Reset", "the connection was closed after a malformed reply"), fault("BadReply", violation.detail))
  }

  private onError(error: Error): void {
    const { detail, reason } = faultOfSystemError(error, "Unreachable")
    this.fail(fault(this.ready ? "Reset" : reason, detail))
  }

  private onClosedByNode(): void {
    this.fail(fault(this.ready ? "Reset" : "Unreachable", "the node closed the connection"))
  }
}

const flush = (connection: Connection): void => connection.flush()

/** The connections to one node. */
class Pool {
  private readonly connections: Array<Connection> = []
  /** Those that take no more requests and still await replies. */
  private readonly retired = new Set<Connection>()
  private readonly heads = new Map<string, string>()
  private closed = false

  constructor(
    private readonly endpoint: Endpoint,
    private readonly size: number,
    private readonly headOf: (command: string) => string
  ) {}

  /** A request's head, up to the digits of its Content-Length. */
  head(command: string): string {
    let head = this.heads.get(command)
    if (head === undefined) {
      head = this.headOf(command)
      this.heads.set(command, head)
    }
    return head
  }

  send(slot: Slot): void {
    if (this.closed) settle(slot, released)
    else this.pick().send(slot)
  }

  expire(): void {
    for (const connection of [...this.connections, ...this.retired]) connection.expire()
  }

  /** Whether there is anything that can take too long. */
  get busy(): boolean {
    return this.retired.size > 0 || this.connections.some((connection) => connection.load > 0)
  }

  close(): void {
    this.closed = true
    for (const connection of [...this.connections, ...this.retired]) connection.fail(released)
  }

  /** The connection with the fewest requests; a new one while there are fewer than `size` and none is free. */
  private pick(): Connection {
    let best = this.connections[0]
    for (const connection of this.connections) if (best !== undefined && connection.load < best.load) best = connection
    if (best !== undefined && (best.load === 0 || this.connections.length >= this.size)) return best
    const made = new Connection(this.endpoint, this)
    this.connections.push(made)
    return made
  }

  onRetired(connection: Connection): void {
    this.connections.splice(this.connections.indexOf(connection), 1)
    this.retired.add(connection)
  }

  onClosed(connection: Connection): void {
    this.retired.delete(connection)
  }
}

const released = fault("Reset", "the connection was closed by the client")

const connect = Effect.fnUntraced(function* (settings: TransportSettings) {
  const clock = yield* Effect.clock
  const now = () => clock.unsafeCurrentTimeMillis()
  const secureContext = settings.protocol === "https" ? makeSecureContext(settings.tls) : undefined
  const pools = new Map<string, Pool>()
  const busy = yield* Effect.makeLatch(false)
  let closed = false

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      for (const pool of pools.values()) pool.close()
      pools.clear()
    })
  )

  yield* Effect.forkScoped(sweep(pools, busy, settings.attemptTimeout))

  const connections: Connections = {
    post: (node, command, body) =>
      Effect.async<Reply, Fault>((resume) => {
        if (closed) return resume(released)
        let pool = pools.get(node)
        if (pool === undefined) {
          pool = makePool(node, settings, secureContext, now)
          pools.set(node, pool)
        }
        busy.unsafeOpen()
        pool.send({ head: pool.head(command), body, since: now(), resume })
      }),
    release: (node) =>
      Effect.sync(() => {
        pools.get(node)?.close()
        pools.delete(node)
      })
  }
  return connections
})

/** Ends attempts whose time is up: one fiber for all connections, which sleeps while nothing is in flight. */
const sweep = (pools: ReadonlyMap<string, Pool>, busy: Effect.Latch, attemptTimeout: number): Effect.Effect<never> => {
  // Replies that arrived while the process was busy elsewhere are read before anything is called late.
  const afterIo = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
  const pass = Effect.sync(() => {
    let again = false
    for (const pool of pools.values()) {
      pool.expire()
      again ||= pool.busy
    }
    if (!again) busy.unsafeClose()
  })
  return busy.await.pipe(
    Effect.zipRight(Effect.sleep(Math.max(attemptTimeout / 16, 1))),
    Effect.zipRight(afterIo),
    Effect.zipRight(pass),
    Effect.forever
  )
}

/** Throws what makes a certificate or a key unusable. */
const makeSecureContext = ({ ca, cert, key }: TlsOptions): Tls.SecureContext =>
  Tls.createSecureContext({
    ...(ca === undefined ? {} : { ca: typeof ca === "string" ? ca : [...ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: Redacted.value(key) })
  })

const makePool = (
  node: string,
  settings: TransportSettings,
  secureContext: Tls.SecureContext | undefined,
  now: () => number
): Pool => {
  const { host, port } = NodesFile.parseAddress(node, settings.port)
  // Server name indication takes no IP address.
  const servername = settings.tls.servername ?? (Net.isIP(host) === 0 ? host : undefined)
  const headers = Object.entries(settings.headers).map(([name, value]) => `${name}: ${Redacted.value(value)}\r\n`)
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`
  return new Pool(
    {
      connect: (onread) => {
        const to = { host, port, onread }
        return secureContext === undefined
          ? Net.connect(to)
          : Tls.connect({
              ...to,
              secureContext,
              ...(servername === undefined ? {} : { servername }),
              rejectUnauthorized: settings.tls.rejectUnauthorized ?? true,
              ALPNProtocols: ["http/1.1"]
            })
      },
      readyEvent: secureContext === undefined ? "connect" : "secureConnect",
      maxReplyBytes: settings.maxReplyBytes,
      attemptTimeout: settings.attemptTimeout,
      now,
      depth: Number.POSITIVE_INFINITY
    },
    settings.connections,
    (command) =>
      `POST /${command} HTTP/1.1\r\nHost: ${authority}\r\nContent-Type: application/json\r\n${headers.join("")}Content-Length: `
  )
}

/** The transport over sockets of Node.js, with its own connections: `connections` to each node, made when first needed. */
export const layer: Layer.Layer<Transport> = Layer.succeed(Transport, { connect })
