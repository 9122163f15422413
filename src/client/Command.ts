/** The commands: pick a node, attempt, and where that fails, classify and decide. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as FailOpen from "../cache/FailOpen.js"
import * as Cluster from "../cluster/Cluster.js"
import * as ClusterState from "../cluster/ClusterState.js"
import * as NodesFile from "../discovery/NodesFile.js"
import { GhostDB, type GhostDBService, type Metrics, type Ttl } from "../GhostDB.js"
import * as GhostDBConfig from "../model/GhostDBConfig.js"
import { type Fault, KeyError, type NodeFailure, type NodesFileError, NoMoreServers } from "../model/GhostDBError.js"
import * as Lifetime from "../model/Ttl.js"
import * as Protocol from "../protocol/Protocol.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import { type Connections, Transport } from "../transport/Transport.js"

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
  readonly post: Connections["post"]
  readonly settings: GhostDBConfig.Settings
  readonly clock: Clock.Clock
  readonly recorder: (operation: Telemetry.Operation) => Telemetry.Recorder
  /** Whether a command of the fiber is to have a span. */
  readonly isTraced: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => boolean
}

/** How a command is said in a node's dialect. */
type Say<A> = (protocol: Protocol.Protocol) => Protocol.Request<A>

// Keys, values, lifetimes

/** What is wrong with a key on any server. */
const keyError = (key: string): KeyError | undefined => {
  if (typeof key !== "string") return new KeyError({ key, reason: "NotAString" })
  return key.isWellFormed() ? undefined : new KeyError({ key, reason: "NotWellFormed" })
}

const isRefused = (key: string, protocol: Protocol.Protocol) => key === "" && !protocol.allowsEmptyKey

/** The value's JSON text. Throws, and so makes a defect of, what the compiler has been talked out of refusing. */
const stringify = (key: string, value: unknown): Protocol.JsonText => {
  const cannot = (why: string) =>
    new Cause.IllegalArgumentException(`the value for the key ${JSON.stringify(key)} is not JSON: ${why}`)
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw cannot(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error))
  }
  if (json === undefined) throw cannot(`it is ${typeof value}`)
  return Protocol.jsonText(json)
}

// Attempts

const encoder = new TextEncoder()

/** The body's size in bytes where it is over the limit; no character takes more than three bytes. */
const excess = (body: Protocol.JsonText, limit: number): number | undefined => {
  if (body.length * 3 <= limit) return undefined
  const size = typeof body === "string" ? encoder.encode(body).length : body.length
  return size > limit ? size : undefined
}

/** The answer to a request that is too large, which no node is asked. Undefined for any other. */
const unsent = <A>(
  { settings: { maxRequestBytes } }: Environment,
  { body, command, unsent }: Protocol.Request<A>,
  key: string | undefined
): Effect.Effect<A> | undefined => {
  const bytes = excess(body, maxRequestBytes)
  return bytes === undefined
    ? undefined
    : Effect.logWarning("GhostDB request not sent: it is larger than maxRequestBytes").pipe(
        Effect.annotateLogs({ command, key, bytes, maxRequestBytes }),
        Effect.as(unsent)
      )
}

/** One attempt on one node, which a success clears of all doubts. */
const attempt = <A>(
  { cluster, post }: Environment,
  node: string,
  { body, command, decode }: Protocol.Request<A>
): Effect.Effect<A, Fault> => {
  Telemetry.attempted(node)
  return Effect.tap(Effect.flatMap(post(node, command, body), decode), () => cluster.succeeded(node))
}

/** A command on its way: what it says, and where it goes as things stand. */
interface Errand<A> {
  readonly recorder: Telemetry.Recorder
  readonly say: Say<A>
  readonly route: (state: ClusterState.ClusterState) => ClusterState.Route
  /** Where it goes while a raft cluster has no leader; it waits for one where this is absent. */
  readonly withoutLeader?: (state: ClusterState.ClusterState) => ClusterState.Route
  /** Absent for commands without a key. */
  readonly key?: string
  /** The one node that it is for; absent where another node does as well. */
  readonly only?: string
}

/** An attempt that has failed before the errand has set out. */
interface FirstAttempt {
  readonly node: string
  readonly dialect: Protocol.Dialect
  readonly fault: Fault
}

