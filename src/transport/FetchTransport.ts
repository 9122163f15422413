/**
 * A transport straight over `fetch`, for runtimes without sockets of Node.js: Cloudflare Workers, Deno Deploy, service
 * workers of browsers.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import { failureOfSystemError } from "../http/SystemError.js"
import { type Body, type JsonText, type Reply, textOf, withheld } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import { format, parseAddress } from "../model/NodeAddress.js"
import { type Connections, Transport, type TransportSettings } from "./Transport.js"

/**
 * What can be set, all of it optional.
 *
 * @category options
 * @since 0.1.0
 */
export interface FetchTransportOptions {
  /** Sends the requests, for instance that of a service binding. Default: the global `fetch`, looked up at each request. */
  readonly fetch?: typeof globalThis.fetch
  /**
   * Requests under way to one node. What exceeds them waits in order, unencoded and within its deadline; the client's ping
   * of a node that has not answered does not wait. Default 6, which is what browsers and Workers send at once.
   */
  readonly concurrency?: number
}

/**
 * A transport over a `fetch` of the user's own.
 *
 * Connections, and with them the `connections` and `tls` options, are the runtime's own business. A node on a port that
 * `fetch` blocks (such as 6000 or 6667) cannot be reached.
 *
 * On Workers, make the client within the request that uses it: there, what one request has started must not be waited for
 * by another. With the `dialect` option set, a new client sends nothing but its commands.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import * as Client from "effect-ghostdb/Client"
 * import * as FetchTransport from "effect-ghostdb/FetchTransport"
 * import * as GhostDB from "effect-ghostdb/GhostDB"
 *
 * const Cache = Client.layer({ nodes: ["10.0.0.1"], dialect: "v2" }).pipe(Layer.provide(FetchTransport.layer))
 *
 * export default {
 *   fetch: () => Effect.runPromise(GhostDB.ping.pipe(Effect.map((nodes) => Response.json(nodes)), Effect.provide(Cache)))
 * }
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: FetchTransportOptions): Layer.Layer<Transport> =>
  Layer.succeed(Transport, { connect: (settings) => connect(settings, options) })

/**
 * {@link layerWith} the global `fetch`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Transport> = layerWith({})

/** Ends a request, unless it has ended already. */
type End = (exit: Exit.Exit<Reply, Fault>) => void

/** A node's requests. */
interface Node {
  /** Up to the command. */
  readonly url: string
  readonly turns: ReturnType<typeof makeTurns>
  /** Its requests that have not ended. */
  readonly open: Set<End>
}

const connect = Effect.fnUntraced(function* (settings: TransportSettings, options: FetchTransportOptions) {
  const clock = yield* Effect.clock
  const exchange = makeExchange(settings, options)
  const nodes = new Map<string, Node>()
  let isClosed = false

  const nodeOf = (address: string): Node => {
    const known = nodes.get(address)
    if (known !== undefined) return known
    const { host, port } = parseAddress(address, settings.port)
    const url = `${settings.protocol}://${format(host, port)}/`
    const node = { url, turns: makeTurns(options.concurrency ?? 6), open: new Set<End>() }
    nodes.set(address, node)
    return node
  }
  const drop = (address: string) =>
    Effect.sync(() => {
      const open = nodes.get(address)?.open ?? []
      nodes.delete(address)
      for (const end of [...open]) end(Exit.fail(closed))
    })
  yield* Effect.addFinalizer(() => {
    isClosed = true
    return Effect.forEach([...nodes.keys()], drop, { discard: true })
  })

  const connections: Connections = {
    post: (address, command, body, deadline, { urgent = false } = {}) =>
      Effect.async<Reply, Fault>((resume) => {
        if (isClosed) return resume(Exit.fail(closed))
        const node = nodeOf(address)
        const abort = new AbortController()
        const timer = makeTimer(clock, (fault) => end(Exit.fail(fault)))
        let hasEnded = false
        const end: End = (exit) => {
          if (hasEnded) return
          hasEnded = true
          timer.stop()
          turn.give()
          node.open.delete(end)
          if (Exit.isFailure(exit)) abort.abort()
          resume(exit)
        }
        const send = () => {
          if (hasEnded) return
          timer.whileInFlight(settings.attemptTimeout, deadline)
          exchange(`${node.url}${command}`, body, abort.signal).then(end)
        }
        node.open.add(end)
        const turn = urgent ? outOfTurn(send) : node.turns.take(send)
        if (!turn.isTaken && deadline !== undefined) timer.whileWaiting(deadline)
        return Effect.sync(() => end(Exit.interrupt(FiberId.none)))
      }),
    interrupt: drop,
    release: drop
  }
  return connections
})

const closed: Fault = { reason: "Reset", detail: "the connection was closed by the client" }

