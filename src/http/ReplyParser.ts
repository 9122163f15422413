/**
 * A strict, incremental parser of pipelined HTTP/1.1 replies (RFC 9112), for the socket transport.
 *
 * It takes what it understands without doubt and refuses the rest, since a reply whose end is uncertain would make the
 * next one answer the wrong request. The first violation ends it: the connection must be closed. A body of a known
 * length that is too large is no violation: it is read to its end, so that the replies behind it are not lost.
 */

import { Buffer, constants, isAscii } from "node:buffer"
import {
  checkVersion,
  endOfSameHead,
  lengthIn,
  maxHeadBytes,
  parseField,
  parseHead,
  plainHead,
  ReplyError
} from "./ReplyHead.js"

/** What a parser tells its connection. */
export interface ReplyHandler {
  /** A whole reply, for the oldest request without one. What follows the connection's last one is not read. */
  readonly onReply: (status: number, body: string, isLast: boolean) => void
  /** The reply that is being read is larger than it may be. Its body is discarded, and at its end `onReply` is called. */
  readonly onTooLarge: (detail: string) => void
}

/** How much of a reply that is too large is read and discarded, so that the replies behind it are not lost. */
const maxDiscardedBytes = 64 * 1024 * 1024

const maxChunkLine = 1024

const maxInterimOrTrailers = 16

/** Where the parser stands between two reads. */
type State = "head" | "fixed" | "chunk size" | "chunk data" | "chunk end" | "trailers" | "until close" | "closed"

const chunkSize = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?$/

const nothing = Buffer.alloc(0)

/** The parser of one connection's replies. Bodies are UTF-8. */
export class ReplyParser {
  /** Requests sent that have no reply yet; the owner adds to it, each reply takes one away. */
  outstanding = 0

  private readonly maxBodyBytes: number
  private state: State = "head"
  /** The previous reply's head: most replies of a node differ in the length alone. */
  private head = plainHead
  /** The beginning of a line or a head whose end has not been read. */
  private carry: Buffer = nothing
  /** The first `size` bytes are what has been read of the body. */
  private body: Buffer = nothing
  private size = 0
  /** Whether the body is too large: it is read, and not kept. */
  private discarding = false
  /** What has not been read of the body, or of the chunk. */
  private remaining = 0
  /** Interim replies before the reply, then trailers after it. */
  private interimOrTrailers = 0

  /** `maxBodyBytes` bounds each body. A larger one is discarded, or a violation where its end is unknown or too far. */
  constructor(
    private readonly handler: ReplyHandler,
    maxBodyBytes: number
  ) {
    this.maxBodyBytes = Math.min(maxBodyBytes, constants.MAX_STRING_LENGTH)
  }

  /**
   * Takes what was read, and keeps nothing of the buffer. Returns the violation, if there is one: nothing more can be read
   * from the connection.
   */
  push(read: Buffer): ReplyError | undefined {
    try {
      this.take(read)
      return undefined
    } catch (error) {
      if (error instanceof ReplyError) {
        this.state = "closed"
        return error
      }
      throw error
    }
  }

  /** The other side has closed: ends a body that lasts until then. Anything else unfinished stays so. */
  end(): void {
    if (this.state === "until close") this.finishCollected()
  }

  private take(read: Buffer): void {
    let chunk = read
    if (this.carry.length > 0) {
      chunk = Buffer.concat([this.carry, read])
      this.carry = nothing
    }
    // `chunk` from `base` on as latin-1, made when first needed; `ascii` when it is UTF-8 as well.
    let text = ""
    let base = -1
    let ascii = false
    let at = 0
    while (at < chunk.length) {
      switch (this.state) {
        case "head": {
          if (this.outstanding === 0) throw new ReplyError("bytes that answer no request")
          if (base === -1) {
            base = at
            text = chunk.toString("latin1", at)
            ascii = isAscii(at === 0 ? chunk : chunk.subarray(at))
          }
          const headEnd = this.takeHead(text, at - base)
          if (headEnd === -1) {
            this.carry = Buffer.from(chunk.subarray(at))
            return
          }
          at = base + headEnd
          break
        }
        case "fixed":
          if (this.size === 0 && this.remaining <= chunk.length - at && !this.discarding) {
            // The common case: the body has been read in one piece, along with its head.
            const end = at + this.remaining
            const body = ascii ? text.slice(at - base, end - base) : chunk.toString("utf8", at, end)
            at = end
            this.finish(body)
          } else at = this.takeFixed(chunk, at)
          break
        case "until close":
          at = this.takeUntilClose(chunk, at)
          break
        case "chunk data":
          at = this.collect(chunk, at)
          if (this.remaining === 0) this.state = "chunk end"
          break
        case "chunk size":
        case "chunk end":
        case "trailers": {
          const end = this.takeLine(chunk, at)
          if (end === -1) return
          at = end
          break
        }
        case "closed":
          return
      }
    }
  }

