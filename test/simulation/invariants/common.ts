/** What the invariants ask of a history. */
import * as Option from "effect/Option"
import { Ring, type Topology } from "effect-ghostdb"
import type { Process } from "../Process.js"
import type { ClientPlan } from "../Scenario.js"
import { isTroubled, type Trouble } from "../Troubles.js"
import { type Entry, type History, show, showOutcome } from "../World.js"

/** A promise: how a history has broken it, in a line each. */
export type Invariant = (history: History) => ReadonlyArray<string>

/** What a computer takes for what takes no time, in milliseconds. */
export const instant = 10

/** How long a command may have troubles to tell of: the death of a node may lie back. */
export const memory = 20_000

/** An operation and its outcome, for people. */
export const line = ({ began, ended, operation, outcome }: Entry): string =>
  `${operation.client} #${operation.id} ${show(operation.command)} ${operation.region} from ${began.toFixed(1)} to ${ended?.toFixed(1) ?? "the end"}: ${outcome === undefined ? "nothing" : showOutcome(outcome)}`

/** The options of a client. */
export const planOf = ({ scenario }: History, client: string): ClientPlan => {
  const plan = scenario.clients.find(({ name }) => name === client)
  if (plan === undefined) throw new Error(`no client ${client}`)
  return plan
}

/** The process of a client. */
export const processOf = ({ processes }: History, client: string): Process => {
  const process = processes.get(client)
  if (process === undefined) throw new Error(`no process ${client}`)
  return process
}

/** Whether a client was killed in the middle of everything. */
export const isKilled = (history: History, client: string): boolean => processOf(history, client).killed

/** How long something took that could not go on while the process stood still. */
export const isLate = (history: History, client: string, from: number, until: number, limit: number): boolean =>
  until > processOf(history, client).runsAt(from + limit) + instant

/** The key of an operation, if it has one. */
export const keyOf = ({ operation: { command } }: Entry): string | undefined =>
  "key" in command ? command.key : undefined

/** The value that an operation writes, if it writes one. */
export const valueOf = ({ operation: { command } }: Entry): string | undefined =>
  "value" in command ? command.value : undefined

/** What a read has found: undefined where it failed, null where there was nothing. */
export const found = ({ operation, outcome }: Entry): string | null | undefined =>
  (operation.command._tag === "get" || operation.command._tag === "getOrElse") && outcome?._tag === "ok"
    ? typeof outcome.answer === "string"
      ? outcome.answer
      : null
    : undefined

/** Whether any node was in trouble, as a client saw it, at some moment from `from` to `until`. */
export const isAnyTroubled = (
  history: History,
  all: ReadonlyArray<Trouble>,
  client: string,
  from: number,
  until: number
): boolean => history.scenario.nodes.some(({ address }) => isTroubled(all, client, address, from, until))

/** Whether a node is a member of a raft group; where the nodes are mixed, the ring decides. */
export const isReplicated = ({ scenario }: History): boolean =>
  scenario.nodes.every(({ dialect }) => dialect === "raft")

/** The nodes of a view's ring; the same for all clients that see the same nodes live. */
const owner = (view: Topology, replicas: number, key: string): string | undefined =>
  Option.getOrUndefined(
    Ring.lookup(
      Ring.make(
        view.live.map(({ node }) => node),
        { replicas }
      ),
      key
    )
  )

/** The owner of a key as a client saw it, if that was one and the same from `from` to `until`. */
export const ownerThroughout = (
  history: History,
  client: string,
  key: string,
  from: number,
  until: number
): string | undefined => {
  const views = history.views.get(client) ?? []
  const first = views.findLastIndex(({ time }) => time <= from)
  const seen = views.slice(Math.max(first, 0)).filter(({ time }) => time <= until)
  const owners = new Set(seen.map(({ topology }) => owner(topology, history.scenario.replicas, key)))
  const [only] = owners
  return owners.size === 1 ? only : undefined
}

/** The owner of a key while all nodes live. */
export const ownerByFile = ({ scenario }: History, key: string): string | undefined =>
  Option.getOrUndefined(
    Ring.lookup(
      Ring.make(
        scenario.nodes.map(({ address }) => address),
        { replicas: scenario.replicas }
      ),
      key
    )
  )

/** Whether a process stood still at some moment from `from` to `until`. */
export const stalledIn = (history: History, client: string, from: number, until: number): boolean =>
  processOf(history, client).stalls.some((stall) => stall.from <= until && stall.until >= from)

/** Whether a node was slower than its clients' patience may like, and yet did nothing wrong. */
export const isSlowed = ({ scenario }: History, node: string, from: number, until: number): boolean =>
  scenario.faults.some(
    (fault) =>
      (fault._tag === "paced" || fault._tag === "slow") &&
      fault.node === node &&
      fault.at <= until &&
      // What has piled up meanwhile is still being served.
      fault.until + memory >= from
  )

/** Whether a client never ran out of file descriptors from `from` to `until`. */
export const hasFiles = ({ scenario }: History, client: string, from: number, until: number): boolean =>
  !scenario.faults.some(
    (fault) => fault._tag === "no files" && fault.client === client && fault.at <= until && fault.until + 2500 >= from
  )
