/**
 * A transport straight over `fetch`, for runtimes without sockets of Node.js: Cloudflare Workers, Deno Deploy, service
 * workers of browsers.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import { failureOfSystemError } from "../http/SystemError.js"
import { type Body, type JsonText, type Reply, textOf, withheld } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import * as Monotonic from "../model/Monotonic.js"
import { format, parseAddress } from "../model/NodeAddress.js"
import { closed } from "./Faults.js"
import { makeTimers } from "./Timers.js"
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
  /**
   * Finds out whether a node takes connections, where `fetch` fails without saying why: pass `connect` of
   * `cloudflare:sockets` on Workers, and a refused connection is `Refused`. Default: such failures are `Reset`.
   */
  readonly connect?: (address: { readonly hostname: string; readonly port: number }) => {
    readonly opened: Promise<unknown>
    readonly close: () => Promise<unknown>
  }
  /**
   * Whether what one request of the runtime has started must not be waited for by another: see
   * {@link Transport.Connections.isolatesCallers}. Default: on Cloudflare Workers.
   */
  readonly isolatesCallers?: boolean
}

/**
 * A transport over a `fetch` of the user's own.
 *
 * Connections, and with them the `connections` and `tls` options, are the runtime's own business. A node on a port that
 * `fetch` blocks (such as 6000 or 6667) cannot be reached.
 *
 * On Workers, where what one request has started ends with it, requests may share a client, or make one each: with the
 * `dialect` option set, a new client sends nothing but its commands.
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

/** A request that has not ended. */
interface Open {
  /** Ends it, unless it has ended already. */
  readonly end: (exit: Exit.Exit<Reply, Fault>) => void
  /** It has ended by then, unless its caller is gone: milliseconds of the monotonic clock. */
  goneAt: number
}

/** A node's requests. */
interface Node {
  /** Up to the command. */
  readonly url: string
  readonly turns: ReturnType<typeof makeTurns>
  readonly open: Set<Open>
}

const connect = Effect.fnUntraced(function* (settings: TransportSettings, options: FetchTransportOptions) {
  const { attemptTimeout } = settings
  const isolatesCallers = options.isolatesCallers ?? isWorker()
  const clock = yield* Effect.clock
  const exchange = makeExchange(settings, options)
  const nodes = new Map<string, Node>()
  const timers = makeTimers(clock, attemptTimeout)
  let isClosed = false

  const nodeOf = (address: string): Node => {
    const known = nodes.get(address)
    if (known !== undefined) return known
    const { host, port } = parseAddress(address, settings.port)
    const url = `${settings.protocol}://${format(host, port)}/`
    const node = { url, turns: makeTurns(options.concurrency ?? 6), open: new Set<Open>() }
    nodes.set(address, node)
    return node
  }
  const drop = (address: string) =>
    Effect.sync(() => {
      const open = nodes.get(address)?.open ?? []
      nodes.delete(address)
      for (const { end } of [...open]) end(Exit.fail(closed))
    })
  /** A Worker's request that was cancelled takes what it has begun along: it ends nothing by itself. */
  const dropGone = ({ open }: Node) => {
    const now = Monotonic.unsafeNow(clock)
    for (const request of [...open]) if (request.goneAt < now) request.end(Exit.fail(closed))
  }
  yield* Effect.addFinalizer(() => {
    isClosed = true
    timers.stop()
    return Effect.forEach([...nodes.keys()], drop, { discard: true })
  })

  const connections: Connections = {
    isolatesCallers,
    post: (address, command, body, deadline = Number.POSITIVE_INFINITY, { urgent = false } = {}) =>
      Effect.async<Reply, Fault>((resume) => {
        if (isClosed) return resume(Exit.fail(closed))
        const node = nodeOf(address)
        if (isolatesCallers) dropGone(node)
        const abort = new AbortController()
        const ownTimers = isolatesCallers ? makeTimers(clock, attemptTimeout) : timers
        let settle: (exit: Exit.Exit<Reply, Fault>) => void = () => {}
        // On Workers, what is done then is done in the request that has made the promise, whichever resolves it.
        const ended = new Promise<Exit.Exit<Reply, Fault>>((resolve) => {
          settle = resolve
        })
        void ended.then((exit) => {
          if (isolatesCallers) ownTimers.stop()
          if (Exit.isFailure(exit)) abort.abort()
          resume(exit)
        })
        const end = (exit: Exit.Exit<Reply, Fault>) => {
          if (!node.open.delete(request)) return
          ownTimers.remove(timer)
          turn.give()
          settle(exit)
        }
        const request: Open = { end, goneAt: deadline + attemptTimeout }
        const send = () => {
          if (!node.open.has(request)) return
          request.goneAt = Math.min(deadline, Monotonic.unsafeNow(clock) + attemptTimeout) + attemptTimeout
          ownTimers.sent(timer)
          void exchange(node.url, command, body, abort.signal).then(end)
        }
        node.open.add(request)
        const timer = ownTimers.add(deadline, (fault) => end(Exit.fail(fault)))
        const turn = urgent ? outOfTurn(send) : node.turns.take(send)
        if (!turn.isTaken) ownTimers.waiting(timer)
        return Effect.sync(() => end(Exit.interrupt(FiberId.none)))
      }),
    interrupt: drop,
    release: drop
  }
  return connections
})

/** By the name that Cloudflare documents. */
const isWorker = (): boolean => {
  const navigator: unknown = Reflect.get(globalThis, "navigator")
  return Predicate.hasProperty(navigator, "userAgent") && navigator.userAgent === "Cloudflare-Workers"
}

/** Sends a request and reads the reply. Never rejects. */
const makeExchange = (
  { headers, maxReplyBytes }: TransportSettings,
  { connect, fetch = (input, init) => globalThis.fetch(input, init) }: FetchTransportOptions
) => {
  const allHeaders = new Headers({ ...Record.map(headers, Redacted.value), "content-type": "application/json" })
  const tooLarge: Fault = { reason: "ReplyTooLarge", detail: `a reply of more than ${maxReplyBytes} bytes` }
  return async (node: string, command: string, body: Body, signal: AbortSignal): Promise<Exit.Exit<Reply, Fault>> => {
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
      const response = await fetch(`${node}${command}`, init)
      const text = await textWithin(maxReplyBytes, response)
      return text === undefined ? Exit.fail(tooLarge) : Exit.succeed({ status: response.status, body: text })
    } catch (error) {
      return Exit.fail(faultOf(error) ?? (await faultOfConnecting(node, connect)))
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

/** Undefined where the runtime does not say what happened, as Workers and browsers do not. */
const faultOf = (error: unknown): Fault | undefined => {
  const fault = failureOfSystemError(error)
  if (fault.detail !== "") return fault
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    for (const [words, reason] of inWords) {
      const [said] = words.exec(cause.message) ?? []
      if (said !== undefined) return { reason, detail: said }
    }
  }
  return undefined
}

/** What a connection of its own says: `Refused` where there is none. Otherwise `Reset`, and the client's ping finds out. */
const faultOfConnecting = async (node: string, connect: FetchTransportOptions["connect"]): Promise<Fault> => {
  const reset: Fault = { reason: "Reset", detail: "fetch failed" }
  if (connect === undefined) return reset
  try {
    const { hostname, port, protocol } = new URL(node)
    const socket = connect({ hostname, port: Number(port) || (protocol === "https:" ? 443 : 80) })
    await socket.opened
    await socket.close()
    return reset
  } catch (error) {
    return { reason: "Refused", detail: error instanceof Error ? error.message : String(error) }
  }
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
