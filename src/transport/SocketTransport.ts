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
import type { Endpoint } from "../http/Connection.js"
import { ConnectionPool, released } from "../http/ConnectionPool.js"
import type { Failure } from "../http/Failure.js"
import { type Payload, PendingRequest, type Requester } from "../http/RequestQueue.js"
import { type Body, type Reply, textOf, withheld } from "../model/Exchange.js"
import type { TlsOptions } from "../model/GhostDBConfig.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import { format, parseAddress } from "../model/NodeAddress.js"
import * as Registry from "../telemetry/Registry.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import * as Caller from "./Caller.js"
import { type Connections, type Exchange, Transport, type TransportSettings } from "./Transport.js"

/**
 * How {@link layer} connects, for programs that speak to nodes without a client. `onDisconnect` is called when a connection
 * to a node is lost, before its requests fail.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = Effect.fnUntraced(function* (
  settings: TransportSettings,
  onDisconnect: (node: string, isIdle?: boolean) => void = () => {}
) {
  const clock = yield* Effect.clock
  const now = () => Monotonic.unsafeNow(clock)
  const registry = yield* Registry.current
  const secureContext = settings.protocol === "https" ? makeSecureContext(settings.tls) : undefined
  const pools = new Map<string, ConnectionPool>()
  const timer = yield* makeTimer(pools, settings.attemptTimeout, now)
  const onConnect = yield* closeIdle(pools, settings.idleTimeout, now)
  let closed = false

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      for (const pool of pools.values()) pool.close()
      pools.clear()
    })
  )

  const poolOf = (node: string): ConnectionPool => {
    let pool = pools.get(node)
    if (pool === undefined) {
      pool = makePool(node, settings, {
        registry,
        secureContext,
        now,
        onConnect,
        onDisconnect: (isIdle) => onDisconnect(node, isIdle)
      })
      pools.set(node, pool)
    }
    return pool
  }

  const send = <A, E>(
    node: string,
    command: string,
    exchange: Exchange<A, E>,
    deadline: number,
    urgent: boolean,
    caller: Caller.Caller
  ): Effect.Effect<A, E> =>
    Caller.wait(caller, (resume) => {
      const single = new Single(exchange, resume, caller)
      if (closed) return single.settle(0, released)
      const pool = poolOf(node)
      pool.send(new PendingRequest(pool.head(command), single, 0, deadline), urgent)
      timer.start(deadline)
    })

  const connections: Connections = {
    post: (node, command, body, deadline = Number.POSITIVE_INFINITY, { urgent = false } = {}) =>
      Caller.withCaller((_, caller) => send(node, command, posted(body), deadline, urgent, caller)),
    exchange: (node, command, exchange, deadline, caller) => send(node, command, exchange, deadline, false, caller),
    postMany: (node, command, exchanges, deadline) =>
      Effect.sync(() => {
        let isWithdrawn = false
        const requester: Requester = {
          payload: exchanges.body,
          isWanted: () => !isWithdrawn,
          settle: (index, outcome) => {
            if (isWithdrawn) return
            if ("reason" in outcome) exchanges.onFault(index, outcome)
            else exchanges.onReply(index, outcome)
          }
        }
        if (closed) {
          for (let i = 0; i < exchanges.size; i++) exchanges.onFault(i, released)
          return () => {}
        }
        const pool = poolOf(node)
        const head = pool.head(command)
        pool.sendAll(
          Array.from({ length: exchanges.size }, (_, index) => new PendingRequest(head, requester, index, deadline))
        )
        timer.start(deadline)
        return () => {
          isWithdrawn = true
        }
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

/** The exchange of a `post`. */
const posted = (body: Body): Exchange<Reply, Fault> => ({
  body: () => textOf(body),
  onReply: Exit.succeed,
  onFault: Exit.fail
})

/** A request by itself. The failures of http/ are faults: the compiler checks it here. */
class Single<A, E> implements Requester {
  constructor(
    private readonly exchange: Exchange<A, E>,
    private readonly resume: (next: Effect.Effect<A, E>) => void,
    private readonly caller: Caller.Caller
  ) {}

  isWanted(): boolean {
    return Caller.isWaiting(this.caller)
  }

  /** A body that is withheld or throws ends the command, and is not sent. */
  payload(): Payload | undefined {
    try {
      const text = this.exchange.body()
      if (text === undefined) this.resume(this.exchange.onReply(withheld))
      return text
    } catch (defect) {
      this.resume(Exit.die(defect))
      return undefined
    }
  }

  settle(_: number, outcome: Reply | Failure): void {
    if (!this.isWanted()) return
    let next: Effect.Effect<A, E>
    try {
      next = "reason" in outcome ? this.exchange.onFault(outcome) : this.exchange.onReply(outcome)
    } catch (defect) {
      next = Exit.die(defect)
    }
    this.resume(next)
  }
}

