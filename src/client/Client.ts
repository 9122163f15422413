/** The commands: pick a node, attempt, and where that fails, classify and decide. */

import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FailOpen from "../cache/FailOpen.js"
import * as PerClient from "../cache/PerClient.js"
import * as Cluster from "../cluster/Cluster.js"
import * as Parse from "../discovery/Parse.js"
import { type GhostDB, tag } from "../GhostDB.js"
import { fromEither } from "../model/fromEither.js"
import * as GhostDBConfig from "../model/GhostDBConfig.js"
import type { NodesFileError } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import * as Registry from "../telemetry/Registry.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import * as Exchange from "../transport/Exchange.js"
import * as PostMany from "../transport/PostMany.js"
import { type Connections, Transport } from "../transport/Transport.js"
import type { Environment } from "./Command.js"
import { manyKeys, service } from "./Commands.js"

/**
 * {@link GhostDBConfig.GhostDBOptions} and the nodes.
 *
 * @category options
 * @since 0.1.0
 */
export interface ClientOptions extends GhostDBConfig.GhostDBOptions {
  /** Addresses as a nodes file holds them. The ring hashes them as they are written. */
  readonly nodes: ReadonlyArray<string>
  /** Later lists of all nodes. Each is one atomic step of the ring, and nodes that stay keep their health. Default: none. */
  readonly changes?: Stream.Stream<ReadonlyArray<string>>
}

/**
 * A client of the nodes given, over the `Transport` that is provided. Fails when an address is malformed or none is given.
 * Options that cannot be used are a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ClientOptions): Effect.Effect<GhostDBService, NodesFileError, Transport | Scope.Scope> =>
  Effect.flatMap(GhostDBConfig.resolveOrDie(options), (settings) => start(options, settings))

const start = Effect.fnUntraced(function* (options: ClientOptions, settings: GhostDBConfig.Settings) {
  const { nodes } = yield* validate(options.nodes)
  const unknown = GhostDBConfig.unknownOptions(options)
  if (unknown.length > 0)
    yield* Effect.logWarning(`GhostDB ignores options that it does not have: ${unknown.join(", ")}`)
  const transport = yield* Transport
  const attemptTimeout = Math.min(settings.attemptTimeout, settings.deadline)
  const runtime = yield* Effect.runtime()
  const told: { cluster?: Cluster.Cluster } = {}
  const connections = yield* PostMany.complete(
    yield* transport.connect({ ...settings, attemptTimeout }, (node, isIdle = false) => {
      const { cluster } = told
      if (cluster !== undefined) Runtime.runSync(runtime)(isIdle ? cluster.unwatched(node) : cluster.disconnected(node))
    })
  )
  const cluster = yield* Cluster.make(nodes, validChanges(options.changes ?? Stream.empty), connections, settings)
  told.cluster = cluster
  const clock = yield* Effect.clock
  const { metrics, spans } = settings
  const registry = yield* Registry.current
  const counted = metrics ? registry : undefined
  const post = connections.isolatesCallers === true ? postInPassing(connections, cluster) : connections.post
  const env: Environment = {
    cluster,
    post,
    exchange: Exchange.of({ ...connections, post }),
    postMany: connections.postMany,
    settings,
    clock,
    recorder: (operation) => Telemetry.recorder(operation, counted),
    batchRecorder: (operation) => Telemetry.batchRecorder(operation, counted),
    attempts: Telemetry.attemptsOf(counted),
    isTraced: spans === "auto" ? FiberServices.isTraced : () => spans === "always"
  }
  const db = PerClient.attach(service(env), manyKeys(env), {
    scope: yield* Effect.scope,
    deadline: settings.deadline,
    isTraced: env.isTraced,
    isolatesCallers: connections.isolatesCallers === true,
    registry
  })
  return settings.failOpen ? FailOpen.wrap(db) : db
})

/** Posts, and does beside it what is due of the work that is otherwise done in the background. */
const postInPassing =
  ({ post }: Connections, { probeInPassing, sweepInPassing }: Cluster.Cluster): Connections["post"] =>
  (...request) =>
    Effect.zipRight(Effect.zipRight(probeInPassing, sweepInPassing), post(...request))

/** Checks a list of nodes as a nodes file is checked, and logs what is dropped. */
const validate = (nodes: ReadonlyArray<string>) =>
  Effect.tap(fromEither(Parse.validate(nodes)), ({ warnings }) =>
    Effect.forEach(
      warnings,
      ({ reason, text }) => Effect.logWarning(`GhostDB nodes: ${reason}`).pipe(Effect.annotateLogs({ node: text })),
      { discard: true }
    )
  )

/** The lists that can be used; any other is logged, and the ring stays as it is. */
const validChanges = (changes: Stream.Stream<ReadonlyArray<string>>): Stream.Stream<ReadonlyArray<string>> =>
  changes.pipe(
    Stream.mapEffect((nodes) =>
      validate(nodes).pipe(
        Effect.map(({ nodes }) => Option.some(nodes)),
        Effect.catchAll((error) =>
          Effect.as(Effect.logWarning(`GhostDB ${error.message}; the nodes stay as they are`), Option.none())
        )
      )
    ),
    Stream.filterMap((nodes) => nodes)
  )

/**
 * A client of the nodes given, over the `Transport` that is provided: {@link make} as a layer. Building it connects to no
 * node; it fails when an address is malformed or none is given.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: ClientOptions): Layer.Layer<GhostDB, NodesFileError, Transport> =>
  Layer.scoped(tag, make(options))

/**
 * {@link layer} with options from the configuration. Options that cannot be used are a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Config.Wrap<ClientOptions>
): Layer.Layer<GhostDB, ConfigError.ConfigError | NodesFileError, Transport> =>
  Config.unwrap(options).pipe(
    Effect.tap((options) =>
      Effect.mapError(fromEither(GhostDBConfig.resolve(options)), (problem) => ConfigError.InvalidData([], problem))
    ),
    Effect.map((options) => layer(options)),
    Layer.unwrapEffect
  )
