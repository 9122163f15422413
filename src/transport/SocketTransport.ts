/**
 * The transport of `GhostDBLive`: HTTP/1.1 on `node:net` and `node:tls` sockets, a fixed number of connections to each
 * node, pipelined, the requests of one tick in one write, replies matched to requests in order.
 */

import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Reply as HttpReply } from "../http/Connection.js"
import { ConnectionPool, released } from "../http/ConnectionPool.js"
import type { Failure } from "../http/Failure.js"
import { type Reply, textOf, withheld } from "../model/Exchange.js"
import type { TlsOptions } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import { format, parseAddress } from "../model/NodeAddress.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import { type Connections, Transport, type TransportSettings } from "./Transport.js"

export const connect = Effect.fnUntraced(function* (settings: TransportSettings) {
  const clock = yield* Effect.clock
  const now = () => clock.unsafeCurrentTimeMillis()
  const secureContext = settings.protocol === "https" ? makeSecureContext(settings.tls) : undefined
  const pools = new Map<string, ConnectionPool>()
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
        if (closed) return resume(Exit.fail(released))
        const text = textOf(body)
        if (text === undefined) return resume(Exit.succeed(withheld))
        let pool = pools.get(node)
        if (pool === undefined) {
          pool = makePool(node, settings, secureContext, now)
          pools.set(node, pool)
        }
        busy.unsafeOpen()
        pool.send({
          head: pool.head(command),
          body: text,
          since: now(),
          resume: (outcome) => resume(exitOf(outcome))
        })
      }),
    interrupt: (node) => Effect.sync(() => pools.get(node)?.interrupt()),
    release: (node) =>
      Effect.sync(() => {
        pools.get(node)?.close()
        pools.delete(node)
      })
  }
  return connections
})

const exitOf = (outcome: HttpReply | Failure): Exit.Exit<Reply, Fault> =>
  "reason" in outcome ? Exit.fail(outcome) : Exit.succeed(outcome)

/** Ends attempts whose time is up: one fiber for all connections, which sleeps while nothing is in flight. */
const sweep = (
  pools: ReadonlyMap<string, ConnectionPool>,
  busy: Effect.Latch,
  attemptTimeout: number
): Effect.Effect<never> => {
  // Replies that arrived while the process was busy elsewhere are read before anything is called late.
  const afterIo = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
  const pass = Effect.sync(() => {
    let again = false
    for (const pool of pools.values()) {
      pool.expireAttempts()
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
): ConnectionPool => {
  const { host, port } = parseAddress(node, settings.port)
  // Server name indication takes no IP address.
  const servername = settings.tls.servername ?? (Net.isIP(host) === 0 ? host : undefined)
  const headers = Object.entries(settings.headers).map(([name, value]) => `${name}: ${Redacted.value(value)}\r\n`)
  return new ConnectionPool(
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
      onBytes: (read, written) => {
        Telemetry.read(read)
        Telemetry.wrote(written)
      },
      pipelining: Number.POSITIVE_INFINITY
    },
    settings.connections,
    (command) =>
      `POST /${command} HTTP/1.1\r\nHost: ${format(host, port)}\r\nContent-Type: application/json\r\n${headers.join("")}Content-Length: `
  )
}

/** The transport over sockets of Node.js, with its own connections: `connections` to each node, made when first needed. */
export const layer: Layer.Layer<Transport> = Layer.succeed(Transport, { connect })
