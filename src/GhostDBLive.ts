/** The client for Node.js: a nodes file, sockets, and the commands. */

import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Client from "./client/Client.js"
import { isUrl } from "./discovery/Watched.js"
import { watchFile } from "./discovery/WatchFile.js"
import type { GhostDB } from "./GhostDB.js"
import * as GhostDBConfig from "./model/GhostDBConfig.js"
import type { NodesFileError } from "./model/GhostDBError.js"
import * as SocketTransport from "./transport/SocketTransport.js"

const platform = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** What a URL needs is loaded for a URL only. */
const watchUrl = (url: string, poll: Schedule.Schedule<unknown>) =>
  Effect.flatMap(
    Effect.promise(() =>
      Promise.all([import("./discovery/WatchUrl.js"), import("@effect/platform/FetchHttpClient")] as const)
    ),
    ([{ watchUrl }, FetchHttpClient]) => Effect.provide(watchUrl(url, { poll }), FetchHttpClient.layer)
  )

const watch = (nodesFile: string, poll: Schedule.Schedule<unknown>) => {
  // The compiler refuses anything else; for untyped code.
  if (typeof nodesFile !== "string") return Effect.die(new Cause.IllegalArgumentException(notNodesFile))
  return isUrl(nodesFile) ? watchUrl(nodesFile, poll) : Effect.provide(watchFile(nodesFile, { poll }), platform)
}

const notNodesFile =
  "GhostDBLive takes the path or the URL of a nodes file, as a string; for a list of nodes, use Client.layer({ nodes })"

/**
 * The client of the cluster that a nodes file names: a path, or an `http://` or `https://` URL. The file is watched, the
 * URL asked every `pollInterval`: nodes come and go in one atomic step of the ring, and those that stay keep their health.
 * A node that is removed goes after 2 seconds, when a second reading confirms it.
 *
 * Building the layer connects to no node; {@link GhostDB.requireLive} makes a layer that fails when none answers. Options
 * that cannot be used are a defect.
 *
 * @example
 * import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
 * import { Effect } from "effect"
 * import { GhostDB, GhostDBLive } from "effect-ghostdb"
 *
 * GhostDB.get("AMZN").pipe(
 *   Effect.tap((quote) => Effect.log(quote)),
 *   Effect.provide(GhostDBLive("gdb.conf", { attemptTimeout: "300 millis" })),
 *   NodeRuntime.runMain
 * )
 *
 * @category layers
 * @since 0.1.0
 */
export const GhostDBLive = (
  nodesFile: string,
  options?: GhostDBConfig.GhostDBOptions
): Layer.Layer<GhostDB, NodesFileError> =>
  GhostDBConfig.resolveOrDie(options ?? {}).pipe(
    Effect.flatMap(({ pollInterval }) => watch(nodesFile, Schedule.spaced(pollInterval))),
    Effect.map((watched) => Client.layer({ ...options, ...watched })),
    Layer.unwrapEffect,
    Layer.provide(SocketTransport.layer)
  )