  private takeFixed(chunk: Buffer, at: number): number {
    const end = this.collect(chunk, at)
    if (this.remaining === 0) this.finishCollected()
    return end
  }

  private takeUntilClose(chunk: Buffer, at: number): number {
    this.remaining = chunk.length - at
    this.check(this.size + this.remaining)
    return this.collect(chunk, at)
  }

  /** Takes a line of a chunked body and returns where it ends, -1 when it is not whole. */
  private takeLine(chunk: Buffer, at: number): number {
    const end = chunk.indexOf("\r\n", at, "latin1")
    // Without its end, the last byte may be the end's first.
    const length = (end === -1 ? chunk.length - 1 : end) - at
    if (length > (this.state === "trailers" ? maxHeadBytes : maxChunkLine)) {
      throw new ReplyError("an overlong line in a chunked body")
    }
    if (end === -1) {
      this.carry = Buffer.from(chunk.subarray(at))
      return -1
    }
    this.readLine(chunk.toString("latin1", at, end))
    return end + 2
  }

  /** Takes the head that begins at `from` and returns where it ends, -1 when it is not whole. */
  private takeHead(text: string, from: number): number {
    let end = endOfSameHead(this.head, text, from)
    if (end === -1) {
      checkVersion(text, from)
      const last = text.indexOf("\r\n\r\n", from)
      // Without its end, the last three bytes may be the end's first.
      if ((last === -1 ? text.length - 3 : last) - from > maxHeadBytes) {
        throw new ReplyError(`a head of more than ${maxHeadBytes} bytes`)
      }
      if (last === -1) return -1
      end = last + 4
      this.head = parseHead(text.slice(from, end))
    }
    const head = this.head
    if (head.status < 200) {
      if (head.status === 101 || ++this.interimOrTrailers > maxInterimOrTrailers)
        throw new ReplyError("unasked interim replies")
      return end
    }
    this.interimOrTrailers = 0
    if (head.body === "chunked") this.state = "chunk size"
    else if (head.body === "until close") this.state = "until close"
    else {
      this.remaining = head.body === "length" ? lengthIn(head, text, from) : 0
      this.check(this.remaining)
      if (this.remaining === 0) this.finish("")
      else this.state = "fixed"
    }
    return end
  }

  private readLine(line: string): void {
    switch (this.state) {
      case "chunk size": {
        const match = chunkSize.exec(line)
        if (match === null) throw new ReplyError("a malformed chunk size")
        this.remaining = Number.parseInt(match[1] ?? "", 16)
        this.check(this.size + this.remaining)
        this.state = this.remaining === 0 ? "trailers" : "chunk data"
        return
      }
      case "chunk end":
        if (line !== "") throw new ReplyError("a chunk longer than its size")
        this.state = "chunk size"
        return
      case "trailers":
        if (line === "") this.finishCollected()
        else if (++this.interimOrTrailers > maxInterimOrTrailers) throw new ReplyError("too many trailers")
        else parseField(line)
        return
    }
  }

  /** Copies what `chunk` holds of the remaining bytes; returns where they end. */
  private collect(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.remaining)
    const length = end - at
    if (!this.discarding && this.size + length > this.body.length) {
      // Room for what has been announced. At least doubled: a body of many small chunks is not copied with each of them.
      const doubled = Math.min(2 * this.body.length, this.maxBodyBytes)
      const larger = Buffer.allocUnsafe(Math.max(this.size + this.remaining, doubled))
      this.body.copy(larger, 0, 0, this.size)
      this.body = larger
    }
    if (!this.discarding) chunk.copy(this.body, this.size, at, end)
    this.size += length
    this.remaining -= length
    return end
  }

  private check(size: number): void {
    if (size <= this.maxBodyBytes) return
    const detail = `a reply of more than ${this.maxBodyBytes} bytes`
    // Only a length that has been announced says that the end is near.
    if (this.head.body !== "length" || size > Math.max(maxDiscardedBytes, 2 * this.maxBodyBytes)) {
      throw new ReplyError(detail, "ReplyTooLarge")
    }
    this.discarding = true
    this.handler.onTooLarge(detail)
  }

  private finishCollected(): void {
    const body = this.discarding ? "" : this.body.toString("utf8", 0, this.size)
    this.discarding = false
    this.body = nothing
    this.size = 0
    this.interimOrTrailers = 0
    this.finish(body)
  }

  private finish(body: string): void {
    const head = this.head
    this.outstanding -= 1
    this.state = head.close ? "closed" : "head"
    this.handler.onReply(head.status, body, head.close)
  }
}
