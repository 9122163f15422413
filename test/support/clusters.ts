import { Context, Effect, Layer } from "effect"
import { type CacheNode, type Dialect, GhostDB, type GhostDBService, NodeServer, TestCluster } from "effect-ghostdb"
import { clientOf } from "./clients.js"

/** The nodes behind a client under test: what they were asked, and what they hold. */
export class Nodes extends Context.Tag("test/Nodes")<
  Nodes,
  {
    /** Requests of all nodes together, since they were made. */
    readonly counts: Effect.Effect<CacheNode.CommandCounts>
    /** Puts JSON as it is written, as any other client may have. */
    readonly write: (key: string, json: string) => Effect.Effect<void>
    readonly stop: Effect.Effect<void>
    readonly start: Effect.Effect<void>
  }
>() {}

const nodesOf = (
  nodes: ReadonlyArray<CacheNode.CacheNode>,
  control: Pick<Context.Tag.Service<Nodes>, "start" | "stop">
): Context.Tag.Service<Nodes> => ({
  counts: Effect.map(
    Effect.forEach(nodes, (node) => node.commandCounts),
    (all) => {
      const total = { ...all[0]! }
      for (const counts of all.slice(1)) {
        for (const [name, count] of Object.entries(counts)) total[name as keyof typeof total] += count
      }
      return total
    }
  ),
  // On every node, whichever owns the key.
  write: (key, json) =>
    Effect.forEach(
      nodes,
      (node) =>
        node.handle(
          "put",
          node.dialect === "v1"
            ? JSON.stringify({ Key: key, Value: json, TTL: -1 })
            : `{"Gobj":{"Key":${JSON.stringify(key)},"Value":${json},"TTL":${node.dialect === "raft" ? '"-1"' : -1}}}`
        ),
      { discard: true }
    ),
  ...control
})

/** Nodes in memory. */
export const inMemory = (dialect: Dialect = "v2"): Layer.Layer<GhostDB | Nodes> =>
  Layer.provideMerge(
    Layer.effect(
      Nodes,
      Effect.gen(function* () {
        const cluster = yield* TestCluster
        return nodesOf(yield* Effect.forEach(cluster.nodes, cluster.node), {
          stop: Effect.forEach(cluster.nodes, cluster.stop, { discard: true }),
          start: Effect.forEach(cluster.nodes, (node) => cluster.start(node, { keep: true }), { discard: true })
        })
      })
    ),
    TestCluster.layer({ dialect })
  )

/** Nodes behind real HTTP. */
export const observedOverHttp = (dialect: Dialect = "v2"): Layer.Layer<GhostDB | Nodes> =>
  NodeServer.cluster({ nodes: 3, dialect }).pipe(
    Effect.map((servers) =>
      Layer.merge(
        clientOf(servers),
        Layer.succeed(
          Nodes,
          nodesOf(
            servers.map(({ node }) => node),
            {
              stop: Effect.forEach(servers, ({ stop }) => stop, { discard: true }),
              start: Effect.forEach(servers, (server) => Effect.orDie(server.start({ keep: true })), { discard: true })
            }
          )
        )
      )
    ),
    Effect.orDie,
    Layer.unwrapScoped
  )

/**
 * The client of another process on the same cluster: it shares nothing with the given one but the nodes. What `through`
 * makes of a command is what the process sees of it.
 */
export const anotherProcess = (
  db: GhostDBService,
  through: <A, E>(command: string, key: string, effect: Effect.Effect<A, E>) => Effect.Effect<A, E> = (_, __, effect) =>
    effect
): GhostDBService => ({
  get: (key) => through("get", key, db.get(key)),
  put: (key, value, ttl) => through("put", key, db.put(key, value, ttl)),
  add: (key, value, ttl) => through("add", key, db.add(key, value, ttl)),
  delete: (key) => through("delete", key, db.delete(key)),
  flush: db.flush,
  ping: db.ping,
  nodeSize: db.nodeSize,
  leader: db.leader,
  getSnitchMetrics: db.getSnitchMetrics,
  getWatchdogMetrics: db.getWatchdogMetrics,
  topology: db.topology
})

/** Runs an effect in that process. */
export const inProcess =
  (db: GhostDBService) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, GhostDB, db)
