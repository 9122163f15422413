import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import { Deque } from "./Deque.js"
import type { Failure } from "./Failure.js"
import type { ReplyError } from "./ReplyHead.js"
import { ReplyParser } from "./ReplyParser.js"
import type { RequestLimit } from "./RequestLimit.js"
import type { PendingRequest, RequestQueue, Tick } from "./RequestQueue.js"
import { failureOfSystemError } from "./SystemError.js"

/** What all connections to one node share. */
export interface Endpoint {
  readonly connect: (onread: Net.OnReadOpts) => Net.Socket
  readonly readyEvent: "connect" | "secureConnect"
  readonly maxReplyBytes: number
  /** Milliseconds. */
  readonly attemptTimeout: number
  /** Requests in flight on a connection at most. */
  readonly pipelining: number
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number
  /** Counts the bytes that were read and written. */
  readonly onBytes: (read: number, written: number) => void
  /**
   * A connection could not be made, was reset, was closed by the node without a word, or by this side since it was idle. Its
   * requests fail after that.
   */
  readonly onDisconnect: (isIdle: boolean) => void
}

/** What a connection tells its pool. */
export interface Owner {
  readonly queue: RequestQueue
  readonly limit: RequestLimit
  /** The connection may have room for requests that wait. */
  readonly onWritable: () => void
  /** Requests were written, and the node has not processed them. */
  readonly onUnprocessed: (requests: ReadonlyArray<PendingRequest>) => void
  /** The connection has had all the replies that the limit allows. */
  readonly onFull: (connection: Connection) => void
  /** Called once, when the connection takes no more requests. `failure` is given where it could not be made. */
  readonly onDraining: (connection: Connection, failure: Failure | undefined) => void
  /** Called once, after `onDraining`. */
  readonly onClosed: (connection: Connection) => void
}

const readBytes = 64 * 1024

/** This many bytes of a reply count as progress. Fewer do not: a node that sends single bytes would never be late. */
const progressBytes = 64 * 1024

/** A request is too late when its deadline is nearer than this many times the latest reply time. */
const replyTimeMargin = 1.5

/** How long a connection is idle, in milliseconds, before the system probes whether the node is still there. */
const keepAliveDelay = 30_000

export class Connection {
  /** Requests that were written and have no whole reply yet. */
  private readonly inFlight = new Deque<PendingRequest>()
  private readonly socket: Net.Socket
  private readonly parser: ReplyParser
  private ready = false
  private draining = false
  private closed = false
  /** Requests written, and replies read. */
  private requests = 0
  private replies = 0
  /** Milliseconds from writing the latest request answered to its reply; 0 when no request waited then. */
  private replyTime = 0
  /** The bytes written that have been counted. */
  private counted = 0
  /** When the connection last made progress: it began, a reply was read, or the socket took bytes. */
  private progressAt: number
  /** Bytes of a reply since then. */
  private partial = 0
  /** The serial number of the next connection when this one became full; infinite before. */
  fullBefore = Number.POSITIVE_INFINITY
  private lingersForLong = false

  constructor(
    private readonly endpoint: Endpoint,
    private readonly owner: Owner,
    /** How many connections the pool had made before. */
    readonly serial: number
  ) {
    this.parser = new ReplyParser(
      {
        onReply: (status, body, isLast) => this.onReply(status, body, isLast),
        onTooLarge: (detail) => this.onTooLarge(detail)
      },
      endpoint.maxReplyBytes
    )
    this.progressAt = endpoint.now()
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
    socket.setKeepAlive(true, keepAliveDelay)
    socket.on(endpoint.readyEvent, () => {
      this.ready = true
      owner.onWritable()
    })
    socket.on("drain", () => {
      this.progressAt = endpoint.now()
      owner.onWritable()
    })
    socket.on("end", () => {
      this.parser.end()
      this.onClosedByNode()
    })
    socket.on("error", (error) => this.onError(error))
    socket.on("close", () => this.onClosedByNode())
  }

  /** Requests written that have no reply. */
  get load(): number {
    return this.inFlight.length
  }

  get isReady(): boolean {
    return this.ready
  }

  /** How many requests can be written now. */
  get room(): number {
    if (!this.ready || this.draining || this.socket.writableNeedDrain) return 0
    return Math.min(this.endpoint.pipelining - this.inFlight.length, this.owner.limit.requests - this.requests)
  }

  /** Writes what waits, `most` requests at most, as far as the pipeline and the socket's buffer have room. */
  write(most: number): void {
    const now = this.endpoint.now()
    let left = most
    while (left > 0) {
      // With nothing in flight the next request is always sent, so that the reply time is measured again.
      const replyTime = this.inFlight.length === 0 ? 0 : this.replyTime * replyTimeMargin
      const batch = this.owner.queue.take(Math.min(left, this.room), now, this.inFlight, replyTime)
      if (batch === undefined) return
      left -= batch.requests
      this.requests += batch.requests
      this.parser.outstanding += batch.requests
      if (batch.bytes === undefined) this.socket.write(batch.text, "utf8")
      else {
        this.socket.cork()
        this.socket.write(batch.text, "utf8")
        this.socket.write(batch.bytes)
        this.socket.uncork()
      }
    }
  }

