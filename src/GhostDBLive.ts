/** The client for Node.js: a nodes file, sockets, and the commands. */

import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Client from "./client/Client.js"
import { isUrl } from "./discovery/Watched.js"
import { watchFile } from "./discovery/WatchFile.js"
import type { GhostDB } from "./GhostDB.js"
import type { GhostDBOptions } from "./model/GhostDBConfig.js"
import type { NodesFileError } from "./model/GhostDBError.js"
import * as SocketTransport from "./transport/SocketTransport.js"

const platform = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** What a URL needs is loaded for a URL only. */
const watchUrl = (url: string) =>
  Effect.flatMap(
    Effect.promise(() =>
      Promise.all([import("./discovery/WatchUrl.js"), import("@effect/platform/FetchHttpClient")] as const)
    ),
    ([{ watchUrl }, FetchHttpClient]) => Effect.provide(watchUrl(url), FetchHttpClient.layer)
  )

const watch = (nodesFile: string) =>
  isUrl(nodesFile) ? watchUrl(nodesFile) : Effect.provide(watchFile(nodesFile), platform)

/**
 * The client of the cluster that a nodes file names: a path, or an `http://` or `https://` URL. The file is watched, the
 * URL asked every 30 seconds: nodes come and go in one atomic step of the ring, and those that stay keep their health.
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
 */
export const GhostDBLive = (nodesFile: string, options?: GhostDBOptions): Layer.Layer<GhostDB, NodesFileError> =>
  watch(nodesFile).pipe(
    Effect.map((watched) => Client.layer({ ...options, ...watched })),
    Layer.unwrapEffect,
    Layer.provide(SocketTransport.layer)
  )