/** What an errand comes to on one node: its answer, or going on elsewhere. */
type Outcome<A> = Effect.Effect<A, NoMoreServers | KeyError>

/**
 * The way of a command once it is not straight: a node has not been spoken to yet, an attempt has failed, or there is no
 * live node or no leader.
 */
const pursue = <A>(
  env: Environment,
  errand: Errand<A>,
  startedAt: bigint,
  first?: FirstAttempt,
  span?: Tracer.Span
): Outcome<A> =>
  Effect.suspend(() => {
    const { cluster, settings } = env
    const tell = (event: string, attributes: Record<string, unknown>) =>
      span?.event(event, env.clock.unsafeCurrentTimeNanos(), attributes)
    const failures: Array<NodeFailure> = []
    let current: string | undefined
    /** The last failure of an attempt on the current node. */
    let last: NodeFailure | undefined
    /** The dialect of the last attempt on the current node. */
    let spoken: Protocol.Dialect | undefined
    let swept = false
    /** The last node to refuse what a leader does. */
    let refusedBy: string | undefined
    let election: Schedule.ScheduleDriver<unknown> | undefined

    /** A node's failure that repeats itself while a command waits is told once. */
    const note = (failure: NodeFailure) => {
      if (failures.every(({ node, reason }) => node !== failure.node || reason !== failure.reason))
        failures.push(failure)
    }

    const giveUp = ({ topology }: ClusterState.ClusterState) => {
      const dead = topology.dead.filter(({ node }) => errand.only === undefined || errand.only === node)
      return new NoMoreServers({ failures: dead.length > 0 ? dead.map(({ failure }) => failure) : failures })
    }

    const next: Outcome<A> = Effect.flatMap(cluster.state, (state) => go(state, errand.route(state)))

    const go = (state: ClusterState.ClusterState, route: ClusterState.Route): Outcome<A> => {
      if (typeof route === "object") return on(route.node, errand.route)
      current = undefined
      if (route === "no leader") return elect
      if (swept || route === "gone") return giveUp(state)
      swept = true
      return Effect.zipRight(cluster.sweep, next)
    }

    const on = (node: string, route: Errand<A>["route"], made?: FirstAttempt): Outcome<A> => {
      current = node
      last = undefined
      spoken = made?.dialect
      return Effect.matchEffect(persist(node, route, made?.fault), {
        onSuccess: (outcome) => outcome,
        onFailure: (failure) =>
          Effect.flatMap(cluster.failed(node, failure, spoken), (verdict) => {
            if (verdict === "again") return on(node, route)
            note(failure)
            if (verdict === "elsewhere") refusedBy = node
            if (verdict === "doubtful") return new NoMoreServers({ failures })
            Telemetry.failedOver()
            tell("failover", { "server.address": node, "error.type": failure.reason })
            return next
          })
      })
    }

    /** All attempts on one node, by the `retry` schedule, while the node is live and the way leads to it. */
    const persist = (node: string, route: Errand<A>["route"], fault: Fault | undefined) => {
      let made = fault
      const once = Effect.suspend((): Effect.Effect<Outcome<A>, Fault> => {
        if (made !== undefined) {
          const failure = made
          made = undefined
          return Effect.fail(failure)
        }
        return Effect.flatMap(Effect.zip(cluster.identify(node), cluster.state), ([protocol, state]) => {
          const to = route(state)
          if (typeof to !== "object" || to.node !== node) return Effect.succeed(next)
          if (errand.key !== undefined && isRefused(errand.key, protocol)) {
            return Effect.succeed<Outcome<A>>(new KeyError({ key: errand.key, reason: "Empty" }))
          }
          spoken = protocol.dialect
          const request = errand.say(protocol)
          const oversized = unsent(env, request, errand.key)
          if (oversized !== undefined) return Effect.map(oversized, Effect.succeed)
          tell("attempt", { "server.address": node })
          return Effect.map(attempt(env, node, request), Effect.succeed)
        })
      })
      return once.pipe(
        Effect.mapError((fault): NodeFailure => {
          Telemetry.attemptFailed(node, fault.reason)
          tell("attempt failed", { "server.address": node, "error.type": fault.reason })
          last = { node, ...fault }
          return last
        }),
        Effect.retry({
          schedule: settings.retry,
          while: (failure) =>
            ClusterState.classify(failure) === "misdirected"
              ? Effect.succeed(false)
              : Effect.map(cluster.state, (state) => Cluster.isLive(state, node))
        })
      )
    }

    /** Finds the leader; while there is none, a command that can do without goes on, and any other waits. */
    const elect: Outcome<A> = Effect.flatMap(Effect.zip(cluster.findLeader, cluster.state), ([leader, state]) => {
      if (Option.isSome(leader) && leader.value !== refusedBy) return next
      const { withoutLeader } = errand
      const other = withoutLeader?.(state)
      if (withoutLeader !== undefined && typeof other === "object") return on(other.node, withoutLeader)
      for (const { dialect, node } of state.topology.live) {
        if (Option.contains(dialect, "raft"))
          note({ node, reason: "NotLeader", detail: "the raft cluster has no leader" })
      }
      for (const { failure } of state.topology.dead) note(failure)
      tell("no leader", {})
      return Effect.matchEffect(wait, { onFailure: () => new NoMoreServers({ failures }), onSuccess: () => next })
    })

    /** One step of the `election` schedule; fails at its end. */
    const wait = Effect.gen(function* () {
      election ??= yield* Schedule.driver(settings.election)
      yield* election.next(undefined)
      refusedBy = undefined
    })

    const tooLate: Outcome<never> = Effect.suspend(() => {
      if (current === undefined) {
        const dead = cluster.unsafeState().topology.dead.map(({ failure }) => failure)
        return new NoMoreServers({ failures: failures.length > 0 ? failures : dead })
      }
      const detail = `no answer within the deadline of ${settings.deadline} ms`
      failures.push({ node: current, reason: "Deadline", detail })
      const error = new NoMoreServers({ failures })
      return last === undefined ? error : Effect.zipRight(cluster.abandoned(current, last), error)
    })

    const { recorder } = errand
    return (first === undefined ? next : on(first.node, errand.route, first)).pipe(
      Effect.timeoutTo({
        duration: Math.max(settings.deadline - elapsed(env, startedAt) * 1000, 0),
        onSuccess: Effect.succeed,
        onTimeout: () => tooLate
      }),
      Effect.flatten,
      Effect.tapBoth({
        onSuccess: (answer) => Effect.sync(() => recorder.succeeded(answer, elapsed(env, startedAt))),
        onFailure: ({ _tag }) => Effect.sync(() => recorder.failed(_tag, elapsed(env, startedAt)))
      })
    )
  })

