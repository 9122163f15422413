import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Intent from "../cache/Intent.js"
import type * as ManyKeys from "../cache/ManyKeys.js"
import * as ClusterState from "../cluster/ClusterState.js"
import * as Routing from "../cluster/Routing.js"
import { type JsonText, jsonText } from "../model/Exchange.js"
import { NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService, StoreResult } from "../model/GhostDBService.js"
import type { Metrics } from "../model/Metrics.js"
import { Ttl } from "../model/Ttl.js"
import type * as Telemetry from "../telemetry/Telemetry.js"
import { type Environment, now, type ToRequest } from "./Command.js"
import { runKeyed, runOn, runUnkeyed } from "./Execute.js"
import { runMany } from "./Many.js"

/** The value's JSON text. Throws, and so makes a defect of, what the compiler has been talked out of refusing. */
const stringify = (key: string, value: unknown): JsonText => {
  const cannot = (why: string) =>
    new Cause.IllegalArgumentException(`the value for the key ${JSON.stringify(key)} is not JSON: ${why}`)
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw cannot(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error))
  }
  if (json === undefined) throw cannot(`it is ${typeof value}`)
  return jsonText(json)
}

/**
 * Runs a command on every live node at once: what each answered, in the order of the nodes file. Where it is the leader's,
 * the leader answers once for all raft members.
 */
const broadcast = <A>(
  env: Environment,
  operation: Telemetry.Operation,
  toRequest: ToRequest<A>,
  wantsLeader: boolean
) => {
  const recorder = env.recorder(operation)
  const live = Effect.map(env.cluster.state, ClusterState.liveNodes)
  return Effect.gen(function* () {
    const startedAt = now(env)
    const deadline = startedAt + env.settings.deadline
    const onLeader = yield* Effect.cached(
      runUnkeyed(env, { recorder, toRequest, startedAt, deadline, route: Routing.routeToLeader })
    )
    const runOnNode = (node: string) =>
      Effect.flatMap(
        wantsLeader ? Effect.option(env.cluster.handshake(node, deadline)) : Effect.succeedNone,
        (protocol) =>
          Option.exists(protocol, ({ dialect }) => dialect === "raft")
            ? onLeader
            : runOn(env, recorder, node, toRequest, wantsLeader, startedAt)
      )
    let nodes = yield* live
    if (nodes.length === 0) nodes = yield* Effect.zipRight(env.cluster.probeDead(deadline), live)
    const answers = yield* Effect.forEach(
      nodes,
      ({ node }) => Effect.map(Effect.either(runOnNode(node)), (answer) => ({ node, answer })),
      { concurrency: "unbounded" }
    )
    const answered = answers.flatMap(({ answer, node }) =>
      Either.isRight(answer) ? [{ node, answer: answer.right }] : []
    )
    if (answered.length > 0) return { answered, complete: answered.length === answers.length }
    const failures = answers.flatMap(({ answer }) => (Either.isLeft(answer) ? answer.left.failures : []))
    const dead = ClusterState.deaths(env.cluster.unsafeState())
    return yield* new NoMoreServers({ failures: failures.length > 0 ? Arr.dedupe(failures) : dead })
  })
}

const metrics = <Row>(
  env: Environment,
  operation: "getSnitchMetrics" | "getWatchdogMetrics",
  toRequest: ToRequest<ReadonlyArray<Row>>
): Effect.Effect<Metrics<Row>, NoMoreServers> =>
  Effect.map(broadcast(env, operation, toRequest, false), ({ answered }) => ({
    metrics: answered.map(({ answer, node }) => ({ node, data: answer }))
  }))

/**
 * A read, by the client's `readFrom`. Where that is `"any"`, a read that decides something goes to the leader all the same: a
 * follower may not have a lock yet.
 */
