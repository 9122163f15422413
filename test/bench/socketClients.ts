/** Two clients of a few lines, to tell what the command, and what the codec, cost: promises over one pipelined socket. */

import { Buffer } from "node:buffer"
import { connect, type Socket } from "node:net"
import { ReplyParser } from "../../src/http/ReplyParser.js"

/** Posts a body and brings the reply's body back. */
export type Post = (command: string, body: string) => Promise<string>

/** The same by a callback. */
export type Send = (command: string, body: string, onReply: (body: string) => void) => void

const portOf = (node: string): number => Number(node.slice(node.lastIndexOf(":") + 1))

/** Callbacks in the order of their requests, the requests of one tick in one write. */
class Pipeline {
  private text = ""
  private waiting: Array<(body: string) => void> = []
  private first = 0

  constructor(
    private readonly socket: Socket,
    private readonly node: string,
    private readonly onSent: () => void
  ) {
    socket.setNoDelay(true)
    socket.on("error", (error) => {
      throw error
    })
  }

  readonly post: Post = (command, body) => new Promise((resolve) => this.send(command, body, resolve))

  readonly send: Send = (command, body, onReply) => {
    this.waiting.push(onReply)
    this.onSent()
    if (this.text === "") process.nextTick(this.flush)
    this.text += `POST /${command} HTTP/1.1\r\nHost: ${this.node}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  }

  answer(body: string): void {
    const resolve = this.waiting[this.first++]
    if (this.first === this.waiting.length) {
      this.waiting = []
      this.first = 0
    }
    resolve?.(body)
  }

  private readonly flush = () => {
    this.socket.write(this.text, "utf8")
    this.text = ""
  }
}

/** The reply parser of `SocketTransport`, and nothing else of it. */
export const overCodec = (node: string): Post => {
  const socket = connect(portOf(node), "127.0.0.1")
  const parser = new ReplyParser(
    {
      onReply: (_status, body, isLast) => {
        pipeline.answer(body)
        if (isLast) socket.destroy()
      },
      onTooLarge: (detail) => socket.destroy(new Error(detail))
    },
    64 * 1024 * 1024
  )
  const pipeline = new Pipeline(socket, node, () => {
    parser.outstanding += 1
  })
  socket.on("data", (chunk) => {
    const violation = parser.push(chunk)
    if (violation !== undefined) throw new Error(violation.detail)
  })
  return pipeline.post
}

const lengthHeader = "Content-Length: "

/** As little as brings a reply of this benchmark back: ASCII, no checks, no failures. */
const overPlainSocket = (node: string): Pipeline => {
  const socket = connect(portOf(node), "127.0.0.1")
  const pipeline = new Pipeline(socket, node, () => {})
  let rest = ""
  let wanted = 0
  socket.on("data", (chunk) => {
    rest = rest === "" ? chunk.toString("latin1") : rest + chunk.toString("latin1")
    if (rest.length < wanted) return
    let at = 0
    wanted = 0
    for (;;) {
      const headEnd = rest.indexOf("\r\n\r\n", at)
      if (headEnd === -1) break
      const digits = rest.indexOf(lengthHeader, at) + lengthHeader.length
      const end = headEnd + 4 + Number(rest.slice(digits, rest.indexOf("\r\n", digits)))
      if (end > rest.length) {
        wanted = end - at
        break
      }
      pipeline.answer(rest.slice(headEnd + 4, end))
      at = end
    }
    rest = rest.slice(at)
  })
  return pipeline
}

/** {@link overPlainSocket} by promises. */
export const plainPost = (node: string): Post => overPlainSocket(node).post

/** {@link overPlainSocket} by callbacks. */
export const plainSend = (node: string): Send => overPlainSocket(node).send
