/** A server of raw bytes, for what no HTTP server can be made to send. */
import { Buffer } from "node:buffer"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Effect, type Scope } from "effect"
import { listening } from "./listening.js"

/** A request as it has arrived. */
export interface Request {
  /** Which of the server's connections it came on, from 1. */
  readonly connection: number
  readonly command: string
  readonly head: string
  readonly body: string
}

/** The server, and what it has seen. */
export interface Server {
  readonly port: number
  readonly address: string
  /** Whole requests in the order of their arrival. */
  readonly requests: ReadonlyArray<Request>
  /** How many connections have been made. */
  readonly accepted: () => number
  /** Those that have not been closed. */
  readonly sockets: ReadonlySet<Net.Socket>
}

/** What is done about a request. */
export type Serve = (request: Request, socket: Net.Socket) => void

/** A server of raw bytes on a port that the system assigns. `serve` is called with each request. */
export const listen = (
  serve: Serve,
  options: {
    readonly tls?: Tls.TlsOptions
    readonly host?: string
    readonly onConnection?: (socket: Net.Socket) => void
  } = {}
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const sockets = new Set<Net.Socket>()
    let accepted = 0
    const accept = (socket: Net.Socket) => {
      const connection = ++accepted
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      socket.on("error", () => undefined)
      let rest: Buffer = Buffer.alloc(0)
      socket.on("data", (chunk: Buffer) => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
        for (let at = rest.indexOf("\r\n\r\n"); at !== -1; at = rest.indexOf("\r\n\r\n")) {
          const head = rest.toString("latin1", 0, at)
          const end = at + 4 + Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
          if (rest.length < end) return
          const request: Request = {
            connection,
            command: /^POST \/(\S*) HTTP\/1\.1\r\n/.exec(head)?.[1] ?? "",
            head,
            body: rest.toString("utf8", at + 4, end)
          }
          rest = rest.subarray(end)
          requests.push(request)
          serve(request, socket)
        }
      })
      options.onConnection?.(socket)
    }
    const server = options.tls === undefined ? Net.createServer(accept) : Tls.createServer(options.tls, accept)
    const host = options.host ?? "127.0.0.1"
    const port = yield* listening(server, host, () => {
      for (const socket of sockets) socket.destroy()
    })
    return {
      port,
      address: `${host.includes(":") ? `[${host}]` : host}:${port}`,
      requests,
      accepted: () => accepted,
      sockets
    }
  })

/** A whole reply with status 200. */
export const http = (body: string, headers = ""): string =>
  `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

/** Answers each request with its own body. */
export const echo: Serve = (request, socket) => void socket.write(http(request.body))

/** Never answers. */
export const silent: Serve = () => undefined

/** Lets the process read and write until the condition holds; the test's own time limit bounds it. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    let turns = 0
    const check = () => {
      if (condition()) resume(Effect.void)
      // What takes more turns waits for a timer: it need not keep the processor busy.
      else if (turns++ < 100) setImmediate(check)
      else setTimeout(check, 1)
    }
    check()
  })
