import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import { nextTick } from "node:process"
import { Deque } from "./Deque.js"
import type { Failure } from "./Failure.js"
import type { ReplyError } from "./ReplyHead.js"
import { ReplyParser } from "./ReplyParser.js"
import { failureOfSystemError } from "./SystemError.js"

/** A whole reply. */
export interface Reply {
  readonly status: number
  readonly body: string
}

/** A request from the moment it is made until it has its one and only outcome. */
export interface PendingRequest {
  /** Up to the digits of the Content-Length. */
  readonly head: string
  readonly body: string | Uint8Array
  /** When it was made, in milliseconds. */
  readonly since: number
  /** Taken away with the outcome: a request without it keeps its place in the pipeline and nothing else. */
  resume: ((outcome: Reply | Failure) => void) | undefined
}

export const settle = (request: PendingRequest, outcome: Reply | Failure): void => {
  const resume = request.resume
  if (resume !== undefined) {
    request.resume = undefined
    resume(outcome)
  }
}

/** What all connections to one node share. */
export interface Endpoint {
  readonly connect: (onread: Net.OnReadOpts) => Net.Socket
  readonly readyEvent: "connect" | "secureConnect"
  readonly maxReplyBytes: number
  readonly attemptTimeout: number
  readonly now: () => number
  /** Counts the bytes that were read and written. */
  readonly onBytes: (read: number, written: number) => void
  /**
   * Requests that may be in flight on a connection: 1 after the node has closed a connection with its first reply, and
   * as many as there are once a connection has had a second one.
   */
  pipelining: number
}

/** A write takes no more requests once it has this many characters. */
const fullWrite = 64 * 1024

const readBytes = 64 * 1024

export class Connection {
  /** Not yet written, and written without a reply. */
  private queued = new Deque<PendingRequest>()
  private inFlight = new Deque<PendingRequest>()
  private readonly socket: Net.Socket
  private readonly parser: ReplyParser
  private readonly since: number
  private ready = false
  private flushing = false
  private replies = 0
  /** The bytes written that the metrics know of. */
  private written = 0
  private draining = false
  private closed = false

  constructor(
    private readonly endpoint: Endpoint,
    private readonly owner: {
      /** Called once, when no more requests may be given to the connection. */
      readonly onDraining: (connection: Connection) => void
      /** Called once, after `onDraining`. */
      readonly onClosed: (connection: Connection) => void
      /** Finds another connection for a request. */
      readonly send: (request: PendingRequest) => void
    }
  ) {
    this.parser = new ReplyParser(
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
    return this.queued.length + this.inFlight.length
  }

  send(request: PendingRequest): void {
    this.queued.push(request)
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
      while (bytes === undefined && text.length < fullWrite && this.inFlight.length < this.endpoint.pipelining) {
        const request = this.queued.shift()
        if (request === undefined) break
        if (request.resume === undefined) continue
        // The text is made now and not kept: strings that live until the reply are copied by garbage collections.
        if (typeof request.body === "string")
          text += `${request.head}${Buffer.byteLength(request.body)}\r\n\r\n${request.body}`
        else {
          bytes = request.body
          text += `${request.head}${bytes.length}\r\n\r\n`
        }
        this.inFlight.push(request)
        this.parser.outstanding += 1
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
  expireAttempts(): void {
    const { attemptTimeout, now } = this.endpoint
    const deadline = now() - attemptTimeout
    if (!this.ready && this.since <= deadline) {
      this.fail({ reason: "ConnectTimeout", detail: `no connection in ${attemptTimeout} ms` })
      return
    }
    const outcome: Failure = { reason: "AttemptTimeout", detail: `no reply in ${attemptTimeout} ms` }
    for (const request of this.queued) if (request.since <= deadline) settle(request, outcome)
    let stuck = false
    for (const request of this.inFlight) {
      if (request.since > deadline) continue
      stuck ||= request.resume !== undefined
      settle(request, outcome)
    }
    if (stuck) this.drain()
    if (this.draining) this.closeIfIdle()
  }

  /** Tells the metrics of what has been read and, since the last time, written. */
  private count(read: number): void {
    this.endpoint.onBytes(read, this.socket.bytesWritten - this.written)
    this.written = this.socket.bytesWritten
  }

  /** {@link fail}, and what has not been written ends too instead of moving to another connection. */
  failAll(outcome: Failure): void {
    for (const request of this.queued) settle(request, outcome)
    this.fail(outcome)
  }

  /** Ends every request and closes the connection at once. */
  fail(outcome: Failure, first: Failure = outcome): void {
    if (this.closed) return
    this.closed = true
    this.count(0)
    this.socket.destroy()
    let next = first
    for (const request of this.inFlight) {
      settle(request, next)
      next = outcome
    }
    this.inFlight.clear()
    if (!this.ready) {
      for (const request of this.queued) settle(request, outcome)
    }
    this.drain()
    this.owner.onClosed(this)
  }

  /** Gives up its place, and with it what it has not sent; replies to what it has sent still arrive. */
  private drain(): void {
    if (!this.draining) {
      this.draining = true
      this.owner.onDraining(this)
    }
    const queued = this.queued
    this.queued = new Deque()
    for (const request of queued) if (request.resume !== undefined) this.owner.send(request)
  }

  private closeIfIdle(): void {
    for (const request of this.inFlight) if (request.resume !== undefined) return
    this.fail({ reason: "Reset", detail: "the connection was idle" })
  }

  private onData(chunk: Buffer): void {
    this.count(chunk.length)
    const violation = this.parser.push(chunk)
    if (violation !== undefined) this.onViolation(violation)
  }

  private onReply(status: number, body: string): void {
    this.replies += 1
    if (this.replies === 2) this.endpoint.pipelining = Number.POSITIVE_INFINITY
    const request = this.inFlight.shift()
    if (request !== undefined) settle(request, { status, body })
    if (this.draining) this.closeIfIdle()
    else if (this.queued.length > 0 && !this.flushing) {
      this.flushing = true
      nextTick(flush, this)
    }
  }

  /** The node has said that it closes after this reply: it has not looked at the requests behind it. */
  private onLastReply(): void {
    if (this.replies === 1) this.endpoint.pipelining = 1
    const queued = this.queued
    this.queued = this.inFlight
    this.inFlight = new Deque()
    for (const request of queued) this.queued.push(request)
    this.fail({ reason: "Reset", detail: "the node closed the connection" })
  }

  private onViolation(violation: ReplyError): void {
    this.fail(
      { reason: "Reset", detail: "the connection was closed after a malformed reply" },
      { reason: "BadReply", detail: violation.detail }
    )
  }

  private onError(error: Error): void {
    const { detail, reason } = failureOfSystemError(error, "Unreachable")
    this.fail({ reason: this.ready ? "Reset" : reason, detail })
  }

  private onClosedByNode(): void {
    this.fail({ reason: this.ready ? "Reset" : "Unreachable", detail: "the node closed the connection" })
  }
}

const flush = (connection: Connection): void => connection.flush()
