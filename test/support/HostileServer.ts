/**
 * A GhostDB v2 node made of raw sockets that keeps its values in a Map, and misbehaves as it is told: what it does to a
 * command is one of the {@link hostilities}, or a {@link Behaviour} of the test's own. Each connection is served in order,
 * by a fiber in the scope of the server.
 */
import { Buffer } from "node:buffer"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Array as Arr, type Duration, Effect, FiberId, FiberSet, Option, Queue, Schedule, type Scope } from "effect"
import { type Json, Ring } from "effect-ghostdb"

/** A request as it has arrived. */
export interface Request {
  /** Which of the server's connections it came on, from 1. */
  readonly connection: number
  readonly command: string
  /** Empty where the command has none. */
  readonly key: string
  /** The request line and the headers as they came. */
  readonly head: string
}

/** One request, the right answer to it, and the means to answer otherwise. */
export interface Exchange {
  readonly request: Request
  readonly socket: Net.Socket
  /** The JSON text of the right answer. The command has taken effect. */
  readonly body: string
  /** Ends when the bytes have left for the client; never, when the connection closes before: the behaviour ends with it. */
  readonly write: (bytes: string | Uint8Array) => Effect.Effect<void>
}

/** What is done about one request. The next request on the connection waits for its end. */
export type Behaviour = (exchange: Exchange) => Effect.Effect<void>

/** A whole HTTP reply as the v2 server writes it. */
export const http = (body: string, status = "200 OK", headers = ""): string =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=UTF-8\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

