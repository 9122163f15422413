/** The commands: pick a node, attempt, and where that fails, classify and decide. */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cluster from "./Cluster.js"
import { GhostDB, type GhostDBService, type Metrics, type Ttl } from "./GhostDB.js"
import * as GhostDBConfig from "./GhostDBConfig.js"
import { type Fault, KeyError, type NodeFailure, type NodesFileError, NoMoreServers } from "./GhostDBError.js"
import * as NodesFile from "./NodesFile.js"
import * as Protocol from "./Protocol.js"
import * as Ring from "./Ring.js"
import { Transport } from "./Transport.js"

/** {@link GhostDBConfig.GhostDBOptions} and the nodes. */
export interface ClientOptions extends GhostDBConfig.GhostDBOptions {
  /** Addresses as a nodes file holds them. The ring hashes them as they are written. */
  readonly nodes: ReadonlyArray<string>
  /** Later lists of all nodes. Each is one atomic step of the ring, and nodes that stay keep their health. Default: none. */
  readonly changes?: Stream.Stream<ReadonlyArray<string>>
}

/** What every command needs. */
interface Environment {
  readonly cluster: Cluster.Cluster
  readonly post: (node: string, command: string, body: string) => Effect.Effect<Protocol.Reply, Fault>
  readonly settings: GhostDBConfig.Settings
  readonly now: () => number
}

/** How a command is said in a node's dialect. */
type Say<A> = (protocol: Protocol.Protocol) => Protocol.Request<A>

// Keys, values, lifetimes

const isWellFormed = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0xd800 || code > 0xdfff) continue
    const next = text.charCodeAt(i + 1)
    if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return false
    i++
  }
  return true
}

/** What is wrong with a key on any server. */
const keyError = (key: string): KeyError | undefined => {
  if (typeof key !== "string") return new KeyError({ key, reason: "NotAString" })
  return isWellFormed(key) ? undefined : new KeyError({ key, reason: "NotWellFormed" })
}

const isRefused = (key: string, protocol: Protocol.Protocol) => key === "" && !protocol.allowsEmptyKey

/** The value's JSON text. Throws, and so makes a defect of, what the compiler has been talked out of refusing. */
const stringify = (key: string, value: unknown): string => {
  const cannot = (why: string) =>
    new Cause.IllegalArgumentException(`the value for the key ${JSON.stringify(key)} is not JSON: ${why}`)
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw cannot(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error))
  }
  if (json === undefined) throw cannot(`it is ${typeof value}`)
  return json
}

const forever = -1

/** Whole seconds, or -1. Throws, and so makes a defect of, what is no {@link Ttl}. */
const seconds = (ttl: Ttl): number => {
  if (ttl === forever) return forever
  if (Duration.isDuration(ttl) && !Duration.isFinite(ttl)) return forever
  const count = Duration.isDuration(ttl) ? Math.ceil(Duration.toSeconds(ttl)) : ttl
  if (Number.isSafeInteger(count) && count >= 1) return count
  const shown = Duration.isDuration(ttl) ? Duration.format(ttl) : String(ttl)
  throw new Cause.IllegalArgumentException(
    `a TTL is a whole number of seconds, 1 or more, -1 for ever, or a Duration longer than 0: not ${shown}`
  )
}

// Attempts

const encoder = new TextEncoder()

/** The body's size in bytes where it is over the limit; no character takes more than three bytes. */
const excess = (body: string, limit: number): number | undefined => {
  if (body.length * 3 <= limit) return undefined
  const size = encoder.encode(body).length
  return size > limit ? size : undefined
}

/** One attempt on one node. A request that is too large is answered without any node. */
const attempt = <A>(
  { post, settings }: Environment,
  node: string,
  request: Protocol.Request<A>,
  key: string | undefined
): Effect.Effect<A, Fault> => {
  const size = excess(request.body, settings.maxRequestBytes)
  return size === undefined
    ? Effect.flatMap(post(node, request.command, request.body), request.decode)
    : Effect.as(
        Effect.logWarning("GhostDB request not sent: it is larger than maxRequestBytes").pipe(
          Effect.annotateLogs({ command: request.command, key, bytes: size, maxRequestBytes: settings.maxRequestBytes })
        ),
        request.unsent
      )
}

