/**
 * The HTTP side of a node: reads bodies, refuses what web pages send, and answers each connection's requests in order, no
 * faster than its client reads the replies.
 */

import { Buffer } from "node:buffer"
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { type NodeReply, ok } from "./ServerDialect.js"

/** A larger request body is not read: the connection is reset, as real servers do. */
const maxBodyBytes = 4 * 1024 * 1024

/** Bytes of replies that a client has not read yet, before its next request waits. */
const maxUnread = 1024 * 1024

/** Smaller replies than this are not counted: Node.js itself stops reading before many of them wait. */
const smallReply = 1024

/** Requests and bytes of their bodies that wait on a connection, before reading from it stops. */
const maxWaiting = { requests: 64, bytes: 256 * 1024 }

/** Answers each request by `handle`, which takes its URL and its body. `reset` breaks a connection without an answer. */
export const requestListener = (
  handle: (url: string, body: string) => NodeReply,
  reset: (socket: Socket) => void
): RequestListener => {
  const connections = new WeakMap<Socket, Connection>()
  return (request, response) => {
    const { socket } = request
    const headers = readHeaders(request.rawHeaders)
    if (headers.contentLength > maxBodyBytes) return reset(socket)
    let connection = connections.get(socket)
    if (connection === undefined) {
      connection = new Connection(socket)
      connections.set(socket, connection)
    }
    receive(
      request,
      connection,
      { reset: () => reset(socket), refusal: refusalOf(request.method, headers) },
      response,
      handle
    )
  }
}

const receive = (
  request: IncomingMessage,
  connection: Connection,
  { refusal, reset }: { readonly refusal: NodeReply | undefined; readonly reset: () => void },
  response: ServerResponse,
  handle: (url: string, body: string) => NodeReply
): void => {
  const chunks: Array<Buffer> = []
  let bytes = 0
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxBodyBytes) reset()
    // The body of a refused request is read, so that the connection can be used again, and not kept.
    else if (refusal === undefined) chunks.push(chunk)
  })
  request.on("end", () => {
    if (bytes > maxBodyBytes) return
    connection.answer(bytes, response, () => {
      if (refusal !== undefined) return refusal
      const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
      return handle(request.url ?? "/", String(body))
    })
  })
}

interface Waiting {
  readonly bytes: number
  readonly response: ServerResponse
  readonly reply: () => NodeReply
}

/** The requests of one connection that wait until the client has read the replies before them. */
class Connection {
  private waiting: Array<Waiting> = []
  private waitingBytes = 0
  private unread = 0

  constructor(private readonly socket: Socket) {
    // Node.js resumes a socket by itself, when it has drained or a body is being read.
    socket.on("resume", () => {
      if (this.isFull) socket.pause()
    })
    socket.once("close", () => {
      this.waiting = []
      this.waitingBytes = 0
    })
  }

  answer(bytes: number, response: ServerResponse, reply: () => NodeReply): void {
    // A connection that has broken has no one to answer.
    if (response.destroyed || this.socket.destroyed) return
    if (this.waiting.length === 0 && this.unread < maxUnread) {
      this.send(response, reply())
    } else {
      this.waiting.push({ bytes, response, reply })
      this.waitingBytes += bytes
      if (this.isFull) this.socket.pause()
    }
  }

  private get isFull(): boolean {
    return this.waiting.length >= maxWaiting.requests || this.waitingBytes >= maxWaiting.bytes
  }

  private next(): void {
    const wasFull = this.isFull
    while (this.unread < maxUnread) {
      const next = this.waiting.shift()
      if (next === undefined) break
      this.waitingBytes -= next.bytes
      this.send(next.response, next.reply())
    }
    if (wasFull && !this.isFull) this.socket.resume()
  }

  private send(response: ServerResponse, reply: NodeReply): void {
    const bytes = Buffer.byteLength(reply.body)
    const length = String(bytes)
    response.sendDate = false
    const headers =
      reply.contentType === undefined
        ? ["Content-Length", length]
        : ["Content-Type", reply.contentType, "Content-Length", length]
    if (reply === notPost) headers.push("Allow", "POST")
    response.writeHead(reply.status, headers)
    if (bytes < smallReply) {
      response.end(reply.body)
      return
    }
    this.unread += bytes
    response.end(reply.body, () => {
      this.unread -= bytes
      this.next()
    })
  }
}

interface Headers {
  readonly contentLength: number
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
}

/** Those that matter. `request.headers` would make an object of all of them, a thirtieth of what a small request costs. */
const readHeaders = (rawHeaders: ReadonlyArray<string>): Headers => {
  let contentLength = 0
  let host: string | undefined
  let origin: string | undefined
  let fetchSite: string | undefined
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ""
    if (name.length !== 14 && name.length !== 6 && name.length !== 4) continue
    const value = rawHeaders[i + 1] ?? ""
    switch (name.toLowerCase()) {
      case "content-length":
        contentLength = Number(value)
        break
      case "host":
        host = value
        break
      case "origin":
        origin = value
        break
      case "sec-fetch-site":
        fetchSite = value
        break
      default:
        break
    }
  }
  return { contentLength, host, origin, fetchSite }
}

const refusal = (status: number, message: string): NodeReply => ({
  ...ok(`${JSON.stringify({ Message: message })}\n`),
  status
})

const notPost = refusal(405, "GhostDB commands are POST requests")

const foreign = refusal(403, "GhostDB refuses requests of web pages from another origin")

/**
 * The answer to a request that no GhostDB client sends and a web page can: browsers let any page send a GET, and a POST
 * of plain text, to a node on the user's machine.
 */
const refusalOf = (method: string | undefined, { fetchSite, host, origin }: Headers): NodeReply | undefined => {
  if (method !== "POST") return notPost
  if (fetchSite !== undefined && fetchSite.toLowerCase() !== "same-origin" && fetchSite.toLowerCase() !== "none") {
    return foreign
  }
  return origin === undefined || isOwnOrigin(origin, host) ? undefined : foreign
}

/**
 * Whether a page of that origin came from this server's address. The host must be an IP address or `localhost`: any other
 * name can be made to point to this machine by whoever owns it.
 */
const isOwnOrigin = (origin: string, host = ""): boolean => {
  const [, authority] = /^https?:\/\/(.+)$/i.exec(origin) ?? []
  return (
    authority !== undefined &&
    authority.toLowerCase() === host.toLowerCase() &&
    /^(localhost|\d{1,3}(\.\d{1,3}){3}|\[[\da-f:.]+\])(:\d+)?$/i.test(authority)
  )
}