const withLength = (body: string, length: number): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`

const chunked = (body: string): string => {
  const bytes = Buffer.from(body)
  const half = bytes.length >> 1
  const chunk = (part: Buffer) => `${part.length.toString(16)};ext=1\r\n${part.toString("latin1")}\r\n`
  return `${chunk(bytes.subarray(0, half))}${chunk(bytes.subarray(half))}0\r\n\r\n`
}

const chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

/** Lets the event loop turn, so that what was written leaves by itself, and the client gets to read. */
const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

const end =
  (text: (body: string) => string): Behaviour =>
  ({ body, socket }) =>
    Effect.sync(() => void socket.end(text(body)))

const send =
  (text: (body: string) => string): Behaviour =>
  ({ body, write }) =>
    write(text(body))

/** Writes without end, as fast as the client reads. */
const flood =
  (head: string, piece: string): Behaviour =>
  ({ write }) =>
    Effect.zipRight(write(head), Effect.forever(Effect.zipRight(write(piece), turn)))

const reset: Behaviour = ({ socket }) => Effect.sync(() => void socket.resetAndDestroy())

/** How late the late answer is: longer than the attempt timeout of the tests. */
export const lateness: Duration.DurationInput = "4 seconds"

/** What can be done to a command. `refuses` is done by {@link HostileServer.stop}. */
export const hostilities = {
  "answers as it should": send((body) => http(body)),
  "accepts and never answers": () => Effect.never,
  "answers after the timeout": ({ body, write }) => Effect.delay(write(http(body)), lateness),
  "closes without an answer": end(() => ""),
  "closes in the middle of the head": end(() => "HTTP/1.1 200 OK\r\nContent-Ty"),
  "closes in the middle of the body": end((body) => http(body).slice(0, -10)),
  "resets the connection": reset,
  "resets in the middle of the body": (exchange) =>
    Effect.zipRight(exchange.write(http(exchange.body).slice(0, -10)), reset(exchange)),
  "sends garbage": send(() => "\u0000\u0001\u0002 garbage \r\n\r\n garbage"),
  "speaks another protocol": send(() => "SSH-2.0-OpenSSH_9.6\r\n"),
  "declares a Content-Length too short": send((body) => withLength(body, Buffer.byteLength(body) - 10)),
  "declares a Content-Length too long": send((body) => withLength(body, Buffer.byteLength(body) + 10)),
  "declares two Content-Lengths": send((body) => http(body, "200 OK", "Content-Length: 7\r\n")),
  "declares a Content-Length and chunks": send(
    (body) => `${http("", "200 OK", "Transfer-Encoding: chunked\r\n")}${chunked(body)}`
  ),
  "folds a header": send((body) => http(body, "200 OK", "X-Folded: a\r\n b\r\n")),
  "sends its reply in chunks": send((body) => `${chunkedHead}${chunked(body)}`),
  "sends a malformed chunk": send(() => `${chunkedHead}xyz\r\n`),
  "sends two documents": send((body) => http(`${errorDocument}${body}`)),
  "sends half a document": send((body) => http(body.slice(0, -10))),
  "sends an empty body": send(() => http("")),
  "answers another command": send(() => http(envelope(null, "Pong!", 1))),
  "answers HTTP 204": send(() => "HTTP/1.1 204 No Content\r\n\r\n"),
  "answers HTTP 302": send(() => http("", "302 Found", "Location: http://127.0.0.1:1/\r\n")),
  "answers HTTP 404": send(() => http('{"message":"Not Found"}', "404 Not Found")),
  "answers HTTP 500": send((body) => http(body, "500 Internal Server Error")),
  "sends an endless chunked body": flood(chunkedHead, `4000\r\n${"x".repeat(0x4000)}\r\n`),
  "sends an endless body of tiny chunks": flood(chunkedHead, "1\r\nx\r\n".repeat(4096)),
  "sends an endless body until it closes": flood("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(0x4000)),
  "declares an endless body": flood(withLength("", 1e12), "x".repeat(0x4000)),
  "sends endless headers": flood("HTTP/1.1 200 OK\r\n", `X-Long: ${"x".repeat(8000)}\r\n`),
  "sends 1 MB of headers": send((body) => http(body, "200 OK", `X-Long: ${"x".repeat(1e6)}\r\n`)),
  "sends endless interim replies": flood("", "HTTP/1.1 100 Continue\r\n\r\n"),
  "sends an interim reply first": send((body) => `HTTP/1.1 100 Continue\r\n\r\n${http(body)}`),
  "answers in the raft dialect": send((body) => http(body.replace('"TTL":-1', '"TTL":"-1"'))),
  "answers in the v1 dialect": send(() => http('{"Key":"k","Value":"\\"v\\"","TTL":-1}')),
  "closes after each reply, and says so": end((body) => http(body, "200 OK", "Connection: close\r\n")),
  "answers by HTTP/1.0 without a length": end((body) => `HTTP/1.0 200 OK\r\n\r\n${body}`),
  "sends its reply byte by byte": ({ body, write }) =>
    Effect.forEach(Buffer.from(http(body)), (byte) => Effect.zipLeft(write(Uint8Array.of(byte)), turn), {
      discard: true
    }),
  "sends unasked bytes behind its reply": send((body) => `${http(body)}unasked`),
  "sends a second reply": send((body) => `${http(body)}${http(body)}`)
} satisfies Record<string, Behaviour>

export type Hostility = keyof typeof hostilities

/** The body of a v2 reply. */
export const envelope = (value: Json, message: string, status: number): string =>
  `{"Gobj":{"Key":"","Value":${JSON.stringify(value)},"TTL":-1},"Status":${status},"Message":"${message}","Error":""}\n`

const errorDocument = '{"message":"Syntax error: offset=1, error=invalid character"}\n'

/** A node as the test sees it. */
export interface HostileServer {
  /** `127.0.0.1:<port>`. */
  readonly address: string
  readonly port: number
  /** Misbehaves from now on, in answer to commands; and to pings as well, where `pings` is `"badly"`. */
  readonly behave: (behaviour: Hostility | Behaviour, pings?: "well" | "badly") => Effect.Effect<void>
  /** What it holds. */
  readonly values: Map<string, Json>
  /** Every request that has arrived, in order, pings included. */
  readonly requests: ReadonlyArray<Request>
  /** Connections that it has accepted, and those that are open. */
  readonly connections: () => { readonly accepted: number; readonly open: number }
  /** Bytes that have come in, and that were given to the sockets. */
  readonly bytes: () => { readonly received: number; readonly sent: number }
  /** Closes the port and all connections: the node refuses. */
  readonly stop: Effect.Effect<void>
  /** Opens the same port again. */
  readonly start: Effect.Effect<void>
}

const answer = (values: Map<string, Json>, command: string, key: string, value: Json): string => {
  switch (command) {
    case "ping":
      return envelope(null, "Pong!", 1)
    case "get": {
      const held = values.get(key)
      return held === undefined ? envelope(null, "CACHE_MISS", 0) : envelope(held, "OK", 1)
    }
    case "put":
      values.set(key, value)
      return envelope(null, "STORED", 1)
    case "add":
      if (values.has(key)) return envelope(null, "NOT_STORED", 0)
      values.set(key, value)
      return envelope(null, "STORED", 1)
    case "delete":
      return values.delete(key) ? envelope(null, "REMOVED", 1) : envelope(null, "NOT_FOUND", 0)
    case "flush":
      values.clear()
      return envelope(null, "FLUSH", 1)
    case "nodeSize":
      return envelope(values.size, "OK", 1)
    default:
      return envelope(null, "", 0)
  }
}

/** A server on a port that the system assigns, over TLS where `tls` is given. It behaves until it is told otherwise. */
export const make = Effect.fnUntraced(function* (
  tls?: Tls.TlsOptions
): Effect.fn.Return<HostileServer, never, Scope.Scope> {
  const run = yield* FiberSet.makeRuntime<never>()
  const values = new Map<string, Json>()
  const requests: Array<Request> = []
  const sockets = new Set<Net.Socket>()
  let accepted = 0
  let received = 0
  let sent = 0
  let behaviour: Behaviour = hostilities["answers as it should"]
  let pings: "well" | "badly" = "well"

  const serve = (socket: Net.Socket) => {
    const connection = ++accepted
    const exchanges = Effect.runSync(Queue.unbounded<Exchange>())
    let rest: Buffer = Buffer.alloc(0)
    const write = (bytes: string | Uint8Array) =>
      Effect.async<void>((resume) => {
        sent += bytes.length
        socket.write(bytes, (error) => {
          if (error == null) resume(Effect.void)
        })
      })
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on("error", () => undefined)
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      for (let at = rest.indexOf("\r\n\r\n"); at !== -1; at = rest.indexOf("\r\n\r\n")) {
        const head = rest.toString("latin1", 0, at)
        const bodyEnd = at + 4 + Number(/^content-length: (\d+)$/im.exec(head)?.[1])
        if (rest.length < bodyEnd) return
        const command = /^POST \/(\w+) /.exec(head)?.[1] ?? ""
        const { Gobj }: { Gobj?: { Key?: string; Value?: Json } } = JSON.parse(rest.toString("utf8", at + 4, bodyEnd))
        const request: Request = { connection, command, key: Gobj?.Key ?? "", head }
        rest = rest.subarray(bodyEnd)
        requests.push(request)
        const body = answer(values, command, request.key, Gobj?.Value ?? null)
        exchanges.unsafeOffer({ request, socket, body, write })
      }
    })
    const fiber = Queue.take(exchanges).pipe(
      Effect.flatMap((exchange) =>
        exchange.request.command === "ping" && pings === "well"
          ? hostilities["answers as it should"](exchange)
          : behaviour(exchange)
      ),
      Effect.forever,
      run
    )
    socket.on("close", () => {
      sockets.delete(socket)
      fiber.unsafeInterruptAsFork(FiberId.none)
    })
  }

  const server = tls === undefined ? Net.createServer(serve) : Tls.createServer(tls, serve)
  const listen = (port: number) =>
    Effect.async<void>((resume) => {
      server.once("error", (error) => resume(Effect.die(error)))
      server.listen(port, "127.0.0.1", () => resume(Effect.void))
    })
  const stop = Effect.async<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of sockets) socket.destroy()
  })

  yield* Effect.acquireRelease(listen(0), () => stop)
  const bound = server.address()
  const port = typeof bound === "object" && bound !== null ? bound.port : 0
  return {
    address: `127.0.0.1:${port}`,
    port,
    behave: (next, nextPings = "well") =>
      Effect.sync(() => {
        behaviour = typeof next === "string" ? hostilities[next] : next
        pings = nextPings
      }),
    values,
    requests,
    connections: () => ({ accepted, open: sockets.size }),
    bytes: () => ({ received, sent }),
    stop,
    start: listen(port)
  }
})

/** Waits until a condition holds, which is looked at every millisecond; dies after a minute. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("1 millis") }),
    Effect.timeoutFail({ duration: "1 minute", onTimeout: () => new Error(`not within a minute: ${what}`) }),
    Effect.orDie,
    Effect.asVoid
  )

/** Points of a node on the ring in the tests: enough for each node to own many keys, whatever its port. */
export const replicas = 50

/** The first `count` keys that belong to `node` while all of `nodes` are live. */
export const keysOf = (
  nodes: ReadonlyArray<HostileServer>,
  node: HostileServer,
  count: number
): Arr.NonEmptyReadonlyArray<string> => {
  const ring = Ring.make(
    nodes.map(({ address }) => address),
    { replicas }
  )
  const keys: Array<string> = []
  for (let i = 0; keys.length < count; i++) {
    if (Option.contains(Ring.lookup(ring, `key-${i}`), node.address)) keys.push(`key-${i}`)
  }
  return Arr.isNonEmptyReadonlyArray(keys) ? keys : Arr.of("key-0")
}
