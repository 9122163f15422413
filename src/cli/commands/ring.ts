/** `ghostdb ring`: which node holds what, and what a change of the nodes would do. */

import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Probe from "../../cluster/Probe.js"
import * as NodesFile from "../../discovery/NodesFile.js"
import type { Dialect } from "../../model/Dialect.js"
import * as Ring from "../../ring/Ring.js"
import * as RingPlan from "../../ring/RingPlan.js"
import { type Connection, withProbe } from "../connection.js"
import { NoAnswer, UsageError } from "../exit.js"
import { readNodes } from "../nodes.js"
import {
  bar,
  type Cell,
  type Column,
  outputPaint,
  percent,
  print,
  printNote,
  printTable,
  toJson
} from "../terminal/output.js"

/** What `ghostdb ring` is asked for. */
export interface RingOptions {
  readonly connection: Connection
  readonly json: boolean
  readonly key: Option.Option<string>
  readonly live: boolean
  /** Addresses, with commas or line feeds between them. */
  readonly add: Option.Option<string>
  readonly remove: Option.Option<string>
}

const barWidth = 40

const replicasTried = [1, 10, 50, 100, 200] as const

/** The members of a raft cluster that answer. */
interface RaftGroup {
  readonly members: ReadonlyArray<string>
  readonly leader: string | undefined
}

/** What is known of the nodes before their ring is shown. */
interface Known {
  readonly nodes: ReadonlyArray<string>
  /** Present where raft members hold the key. */
  readonly raft?: RaftGroup | undefined
  /** For standard error. */
  readonly note?: string | undefined
}

const raftNote = "these are raft members: every node holds every key, and the shares are those of reads from any node"

const silentNote = "no node answers: if these are raft members, each of them holds the key"

type Pong = readonly [node: string, dialect: Dialect]

/** What a node is asked here. A failure is no answer, whatever the reason. */
interface Ask {
  readonly ping: (node: string) => Effect.Effect<Pong, unknown>
  readonly nodeSize: (node: string) => Effect.Effect<unknown, unknown>
}

const asking = (probe: Probe.Probe): Ask => ({
  ping: (node) => Effect.map(probe.ping(node), ({ dialect }) => [node, dialect]),
  nodeSize: (node) => probe.nodeSize(node, "raft")
})

/** For where the ring is shown without an answer, too. */
const brief = ({ nodeSize, ping }: Ask): Ask => ({
  ping: (node) => Effect.timeout(ping(node), "1 second"),
  nodeSize: (node) => Effect.timeout(nodeSize(node), "1 second")
})