const reading = <In extends ReadonlyArray<unknown>, A, E>(
  env: Environment,
  read: (env: Environment) => (...input: In) => Effect.Effect<A, E>
): ((...input: In) => Effect.Effect<A, E>) => {
  const asConfigured = read(env)
  if (env.settings.readFrom !== "any") return asConfigured
  const fromLeader = read({ ...env, settings: { ...env.settings, readFrom: "leader" } })
  return (...input) =>
    Effect.flatMap(Intent.current, ({ fresh }) => (fresh === true ? fromLeader(...input) : asConfigured(...input)))
}

/** The commands of a client on many keys. */
export const manyKeys = (env: Environment): ManyKeys.ManyKeys => {
  const store = (entries: ReadonlyArray<ManyKeys.Entry>, command: "put" | "add") =>
    Effect.suspend(() => {
      const lifetimes = entries.map(({ ttl }) => Ttl.toSeconds(ttl))
      return runMany<StoreResult>(env, {
        operation: command,
        access: "write",
        keys: entries.map(({ key }) => key),
        toRequest: (protocol, index) => {
          // Every index is one of an entry.
          const { key, value } = entries[index] as ManyKeys.Entry
          return protocol[command](key, () => stringify(key, value), lifetimes[index] ?? Ttl.forever)
        }
      })
    })
  return {
    get: reading(
      env,
      (env): ManyKeys.ManyKeys["get"] =>
        (keys, onResult) =>
          runMany(env, {
            operation: "get",
            access: "read",
            keys,
            onResult,
            toRequest: (protocol, index) => protocol.get(keys[index] ?? "")
          })
    ),
    put: (entries) => store(entries, "put"),
    add: (entries) => store(entries, "add"),
    delete: (keys) =>
      runMany(env, {
        operation: "delete",
        access: "write",
        keys,
        toRequest: (protocol, index) => protocol.delete(keys[index] ?? "")
      })
  }
}

/** The commands of a client. */
export const service = (env: Environment): GhostDBService => {
  const [get, put, add, remove, size] = [
    env.recorder("get"),
    env.recorder("put"),
    env.recorder("add"),
    env.recorder("delete"),
    env.recorder("nodeSize")
  ]
  const store = (recorder: Telemetry.Recorder, key: string, value: unknown, ttl: Ttl, command: "put" | "add") =>
    Effect.suspend(() => {
      const lifetime = Ttl.toSeconds(ttl)
      const json = () => stringify(key, value)
      return runKeyed(env, recorder, key, "write", (protocol) => protocol[command](key, json, lifetime))
    })
  return {
    get: reading(env, (env) => (key: string) => runKeyed(env, get, key, "read", (protocol) => protocol.get(key))),
    put: (key, value, ttl = Ttl.forever) => store(put, key, value, ttl, "put"),
    add: (key, value, ttl = Ttl.forever) => store(add, key, value, ttl, "add"),
    delete: (key) => runKeyed(env, remove, key, "write", (protocol) => protocol.delete(key)),
    flush: Effect.map(
      broadcast(env, "flush", (protocol) => protocol.flush, true),
      ({ answered, complete }) =>
        complete && answered.every(({ answer }) => answer === "FLUSHED") ? "FLUSHED" : "ERR_FLUSH"
    ),
    ping: Effect.flatMap(env.cluster.state, ({ nodes }) => {
      const deadline = now(env) + env.settings.deadline
      return Effect.filter([...nodes.keys()], (node) => Effect.isSuccess(env.cluster.ping(node, deadline)), {
        concurrency: "unbounded"
      })
    }),
    nodeSize: (node) =>
      Effect.flatMap(env.cluster.state, ({ nodes }) =>
        nodes.has(node) ? runOn(env, size, node, (protocol) => protocol.nodeSize, true, now(env)) : Effect.succeedNone
      ),
    leader: Effect.suspend(() => env.cluster.findLeader(now(env) + env.settings.deadline)),
    getSnitchMetrics: metrics(env, "getSnitchMetrics", (protocol) => protocol.getSnitchMetrics),
    getWatchdogMetrics: metrics(env, "getWatchdogMetrics", (protocol) => protocol.getWatchdogMetrics),
    topology: env.cluster.topology
  }
}
