import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import { nextTick } from "node:process"
import * as Exit from "effect/Exit"
import * as MutableList from "effect/MutableList"
import type { JsonText, Reply } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import type { ReplyError } from "./ReplyHead.js"
import { HttpReplyParser } from "./ReplyParser.js"
import { faultOfSystemError } from "./SystemError.js"

/** A request from the moment it is made until it has its one and only outcome. */
export interface Slot {
  /** Up to the digits of the Content-Length. */
  readonly head: string
  readonly body: JsonText
  /** When it was made, in milliseconds. */
  readonly since: number
  /** Taken away with the outcome: a slot without it keeps its place in the pipeline and nothing else. */
  resume: ((outcome: Exit.Exit<Reply, Fault>) => void) | undefined
}

export const settle = (slot: Slot, outcome: Exit.Exit<Reply, Fault>): void => {
  const resume = slot.resume
  if (resume !== undefined) {
    slot.resume = undefined
    resume(outcome)
  }
}

export const fault = (reason: Fault["reason"], detail: string): Exit.Exit<never, Fault> => Exit.fail({ reason, detail })

/** What all connections to one node share. */
export interface Endpoint {
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

export class Connection {
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