/**
 * All attempts on one node, by the `retry` schedule and for as long as the node is live. `first` is the failure of an
 * attempt that has been made. The outcome comes as an Effect, since a refused key is no failure of the node.
 */
const persist = <A>(
  env: Environment,
  node: string,
  say: Say<A>,
  key: string | undefined,
  first: Fault | undefined
): Effect.Effect<Effect.Effect<A, KeyError>, NodeFailure> => {
  let made = first
  const once = Effect.suspend((): Effect.Effect<Effect.Effect<A, KeyError>, Fault> => {
    if (made !== undefined) {
      const failure = made
      made = undefined
      return Effect.fail(failure)
    }
    return Effect.flatMap(env.cluster.identify(node), (protocol) =>
      key !== undefined && isRefused(key, protocol)
        ? Effect.succeed<Effect.Effect<A, KeyError>>(new KeyError({ key, reason: "Empty" }))
        : attempt(env, node, say(protocol), key).pipe(
            Effect.tap(() => env.cluster.succeeded(node)),
            Effect.map(Effect.succeed)
          )
    )
  })
  return once.pipe(
    Effect.mapError((fault): NodeFailure => ({ node, ...fault })),
    Effect.retry({
      schedule: env.settings.retry,
      while: () => Effect.map(env.cluster.state, (state) => Cluster.isLive(state, node))
    })
  )
}

/** A command on one node and no other: its failure counts against the node. */
const onNode = <A>(env: Environment, node: string, say: Say<A>): Effect.Effect<A, NodeFailure> => {
  const tried: Effect.Effect<Effect.Effect<A, KeyError>, NodeFailure> = Effect.catchAll(
    persist(env, node, say, undefined, undefined),
    (failure) =>
      Effect.flatMap(env.cluster.failed(node, failure), (verdict) =>
        verdict === "again" ? tried : Effect.fail(failure)
      )
  )
  // Without a key there is no KeyError.
  return Effect.flatMap(tried, Effect.orDie)
}

/** Gives up at the command's deadline. `current` is the node that is being tried then. */
const withDeadline =
  (env: Environment, startedAt: number, failures: ReadonlyArray<NodeFailure>, current: () => string | undefined) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | NoMoreServers> =>
    Effect.timeoutFail(self, {
      duration: Math.max(startedAt + env.settings.deadline - env.now(), 0),
      onTimeout: () => {
        const node = current()
        const last: ReadonlyArray<NodeFailure> =
          node === undefined
            ? []
            : [{ node, reason: "Deadline", detail: `no answer within the deadline of ${env.settings.deadline} ms` }]
        return new NoMoreServers({ failures: [...failures, ...last] })
      }
    })

/**
 * The way of a command on a key once it is not straight: the node has not been spoken to yet, an attempt has failed, or
 * there is no live node.
 */
const failover = <A>(
  env: Environment,
  key: string,
  say: Say<A>,
  startedAt: number,
  first?: { readonly node: string; readonly fault: Fault }
): Effect.Effect<A, NoMoreServers | KeyError> =>
  Effect.suspend(() => {
    const { cluster } = env
    const failures: Array<NodeFailure> = []
    let current: string | undefined
    let swept = false

    const next: Effect.Effect<Effect.Effect<A, KeyError>, NoMoreServers> = Effect.flatMap(cluster.state, (state) => {
      const node = Ring.owner(state.ring, key)
      if (node !== undefined) return on(node)
      if (swept) return Effect.fail(new NoMoreServers({ failures: state.topology.dead.map(({ failure }) => failure) }))
      swept = true
      current = undefined
      return Effect.zipRight(cluster.sweep, next)
    })

    const on = (node: string, fault?: Fault): Effect.Effect<Effect.Effect<A, KeyError>, NoMoreServers> => {
      current = node
      return Effect.catchAll(persist(env, node, say, key, fault), (failure) =>
        Effect.flatMap(cluster.failed(node, failure), (verdict) => {
          if (verdict === "again") return on(node)
          failures.push(failure)
          return verdict === "dead" ? next : Effect.fail(new NoMoreServers({ failures }))
        })
      )
    }

    return (first === undefined ? next : on(first.node, first.fault)).pipe(
      withDeadline(env, startedAt, failures, () => current),
      Effect.flatten
    )
  })