/** Those of the nodes that answer a ping, in their order. */
const pingAll = ({ ping }: Ask, nodes: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Pong>> =>
  Effect.map(
    Effect.forEach(nodes, (node) => Effect.option(ping(node)), { concurrency: "unbounded" }),
    Arr.getSomes
  )

/** The group of those that are raft members; its leader is the one that does what only a leader does. */
const groupOf = ({ nodeSize }: Ask, pongs: ReadonlyArray<Pong>): Effect.Effect<RaftGroup> => {
  const members = pongs.flatMap(([node, dialect]) => (dialect === "raft" ? [node] : []))
  const leader = Effect.raceAll(members.map((node) => Effect.as(nodeSize(node), node)))
  return Effect.map(Effect.option(leader), (leader) => ({ members, leader: Option.getOrUndefined(leader) }))
}

/** The nodes that answer, for a ring of those alone. */
const liveNodes = ({ connection, key }: RingOptions) =>
  withProbe(connection, (probe, { nodes }) =>
    Effect.gen(function* () {
      const pongs = yield* pingAll(asking(probe), nodes)
      const answering = pongs.map(([node]) => node)
      if (answering.length === 0) return yield* new NoAnswer({ message: "no node answers" })
      const ring = Ring.make(answering, { replicas: connection.replicas })
      const owner = Option.getOrUndefined(Option.flatMap(key, (key) => Ring.lookup(ring, key)))
      const raft = pongs.filter(([, dialect]) => dialect === "raft").map(([node]) => node)
      const known: Known =
        owner === undefined
          ? { nodes: answering, note: raft.length === 0 ? undefined : raftNote }
          : { nodes: answering, raft: raft.includes(owner) ? yield* groupOf(asking(probe), pongs) : undefined }
      return known
    })
  )

/** So many owners of a key are asked for their dialect: those that would have it one after the death of the other. */
const ownersAsked = 3

/** All nodes; the first owners of the key are asked whether they are raft members. */
const nodesWithKey = ({ connection }: RingOptions, key: string) =>
  withProbe(connection, (probe, { nodes }) =>
    Effect.gen(function* () {
      const ask = brief(asking(probe))
      const owners = Ring.owners(Ring.make(nodes, { replicas: connection.replicas }), key).slice(0, ownersAsked)
      const [first] = yield* pingAll(ask, owners)
      const known: Known =
        first === undefined
          ? { nodes, note: silentNote }
          : { nodes, raft: first[1] === "raft" ? yield* groupOf(ask, yield* pingAll(ask, nodes)) : undefined }
      return known
    })
  )

const allNodes = ({ connection }: RingOptions) =>
  Effect.map(readNodes(connection.nodes, connection.timeout), (nodes): Known => ({ nodes }))

const addresses = (option: string, text: Option.Option<string>) =>
  Option.isNone(text)
    ? Effect.succeed<ReadonlyArray<string>>([])
    : Either.match(NodesFile.validate(text.value.split(/[,\n]/), `--${option}`), {
        onLeft: Effect.fail,
        onRight: ({ nodes }) => Effect.succeed(nodes)
      })

/** The ring after `--add` and `--remove`; undefined where neither is given. */
const changed = Effect.fnUntraced(function* (ring: Ring.Ring, options: RingOptions) {
  const [added, removed] = [yield* addresses("add", options.add), yield* addresses("remove", options.remove)]
  if (added.length + removed.length === 0) return undefined
  const nodes = Ring.nodes(ring)
  const stranger = removed.find((node) => !nodes.includes(node))
  if (stranger !== undefined)
    return yield* new UsageError({ message: `--remove ${stranger}: it is not among the nodes` })
  const known = added.find((node) => nodes.includes(node))
  if (known !== undefined) return yield* new UsageError({ message: `--add ${known}: it is among the nodes already` })
  const after = removed.reduce(
    (ring, node) => Ring.remove(ring, node),
    added.reduce((ring, node) => Ring.add(ring, node), ring)
  )
  return Ring.nodes(after).length === 0 ? yield* new UsageError({ message: "no node would be left" }) : after
})

/** `ghostdb ring` and `ghostdb ring KEY` */
export const ring = (options: RingOptions) =>
  Effect.gen(function* () {
    const { nodes, note, raft } = yield* options.live
      ? liveNodes(options)
      : Option.match(options.key, { onNone: () => allNodes(options), onSome: (key) => nodesWithKey(options, key) })
    const ring = Ring.make(nodes, { replicas: options.connection.replicas })
    const after = yield* changed(ring, options)
    if (Option.isSome(options.key) && raft !== undefined)
      yield* showReplicatedKey(raft, options.key.value, options.json)
    else if (Option.isSome(options.key)) yield* showKey(after ?? ring, options.key.value, options.json)
    else if (after !== undefined) yield* showChange(ring, after, options.json)
    else yield* showShares(ring, options.json)
    if (note !== undefined && !options.json) yield* printNote(`ghostdb: ${note}`)
  })

const showReplicatedKey = ({ leader, members }: RaftGroup, key: string, json: boolean) =>
  Effect.gen(function* () {
    const paint = yield* outputPaint
    const leads = leader === undefined ? "no node leads" : `${paint("green", leader)} leads`
    yield* print(
      json
        ? toJson({ key, nodes: members, leader: leader ?? null })
        : `${toJson(key)} is on every node, since these are raft members; ${leads}`
    )
  })

const showKey = (ring: Ring.Ring, key: string, json: boolean) =>
  Effect.gen(function* () {
    const paint = yield* outputPaint
    const [owner = null, next = null] = Ring.owners(ring, key)
    yield* print(
      json
        ? toJson({ key, owner, next })
        : `${toJson(key)} is on ${paint("green", owner ?? "")}; ${
            next === null ? "no other node takes over" : `if it dies, ${paint("yellow", next)} takes over`
          }`
    )
  })

const times = (ratio: number): string => `${ratio.toFixed(2)}x`

const showShares = (ring: Ring.Ring, json: boolean) =>
  Effect.gen(function* () {
    const nodes = Ring.nodes(ring)
    const shares = [...Ring.shares(ring)]
    const deaths = new Map(nodes.map((node) => [node, RingPlan.death(ring, node)]))
    const evenness = RingPlan.evenness(
      nodes,
      [...new Set([...replicasTried, ring.replicas])].sort((a, b) => a - b)
    )
    if (json) {
      return yield* print(
        toJson({
          replicas: ring.replicas,
          maxOverMean: RingPlan.imbalance(ring),
          nodes: shares.map(([node, share]) => ({ node, share, onDeath: deaths.get(node) })),
          evenness
        })
      )
    }
    const largest = Math.max(...shares.map(([, share]) => share))
    const rows = shares.map(([node, share]): ReadonlyArray<Cell> => {
      const busiest = deaths.get(node)?.busiest
      const load = busiest === undefined ? "" : `${percent(busiest.share)} on ${busiest.node}`
      return [node, percent(share), load, { text: bar(share / largest, barWidth).trimEnd(), style: "cyan" }]
    })
    const columns: ReadonlyArray<Column> = [
      { title: "NODE" },
      { title: "SHARE", align: "right" },
      { title: "IF IT DIES, AT MOST" },
      { title: "" }
    ]
    yield* printTable(columns, rows)
    if (nodes.length === 1) return
    yield* print(`\nThe largest share is ${times(RingPlan.imbalance(ring))} the mean. With other --replicas:`)
    yield* printTable(
      ["REPLICAS", "SMALLEST", "LARGEST", "MAX/MEAN"].map((title) => ({ title, align: "right" as const })),
      evenness.map((one): ReadonlyArray<Cell> => {
        const style = one.replicas === ring.replicas ? "bold" : "dim"
        const texts = [String(one.replicas), percent(one.smallest), percent(one.largest), times(one.imbalance)]
        return texts.map((text) => ({ text, style }))
      })
    )
    yield* print("All clients of a cluster must use the same number: a change of it moves most keys.")
  })

const showChange = (before: Ring.Ring, after: Ring.Ring, json: boolean) =>
  Effect.gen(function* () {
    const change = RingPlan.compare(before, after)
    if (json) {
      return yield* print(
        toJson({
          replicas: before.replicas,
          ...change,
          maxOverMean: { before: RingPlan.imbalance(before), after: RingPlan.imbalance(after) }
        })
      )
    }
    const right = (title: string): Column => ({ title, align: "right" })
    yield* printTable(
      [{ title: "NODE" }, right("BEFORE"), right("AFTER")],
      change.shares.map(
        ({ after, before, node }): ReadonlyArray<Cell> => [
          node,
          before === 0 ? "-" : percent(before),
          after === 0 ? "-" : { text: percent(after), style: after > before ? "yellow" : "dim" }
        ]
      )
    )
    yield* print(
      `\n${percent(change.moved)} of the keys move, and are misses until they are stored again. The largest share goes from ` +
        `${times(RingPlan.imbalance(before))} to ${times(RingPlan.imbalance(after))} the mean.`
    )
    yield* printTable(
      [{ title: "FROM" }, { title: "TO" }, right("SHARE")],
      change.moves.map(({ from, share, to }) => [from, to, percent(share)])
    )
  })