interface Timer {
  /** Something is under way, and has to end at `deadline`. */
  readonly start: (deadline: number) => void
}

/** Ends what has taken too long: one fiber for all connections, which sleeps while nothing is under way. */
const makeTimer = Effect.fnUntraced(function* (
  pools: ReadonlyMap<string, ConnectionPool>,
  attemptTimeout: number,
  now: () => number
) {
  const busy = yield* Effect.makeLatch(false)
  const woken = yield* Effect.makeLatch(false)
  const interval = Math.max(attemptTimeout / 16, 1)
  let wakesAt = Number.POSITIVE_INFINITY
  // Replies that arrived while the process was busy elsewhere are read before anything is called late.
  const afterIo = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

  const sleep = Effect.suspend(() => {
    const start = now()
    let nextDeadline = Number.POSITIVE_INFINITY
    for (const pool of pools.values()) nextDeadline = Math.min(nextDeadline, pool.nextDeadline)
    const millis = Math.min(Math.max(nextDeadline - start, 1), interval)
    wakesAt = start + millis
    woken.unsafeClose()
    return Effect.raceFirst(Effect.sleep(millis), woken.await)
  })

  const pass = Effect.sync(() => {
    const time = now()
    const delay = time - wakesAt
    // What this process is late by is not the node's time, so that an attempt has ten turns of the event loop at least.
    // A little is left to it: an event loop may be busy for good, and a silent node has to be late all the same.
    const lag = delay - interval / 2
    const blockedSince = delay > attemptTimeout / 4 ? wakesAt : Number.POSITIVE_INFINITY
    for (const pool of pools.values()) {
      if (lag > 0) pool.postpone(lag)
      pool.expire({ now: time, blockedSince })
    }
    if (![...pools.values()].some((pool) => pool.busy)) busy.unsafeClose()
  })

  yield* busy.await.pipe(
    Effect.zipRight(sleep),
    Effect.zipRight(afterIo),
    Effect.zipRight(pass),
    Effect.forever,
    Effect.forkScoped
  )
  const timer: Timer = {
    start: (deadline) => {
      busy.unsafeOpen()
      if (deadline < wakesAt) woken.unsafeOpen()
    }
  }
  return timer
})

/**
 * Closes connections that no request has used for `idleTimeout` milliseconds: one fiber for all of them, which sleeps until
 * the next one may be idle. The function that it returns must be called when a connection is made.
 */
const closeIdle = Effect.fnUntraced(function* (
  pools: ReadonlyMap<string, ConnectionPool>,
  idleTimeout: number,
  now: () => number
) {
  if (!Number.isFinite(idleTimeout)) return () => {}
  const connected = yield* Effect.makeLatch(false)
  const pass = Effect.suspend(() => {
    const time = now()
    let next = Number.POSITIVE_INFINITY
    for (const pool of pools.values()) next = Math.min(next, pool.closeIdle(time, idleTimeout))
    if (next < Number.POSITIVE_INFINITY) return Effect.sleep(Math.max(next - time, idleTimeout / 16))
    connected.unsafeClose()
    return Effect.void
  })
  yield* connected.await.pipe(Effect.zipRight(pass), Effect.forever, Effect.forkScoped)
  return () => void connected.unsafeOpen()
})

/** Throws what makes a certificate or a key unusable. */
const makeSecureContext = ({ ca, cert, key }: TlsOptions): Tls.SecureContext =>
  Tls.createSecureContext({
    ...(ca === undefined ? {} : { ca: typeof ca === "string" ? ca : [...ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: Redacted.value(key) })
  })

/** What the pools of a transport share, and who is told when a connection is made and when it is lost. */
interface Surroundings extends Pick<Endpoint, "now" | "onDisconnect"> {
  readonly registry: Registry.Registry
  readonly secureContext: Tls.SecureContext | undefined
  readonly onConnect: () => void
}

const makePool = (
  node: string,
  settings: TransportSettings,
  { now, onConnect, onDisconnect, registry, secureContext }: Surroundings
): ConnectionPool => {
  const { host, port } = parseAddress(node, settings.port)
  // Server name indication takes no IP address.
  const servername = settings.tls.servername ?? (Net.isIP(host) === 0 ? host : undefined)
  const headers = Object.entries(settings.headers).map(([name, value]) => `${name}: ${Redacted.value(value)}\r\n`)
  return new ConnectionPool(
    {
      connect: (onread) => {
        onConnect()
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
        Telemetry.read(registry, read)
        Telemetry.wrote(registry, written)
      },
      onDisconnect,
      pipelining: settings.pipelining
    },
    settings.connections,
    (command) =>
      `POST /${command} HTTP/1.1\r\nHost: ${format(host, port)}\r\nContent-Type: application/json\r\n${headers.join("")}Content-Length: `
  )
}

/**
 * The transport over sockets of Node.js, with its own connections: `connections` to each node, made when first needed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Transport> = Layer.succeed(Transport, { connect })