  /**
   * Ends what has taken too long, and returns the earliest deadline in flight. An attempt is late when for
   * `attemptTimeout` nothing has shown progress: neither its reply nor one before it, nor {@link progressBytes} of one,
   * nor requests taken by the socket. The connection takes no more requests then.
   */
  expire(tick: Tick): number {
    const { attemptTimeout } = this.endpoint
    const since = tick.now - attemptTimeout
    if (!this.ready) {
      if (this.progressAt <= since) {
        this.fail({ reason: "ConnectTimeout", detail: `no connection in ${attemptTimeout} ms` })
      }
      return Number.POSITIVE_INFINITY
    }
    let nextDeadline = Number.POSITIVE_INFINITY
    let late = false
    for (const request of this.inFlight) {
      if (this.progressAt <= since && request.writtenAt <= since) {
        late = true
        request.settle({ reason: "AttemptTimeout", detail: `no reply in ${attemptTimeout} ms` })
      }
      request.expire(tick, deadlinePassed)
      if (!request.isSettled) nextDeadline = Math.min(nextDeadline, request.deadline)
    }
    if (late) this.drain()
    if (this.lingersForLong) this.outlive()
    else if (Number.isFinite(this.fullBefore)) this.lingersForLong = true
    else if (this.draining) this.closeIfUnused()
    return nextDeadline
  }

  /** The process was late by so many milliseconds: they are not counted as time that the node has taken. */
  postpone(millis: number): void {
    this.progressAt += millis
    for (const request of this.inFlight) request.writtenAt += millis
  }

  /** Ends every request and closes the connection at once. */
  fail(failure: Failure, first: Failure = failure): void {
    if (this.closed) return
    this.closed = true
    this.count(0)
    this.socket.destroy()
    let next = first
    for (let request = this.inFlight.shift(); request !== undefined; request = this.inFlight.shift()) {
      request.settle(next)
      next = failure
    }
    this.drain(this.ready ? undefined : failure)
    this.owner.onClosed(this)
  }

  /** Takes no more requests, and stays open for a while: whether the node closes it shows whether the limit is one. */
  linger(connectionsMade: number): void {
    this.fullBefore = connectionsMade
    this.drain()
  }

  /** Closes a connection that stayed open: there is no limit. */
  outlive(): void {
    this.owner.limit.lift()
    this.fail(idle)
  }

  /** Gives up its place; replies to what is in flight still arrive. */
  private drain(failure?: Failure): void {
    if (this.draining) return
    this.draining = true
    this.owner.onDraining(this, failure)
  }

  /**
   * Closes the connection where no request has used it for `idleTimeout` milliseconds. Returns when it may be so next:
   * infinite once it is closed.
   */
  closeIfIdle(now: number, idleTimeout: number): number {
    if (!this.ready || this.inFlight.length > 0) return now + idleTimeout
    const idleAt = this.progressAt + idleTimeout
    if (now < idleAt) return idleAt
    // From now on nothing tells whether the node is restarted.
    this.endpoint.onDisconnect(true)
    this.fail(idle)
    return Number.POSITIVE_INFINITY
  }

  private closeIfUnused(): void {
    for (const request of this.inFlight) if (!request.isSettled) return
    this.fail(idle)
  }

  private count(read: number): void {
    this.endpoint.onBytes(read, this.socket.bytesWritten - this.counted)
    this.counted = this.socket.bytesWritten
  }

  private onData(chunk: Buffer): void {
    this.count(chunk.length)
    const { replies } = this
    const violation = this.parser.push(chunk)
    this.partial += chunk.length
    if (this.replies !== replies || this.partial >= progressBytes) {
      this.progressAt = this.endpoint.now()
      this.partial = 0
    }
    if (violation !== undefined) this.onViolation(violation)
  }

  private onReply(status: number, body: string, isLast: boolean): void {
    this.replies += 1
    const request = this.inFlight.shift()
    if (request !== undefined) {
      this.replyTime = this.owner.queue.length === 0 ? 0 : this.endpoint.now() - request.writtenAt
      request.settle({ status, body })
    }
    if (isLast) this.onLastReply()
    else if (this.draining) this.closeIfUnused()
    else {
      const { limit } = this.owner
      limit.stayedOpenAfter(this.replies)
      if (this.replies >= limit.requests) this.owner.onFull(this)
      else this.owner.onWritable()
    }
  }

  /** The reply that is being read is too large: its request has failed, and keeps its place until the reply's end. */
  private onTooLarge(detail: string): void {
    for (const request of this.inFlight) {
      request.settle({ reason: "ReplyTooLarge", detail })
      return
    }
  }

  /** The node has said that it closes after this reply: it does not process the requests behind it. */
  private onLastReply(): void {
    this.noteLimit(true)
    const unprocessed = [...this.inFlight]
    this.inFlight.clear()
    this.fail(closedByNode)
    this.owner.onUnprocessed(unprocessed)
  }

  private onViolation({ detail, reason }: ReplyError): void {
    this.fail(
      { reason: "Reset", detail: "the connection was closed after a reply that could not be read" },
      { reason, detail }
    )
  }

  private onError(error: Error): void {
    const { detail, reason } = failureOfSystemError(error, "Unreachable")
    this.noteLimit(false)
    if (!this.closed) this.endpoint.onDisconnect(false)
    this.fail({ reason: this.ready ? "Reset" : reason, detail })
  }

  private onClosedByNode(): void {
    this.noteLimit(false)
    if (!this.closed) this.endpoint.onDisconnect(false)
    this.fail(this.ready ? closedByNode : { ...closedByNode, reason: "Unreachable" })
  }

  /** The node closes the connection: where it says so or requests are in flight, that may be a limit of the node's. */
  private noteLimit(announced: boolean): void {
    if (!this.closed && (announced || this.inFlight.length > 0)) this.owner.limit.closedAfter(this.replies, announced)
  }
}

const closedByNode: Failure = { reason: "Reset", detail: "the node closed the connection" }

const idle: Failure = { reason: "Reset", detail: "the connection was idle" }

const deadlinePassed: Failure = { reason: "Deadline", detail: "no reply before the deadline" }