/** Seconds since the command began. */
const elapsed = ({ clock }: Environment, startedAt: bigint): number =>
  Number(clock.unsafeCurrentTimeNanos() - startedAt) / 1e9

/** A command with a span, whose events are the command's steps. */
const traced = <A>(
  { settings }: Environment,
  { operation }: Telemetry.Recorder,
  key: string | undefined,
  use: (span: Tracer.Span) => Outcome<A>
): Outcome<A> =>
  Effect.useSpan(
    `ghostdb ${operation}`,
    {
      kind: "client",
      captureStackTrace: false,
      attributes: {
        "db.system.name": "ghostdb",
        "db.operation.name": operation,
        ...(settings.keysInSpans && key !== undefined ? { "ghostdb.key": key } : {})
      }
    },
    (span) => Effect.tapError(use(span), ({ _tag }) => Effect.sync(() => span.attribute("error.type", _tag)))
  )

/** A command on a key. */
const keyed = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  say: Say<A>
): Outcome<A> =>
  Effect.withFiberRuntime((fiber) => {
    const error = keyError(key)
    if (error !== undefined) return refuse(recorder, error)
    const startedAt = env.clock.unsafeCurrentTimeNanos()
    return env.isTraced(fiber)
      ? traced(env, recorder, key, (span) => straightOn(env, recorder, key, access, say, startedAt, span))
      : straightOn(env, recorder, key, access, say, startedAt)
  })