/** Sends a request and reads the reply. Never rejects. */
const makeExchange = (
  { headers, maxReplyBytes }: TransportSettings,
  { fetch = (input, init) => globalThis.fetch(input, init) }: FetchTransportOptions
) => {
  const allHeaders = { ...Record.map(headers, Redacted.value), "content-type": "application/json" }
  const tooLarge: Fault = { reason: "ReplyTooLarge", detail: `a reply of more than ${maxReplyBytes} bytes` }
  return async (url: string, body: Body, signal: AbortSignal): Promise<Exit.Exit<Reply, Fault>> => {
    let json: JsonText | undefined
    try {
      json = textOf(body)
    } catch (defect) {
      return Exit.die(defect)
    }
    if (json === undefined) return Exit.succeed(withheld)
    try {
      // A redirect answers no command; fetch would follow it with a GET.
      const init = { method: "POST", headers: allHeaders, body: json, redirect: "manual", signal } as const
      const response = await fetch(url, init)
      const text = await textWithin(maxReplyBytes, response)
      return text === undefined ? Exit.fail(tooLarge) : Exit.succeed({ status: response.status, body: text })
    } catch (error) {
      return Exit.fail(faultOf(error))
    }
  }
}

/** The text of a body; undefined where it is longer than `limit` bytes. */
const textWithin = async (limit: number, response: Response): Promise<string | undefined> => {
  const length = response.headers.get("content-length")
  // A body of a known length costs less in one piece. What is compressed has no known length.
  if (length !== null && response.headers.get("content-encoding") === null) {
    return Number(length) > limit ? undefined : response.text()
  }
  if (response.body === null) return ""
  const decoder = new TextDecoder()
  let text = ""
  let size = 0
  const reader = response.body.getReader()
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    size += chunk.value.length
    if (size > limit) return undefined
    text += decoder.decode(chunk.value, { stream: true })
  }
  return text + decoder.decode()
}

/** What runtimes say that give an error no code, in the words of their libraries. */
const inWords: ReadonlyArray<readonly [words: RegExp, reason: Fault["reason"]]> = [
  [/connection refused/i, "Refused"],
  [/dns error|failed to lookup/i, "UnknownHost"],
  [/network is unreachable|no route to host/i, "Unreachable"]
]

/** A `Reset` where the runtime does not say what happened, as Workers and browsers do not: the client's ping finds out. */
const faultOf = (error: unknown): Fault => {
  const fault = failureOfSystemError(error)
  if (fault.detail !== "") return fault
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    for (const [words, reason] of inWords) {
      const [said] = words.exec(cause.message) ?? []
      if (said !== undefined) return { reason, detail: said }
    }
  }
  return { ...fault, detail: "fetch failed" }
}

interface Turn {
  readonly isTaken: boolean
  /** Is called once: ends the turn, or leaves the queue. */
  readonly give: () => void
}

/** A request that all others would have to wait for: whether the node is alive. */
const outOfTurn = (start: () => void): Turn => {
  start()
  return { isTaken: true, give: () => {} }
}

/** Requests take turns in the order of their arrival, `limit` at a time. */
const makeTurns = (limit: number) => {
  let free = limit
  const waiting = new Set<() => void>()
  const give = () => {
    const [next] = waiting
    if (next === undefined) free++
    else next()
  }
  return {
    /** Calls `start` when the turn comes. */
    take: (start: () => void): Turn => {
      if (free > 0) {
        free--
        start()
        return { isTaken: true, give }
      }
      let isTaken = false
      let leave = () => {}
      // Resolved by another request, but on Workers the continuation runs in the request that has made the promise.
      void new Promise<void>((resolve) => {
        const wake = () => {
          isTaken = true
          waiting.delete(wake)
          resolve()
        }
        leave = () => void waiting.delete(wake)
        waiting.add(wake)
      }).then(start)
      return { isTaken, give: () => (isTaken ? give() : leave()) }
    }
  }
}

/** Ends a request that takes too long. Each request has its own: on Workers it may not wait for another's timer. */
const makeTimer = (clock: Clock.Clock, expire: (fault: Fault) => void) => {
  let fiber: Fiber.RuntimeFiber<Fault> | undefined
  const stop = () => fiber?.unsafeInterruptAsFork(FiberId.none)
  const start = (wait: Effect.Effect<Fault>) => {
    stop()
    fiber = Effect.runFork(wait)
    fiber.addObserver((exit) => {
      // Replies that have arrived while the process was busy are read first.
      if (Exit.isSuccess(exit)) setTimeout(expire, 0, exit.value)
    })
  }
  const left = (deadline: number) => deadline - Number(clock.unsafeCurrentTimeNanos()) / 1e6
  return {
    stop,
    whileWaiting: (deadline: number) => start(Effect.as(clock.sleep(Duration.millis(left(deadline))), queueTimeout)),
    whileInFlight: (attemptTimeout: number, deadline = Number.POSITIVE_INFINITY) =>
      start(
        left(deadline) <= attemptTimeout
          ? Effect.as(clock.sleep(Duration.millis(left(deadline))), deadlineFault)
          : // In slices, of which a process that is blocked takes but one.
            Effect.as(Effect.repeatN(clock.sleep(Duration.millis(attemptTimeout / 4)), 3), {
              reason: "AttemptTimeout",
              detail: `no reply in ${attemptTimeout} ms`
            } as const)
      )
  }
}

const queueTimeout: Fault = {
  reason: "QueueTimeout",
  detail: "the deadline passed while the request waited to be sent"
}

const deadlineFault: Fault = { reason: "Deadline", detail: "no reply before the command's deadline" }