/** A command on a key. Straight on while nothing fails: no schedule, no timer, no look at the clock but one. */
const keyed = <A>(env: Environment, key: string, say: Say<A>): Effect.Effect<A, NoMoreServers | KeyError> =>
  Effect.flatMap(env.cluster.state, (state) => {
    const error = keyError(key)
    if (error !== undefined) return error
    const startedAt = env.now()
    const node = Ring.owner(state.ring, key)
    const known = node === undefined ? undefined : state.nodes.get(node)
    if (node === undefined || known === undefined || known.dialect === undefined) {
      return failover(env, key, say, startedAt)
    }
    const protocol = Protocol.forDialect(known.dialect)
    if (isRefused(key, protocol)) return new KeyError({ key, reason: "Empty" })
    const straight = attempt(env, node, say(protocol), key)
    return Effect.catchAll(
      known.doubts === 0 ? straight : Effect.tap(straight, () => env.cluster.succeeded(node)),
      (fault) => failover(env, key, say, startedAt, { node, fault })
    )
  })

/** A command on every live node at once: what each answered, in the order of the nodes file. */
const everywhere = <A>(env: Environment, say: Say<A>) =>
  Effect.suspend(() => {
    const startedAt = env.now()
    const failures: Array<NodeFailure> = []
    const live = Effect.map(env.cluster.state, ({ topology }) => topology.live)
    return live.pipe(
      Effect.flatMap((nodes) => (nodes.length > 0 ? Effect.succeed(nodes) : Effect.zipRight(env.cluster.sweep, live))),
      Effect.flatMap(
        Effect.forEach(
          ({ node }) =>
            onNode(env, node, say).pipe(
              withDeadline(env, startedAt, [], () => node),
              Effect.map((answer) => ({ node, answer })),
              Effect.catchAll((failure) => {
                failures.push(...("_tag" in failure ? failure.failures : [failure]))
                return Effect.succeed(undefined)
              })
            ),
          { concurrency: "unbounded" }
        )
      ),
      Effect.flatMap((answers) => {
        const answered = answers.filter((answer) => answer !== undefined)
        if (answered.length > 0) return Effect.succeed({ answered, complete: answered.length === answers.length })
        return failures.length > 0
          ? Effect.fail(new NoMoreServers({ failures }))
          : Effect.flatMap(env.cluster.state, ({ topology }) =>
              Effect.fail(new NoMoreServers({ failures: topology.dead.map(({ failure }) => failure) }))
            )
      })
    )
  })

const metrics = <Row>(env: Environment, say: Say<ReadonlyArray<Row>>): Effect.Effect<Metrics<Row>, NoMoreServers> =>
  Effect.map(everywhere(env, say), ({ answered }) => ({
    metrics: answered.map(({ answer, node }) => ({ node, data: answer }))
  }))

const service = (env: Environment): GhostDBService => {
  const store = (key: string, value: unknown, ttl: Ttl, command: "put" | "add") =>
    Effect.suspend(() => {
      const lifetime = seconds(ttl)
      const json = stringify(key, value)
      return keyed(env, key, (protocol) => protocol[command](key, json, lifetime))
    })
  return {
    get: (key) => keyed(env, key, (protocol) => protocol.get(key)),
    put: (key, value, ttl = forever) => store(key, value, ttl, "put"),
    add: (key, value, ttl = forever) => store(key, value, ttl, "add"),
    delete: (key) => keyed(env, key, (protocol) => protocol.delete(key)),
    flush: Effect.map(
      everywhere(env, (protocol) => protocol.flush),
      ({ answered, complete }) =>
        complete && answered.every(({ answer }) => answer === "FLUSHED") ? "FLUSHED" : "ERR_FLUSH"
    ),
    ping: Effect.flatMap(env.cluster.state, ({ nodes }) =>
      Effect.filter([...nodes.keys()], (node) => Effect.isSuccess(env.cluster.ping(node)), {
        concurrency: "unbounded"
      })
    ),
    nodeSize: (node) =>
      Effect.flatMap(env.cluster.state, (state) => {
        const known = state.nodes.get(node)
        if (known === undefined) return Effect.succeedNone
        if (known.death !== undefined) return Effect.fail(new NoMoreServers({ failures: [known.death] }))
        const startedAt = env.now()
        return onNode(env, node, (protocol) => protocol.nodeSize).pipe(
          Effect.mapError((failure) => new NoMoreServers({ failures: [failure] })),
          withDeadline(env, startedAt, [], () => node)
        )
      }),
    getSnitchMetrics: metrics(env, (protocol) => protocol.getSnitchMetrics),
    getWatchdogMetrics: metrics(env, (protocol) => protocol.getWatchdogMetrics),
    topology: env.cluster.topology
  }
}

