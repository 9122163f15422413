/** The commands: pick a node, attempt, and where that fails, classify and decide. */

import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FailOpen from "../cache/FailOpen.js"
import * as PerClient from "../cache/PerClient.js"
import * as Cluster from "../cluster/Cluster.js"
import * as Parse from "../discovery/Parse.js"
import { GhostDB } from "../GhostDB.js"
import * as GhostDBConfig from "../model/GhostDBConfig.js"
import { type NodesFileError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import { Transport } from "../transport/Transport.js"
import type { Environment } from "./Command.js"
import { service } from "./Commands.js"

/** {@link GhostDBConfig.GhostDBOptions} and the nodes. */
export interface ClientOptions extends GhostDBConfig.GhostDBOptions {
  /** Addresses as a nodes file holds them. The ring hashes them as they are written. */
  readonly nodes: ReadonlyArray<string>
  /** Later lists of all nodes. Each is one atomic step of the ring, and nodes that stay keep their health. Default: none. */
  readonly changes?: Stream.Stream<ReadonlyArray<string>>
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
  const { nodes, warnings } = yield* Parse.validate(options.nodes)
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
  const db = PerClient.attach(service(env), {
    scope: yield* Effect.scope,
    deadline: settings.deadline,
    isTraced: env.isTraced
  })
  return settings.failOpen ? FailOpen.wrap(db) : db
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
