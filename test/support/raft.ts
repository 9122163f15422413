import { Effect, Logger, Option } from "effect"
import { type CacheNode, type NodeServer, TestCluster, type TestClusterOptions } from "effect-ghostdb"
import { annotationsOf } from "./annotations.js"
import { clientOf } from "./clients.js"

/** So many that each node owns some keys, which is what makes `readFrom: "any"` ask it. */
export const replicas = 50

export const inMemory = ({ client, ...options }: TestClusterOptions = {}) =>
  TestCluster.layer({ dialect: "raft", ...options, client: { replicas, ...client } })

export const keys = Array.from({ length: 60 }, (_, i) => `key:${i}`)

/** Requests of one kind that each node has had. */
export const counted = (command: keyof CacheNode.CommandCounts) =>
  Effect.flatMap(TestCluster, (cluster) =>
    Effect.forEach(cluster.nodes, (address) =>
      Effect.map(
        Effect.flatten(Effect.map(cluster.node(address), (node) => node.commandCounts)),
        (counts) => counts[command]
      )
    )
  )

export const sum = (counts: ReadonlyArray<number>) => counts.reduce((total, count) => total + count, 0)

/** The leader by the nodes themselves. */
export const ruling = Effect.flatMap(TestCluster, (cluster) => Effect.map(cluster.leader, Option.getOrThrow))

export const stopLeader = Effect.gen(function* () {
  const cluster = yield* TestCluster
  const leader = yield* ruling
  yield* cluster.stop(leader)
  return leader
})

/** A further client of the nodes of a group of servers. */
export const clients = (servers: ReadonlyArray<NodeServer.NodeServer>) => clientOf(servers, { replicas })

/** The lines that an effect logs: level, message and node. */
export const logLines = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const collector = Logger.make((options) => {
      const { logLevel, message } = options
      const { node = "" } = annotationsOf(options)
      lines.push(`${logLevel.label} ${String(message)} ${String(node)}`.trimEnd())
    })
    return Effect.as(Effect.provide(effect, Logger.replace(Logger.defaultLogger, collector)), lines)
  })