/**
 * A client of the nodes given, over the `Transport` that is provided. Fails when an address is malformed or none is given,
 * and with `requireLive` when no node answers. Options that cannot be used are a defect.
 */
export function make(
  options: ClientOptions & { readonly requireLive?: false }
): Effect.Effect<GhostDBService, NodesFileError, Transport | Scope.Scope>
export function make(
  options: ClientOptions
): Effect.Effect<GhostDBService, NodesFileError | NoMoreServers, Transport | Scope.Scope>
export function make(
  options: ClientOptions
): Effect.Effect<GhostDBService, NodesFileError | NoMoreServers, Transport | Scope.Scope> {
  return Effect.flatMap(
    Effect.orDieWith(GhostDBConfig.resolve(options), (problem) => new Cause.IllegalArgumentException(problem)),
    (settings) => start(options, settings)
  )
}

const start = Effect.fnUntraced(function* (options: ClientOptions, settings: GhostDBConfig.Settings) {
  const { nodes, warnings } = yield* NodesFile.validate(options.nodes)
  yield* Effect.forEach(
    warnings,
    ({ reason, text }) => Effect.logWarning(`GhostDB nodes: ${reason}`).pipe(Effect.annotateLogs({ node: text })),
    { discard: true }
  )
  const transport = yield* Transport
  const connections = yield* transport.connect(settings)
  const cluster = yield* Cluster.make(nodes, options.changes ?? Stream.empty, connections, settings)
  const clock = yield* Effect.clock
  const env: Environment = { cluster, post: connections.post, settings, now: () => clock.unsafeCurrentTimeMillis() }
  if (settings.requireLive) {
    const answers = yield* Effect.forEach(nodes, (node) => Effect.either(cluster.ping(node)), {
      concurrency: "unbounded"
    })
    if (answers.every(Either.isLeft)) {
      const failures = answers.flatMap((answer, at) =>
        Either.isLeft(answer) ? [{ node: nodes[at] ?? "", ...answer.left }] : []
      )
      return yield* new NoMoreServers({ failures })
    }
  }
  return service(env)
})

/** {@link make} as a layer. */
export function layer(
  options: ClientOptions & { readonly requireLive?: false }
): Layer.Layer<GhostDB, NodesFileError, Transport>
export function layer(options: ClientOptions): Layer.Layer<GhostDB, NodesFileError | NoMoreServers, Transport>
export function layer(options: ClientOptions): Layer.Layer<GhostDB, NodesFileError | NoMoreServers, Transport> {
  return Layer.scoped(GhostDB, make(options))
}

/** {@link layer} with options from the configuration. Options that cannot be used are a `ConfigError`. */
export const layerConfig = (
  options: Config.Config.Wrap<ClientOptions>
): Layer.Layer<GhostDB, ConfigError.ConfigError | NodesFileError | NoMoreServers, Transport> =>
  Config.unwrap(options).pipe(
    Effect.tap((options) =>
      Either.mapLeft(GhostDBConfig.resolve(options), (problem) => ConfigError.InvalidData([], problem))
    ),
    Effect.map((options) => layer(options)),
    Layer.unwrapEffect
  )