/** As long as nothing fails: no schedule, no timer. */
const straightOn = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  say: Say<A>,
  startedAt: bigint,
  span?: Tracer.Span
): Outcome<A> => {
  const wantsLeader = access === "write" || env.settings.readFrom === "leader"
  const goOn = (first?: FirstAttempt) =>
    pursue(env, onKey(recorder, key, access, wantsLeader, say), startedAt, first, span)
  const to = ClusterState.route(env.cluster.unsafeState(), key, wantsLeader)
  if (typeof to === "string" || to.dialect === undefined) return goOn()
  const { dialect, node } = to
  const protocol = Protocol.forDialect(dialect)
  if (isRefused(key, protocol)) return refuse(recorder, new KeyError({ key, reason: "Empty" }))
  const request = say(protocol)
  const succeeded = (answer: A) => {
    recorder.succeeded(answer, elapsed(env, startedAt))
    return Effect.succeed(answer)
  }
  const oversized = unsent(env, request, key)
  if (oversized !== undefined) return Effect.flatMap(oversized, succeeded)
  span?.event("attempt", env.clock.unsafeCurrentTimeNanos(), { "server.address": node })
  Telemetry.attempted(node)
  // One frame on the fiber's stack, and not one for each of decoding, counting and failing over.
  return Effect.matchEffect(env.post(node, request.command, request.body), {
    onFailure: (fault) => goOn({ node, dialect, fault }),
    onSuccess: (reply) => {
      const answer = request.decode(reply)
      if (Either.isLeft(answer)) return goOn({ node, dialect, fault: answer.left })
      const done = succeeded(answer.right)
      // Doubts as they are now: other commands may have failed since this one was sent.
      const doubts = env.cluster.unsafeState().nodes.get(node)?.doubts ?? 0
      return doubts > 0 ? Effect.zipRight(env.cluster.succeeded(node), done) : done
    }
  })
}

const refuse = (recorder: Telemetry.Recorder, error: KeyError): KeyError => {
  recorder.failed(error._tag, 0)
  return error
}

const onKey = <A>(
  recorder: Telemetry.Recorder,
  key: string,
  access: "read" | "write",
  wantsLeader: boolean,
  say: Say<A>
): Errand<A> => ({
  recorder,
  say,
  key,
  route: (state) => ClusterState.route(state, key, wantsLeader),
  ...(access === "read" ? { withoutLeader: (state) => ClusterState.route(state, key, false) } : {})
})

/** A command without a key, for which there is no KeyError. */
const unkeyed = <A>(env: Environment, errand: Errand<A>, startedAt: bigint): Effect.Effect<A, NoMoreServers> =>
  Effect.withFiberRuntime((fiber) =>
    Effect.catchTag(
      env.isTraced(fiber)
        ? traced(env, errand.recorder, undefined, (span) => pursue(env, errand, startedAt, undefined, span))
        : pursue(env, errand, startedAt),
      "KeyError",
      Effect.die
    )
  )

/** A command on one node; on the leader instead, where it is the leader's and the node a raft member. */
const onNode = <A>(
  env: Environment,
  recorder: Telemetry.Recorder,
  node: string,
  say: Say<A>,
  wantsLeader: boolean,
  startedAt: bigint
): Effect.Effect<A, NoMoreServers> =>
  unkeyed(
    env,
    { recorder, say, only: node, route: (state) => ClusterState.routeTo(state, node, wantsLeader) },
    startedAt
  )

/**
 * A command on every live node at once: what each answered, in the order of the nodes file. Where it is the leader's, that
 * answers once for all raft members.
 */
const everywhere = <A>(env: Environment, operation: Telemetry.Operation, say: Say<A>, wantsLeader: boolean) => {
  const recorder = env.recorder(operation)
  const live = Effect.map(env.cluster.state, ({ topology }) => topology.live)
  const sweep = Effect.timeoutOption(env.cluster.sweep, env.settings.deadline)
  return Effect.gen(function* () {
    const startedAt = env.clock.unsafeCurrentTimeNanos()
    const onLeader = yield* Effect.cached(unkeyed(env, { recorder, say, route: ClusterState.routeToLeader }, startedAt))
    const tell = (node: string) =>
      Effect.flatMap(wantsLeader ? Effect.option(env.cluster.identify(node)) : Effect.succeedNone, (protocol) =>
        Option.exists(protocol, ({ dialect }) => dialect === "raft")
          ? onLeader
          : onNode(env, recorder, node, say, wantsLeader, startedAt)
      )
    let nodes = yield* live
    if (nodes.length === 0) nodes = yield* Effect.zipRight(sweep, live)
    const answers = yield* Effect.forEach(
      nodes,
      ({ node }) => Effect.map(Effect.either(tell(node)), (answer) => ({ node, answer })),
      { concurrency: "unbounded" }
    )
    const answered = answers.flatMap(({ answer, node }) =>
      Either.isRight(answer) ? [{ node, answer: answer.right }] : []
    )
    if (answered.length > 0) return { answered, complete: answered.length === answers.length }
    const failures = answers.flatMap(({ answer }) => (Either.isLeft(answer) ? answer.left.failures : []))
    const dead = env.cluster.unsafeState().topology.dead.map(({ failure }) => failure)
    return yield* new NoMoreServers({ failures: failures.length > 0 ? Arr.dedupe(failures) : dead })
  })
}

const metrics = <Row>(
  env: Environment,
  operation: "getSnitchMetrics" | "getWatchdogMetrics",
  say: Say<ReadonlyArray<Row>>
): Effect.Effect<Metrics<Row>, NoMoreServers> =>
  Effect.map(everywhere(env, operation, say, false), ({ answered }) => ({
    metrics: answered.map(({ answer, node }) => ({ node, data: answer }))
  }))

const service = (env: Environment): GhostDBService => {
  const [get, put, add, remove, size] = [
    env.recorder("get"),
    env.recorder("put"),
    env.recorder("add"),
    env.recorder("delete"),
    env.recorder("nodeSize")
  ]
  const store = (recorder: Telemetry.Recorder, key: string, value: unknown, ttl: Ttl, command: "put" | "add") =>
    Effect.suspend(() => {
      const lifetime = Lifetime.toSeconds(ttl)
      const json = stringify(key, value)
      return keyed(env, recorder, key, "write", (protocol) => protocol[command](key, json, lifetime))
    })
  return {
    get: (key) => keyed(env, get, key, "read", (protocol) => protocol.get(key)),
    put: (key, value, ttl = Lifetime.forever) => store(put, key, value, ttl, "put"),
    add: (key, value, ttl = Lifetime.forever) => store(add, key, value, ttl, "add"),
    delete: (key) => keyed(env, remove, key, "write", (protocol) => protocol.delete(key)),
    flush: Effect.map(
      everywhere(env, "flush", (protocol) => protocol.flush, true),
      ({ answered, complete }) =>
        complete && answered.every(({ answer }) => answer === "FLUSHED") ? "FLUSHED" : "ERR_FLUSH"
    ),
    ping: Effect.flatMap(env.cluster.state, ({ nodes }) =>
      Effect.filter([...nodes.keys()], (node) => Effect.isSuccess(env.cluster.ping(node)), {
        concurrency: "unbounded"
      })
    ),
    nodeSize: (node) =>
      Effect.flatMap(env.cluster.state, ({ nodes }) =>
        nodes.has(node)
          ? onNode(env, size, node, (protocol) => protocol.nodeSize, true, env.clock.unsafeCurrentTimeNanos())
          : Effect.succeedNone
      ),
    leader: Effect.map(Effect.timeoutOption(env.cluster.findLeader, env.settings.deadline), Option.flatten),
    getSnitchMetrics: metrics(env, "getSnitchMetrics", (protocol) => protocol.getSnitchMetrics),
    getWatchdogMetrics: metrics(env, "getWatchdogMetrics", (protocol) => protocol.getWatchdogMetrics),
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
  const attemptTimeout = Math.min(settings.attemptTimeout, settings.deadline)
  const connections = yield* transport.connect({ ...settings, attemptTimeout })
  const cluster = yield* Cluster.make(nodes, options.changes ?? Stream.empty, connections, settings)
  const clock = yield* Effect.clock
  const { spans } = settings
  const env: Environment = {
    cluster,
    post: connections.post,
    settings,
    clock,
    recorder: (operation) => Telemetry.recorder(operation, settings.metrics),
    isTraced: spans === "auto" ? Telemetry.isTraced : () => spans === "always"
  }
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
  return settings.failOpen ? FailOpen.wrap(service(env)) : service(env)
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
