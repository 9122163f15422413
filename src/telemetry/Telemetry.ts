/** What the client tells of its commands: metrics, named after OpenTelemetry's conventions for database clients. */
import * as Option from "effect/Option"
import { boundaries, counter, histogram, type Labels, upDownCounter } from "./Instrument.js"
import type { Registry } from "./Registry.js"

/** The commands, by their names in the service. */
export type Operation =
  | "get"
  | "put"
  | "add"
  | "delete"
  | "flush"
  | "nodeSize"
  | "getSnitchMetrics"
  | "getWatchdogMetrics"

const memoize = <A>(make: (label: string) => A) => {
  const made = new Map<string, A>()
  return (label: string): A => {
    let one = made.get(label)
    if (one === undefined) {
      one = make(label)
      made.set(label, one)
    }
    return one
  }
}

/** Seconds: 0.05 ms to 10 s, as the conventions have it, with the lower end that a cache needs. */
const durations = boundaries([
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10
])

/** Tells how commands of one name end. */
export interface Recorder {
  readonly operation: Operation
  readonly succeeded: (answer: unknown, seconds: number) => void
  /** `errorType` is the tag of the command's error. */
  readonly failed: (errorType: string, seconds: number) => void
}

/** What an answer says in a label: `hit`, `miss`, `stored`, `not_stored`, … */
const outcomeOf = (answer: unknown): string => {
  if (typeof answer === "string") return answer.toLowerCase()
  return Option.isOption(answer) ? (answer._tag === "Some" ? "hit" : "miss") : "ok"
}

/** Seconds that commands took; with an error type, those that failed with it. */
export const operationDuration = (operation: string, errorType?: string) =>
  histogram("db.client.operation.duration", durations, "Time that commands took, retries included", {
    "db.operation.name": operation,
    unit: "s",
    ...(errorType === undefined ? {} : { "error.type": errorType })
  })

const operationsWith = (operation: string, labels: Labels) =>
  counter("ghostdb.client.operations", "Commands, by outcome", { "db.operation.name": operation, ...labels })

/** Commands, by outcome. */
export const operations = (operation: string, outcome: string) =>
  operationsWith(operation, { "ghostdb.outcome": outcome })

/** Commands that failed, by the tag of their error. */
export const failedOperations = (operation: string, errorType: string) =>
  operationsWith(operation, { "ghostdb.outcome": "error", "error.type": errorType })

const recorderOf = memoize((operation: string) => {
  const done = {
    duration: operationDuration(operation),
    count: memoize((outcome) => operations(operation, outcome))
  }
  const failed = memoize((errorType) => ({
    duration: operationDuration(operation, errorType),
    count: failedOperations(operation, errorType)
  }))
  return {
    counted: done.count,
    countedErrors: (errorType: string) => failed(errorType).count,
    in: (registry: Registry) => ({
      succeeded: (answer: unknown, seconds: number) => {
        done.duration.unsafeUpdate(seconds, registry)
        done.count(outcomeOf(answer)).unsafeUpdate(1, registry)
      },
      failed: (errorType: string, seconds: number) => {
        failed(errorType).duration.unsafeUpdate(seconds, registry)
        failed(errorType).count.unsafeUpdate(1, registry)
      }
    })
  }
})

const nothing = () => {}

/** The recorder of a command; one that does nothing without a registry. */
export const recorder = (operation: Operation, registry: Registry | undefined): Recorder =>
  registry === undefined
    ? { operation, succeeded: nothing, failed: nothing }
    : { operation, ...recorderOf(operation).in(registry) }

/** Counts how the commands of a batch end: one observation of its duration, and one update for each outcome. */
export interface BatchRecorder {
  readonly succeeded: (answer: unknown) => void
  /** `errorType` is the tag of a command's error. */
  readonly failed: (errorType: string) => void
  /** The batch has ended. */
  readonly ended: (seconds: number) => void
}

/** The operation of a batch, in the words of OpenTelemetry's conventions. */
export const batchOf = (operation: Operation): `BATCH ${Operation}` => `BATCH ${operation}`

/** The recorder of one batch; one that does nothing without a registry. */
export const batchRecorder = (operation: Operation, registry: Registry | undefined): BatchRecorder => {
  if (registry === undefined) return { succeeded: nothing, failed: nothing, ended: nothing }
  const outcomes = new Map<string, number>()
  const errors = new Map<string, number>()
  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  const { counted, countedErrors } = recorderOf(operation)
  return {
    // Answers that are texts are counted by themselves: their labels are made once.
    succeeded: (answer) => add(outcomes, typeof answer === "string" ? answer : outcomeOf(answer)),
    failed: (errorType) => add(errors, errorType),
    ended: (seconds) => {
      batchDuration(operation).unsafeUpdate(seconds, registry)
      for (const [outcome, count] of outcomes) counted(outcome.toLowerCase()).unsafeUpdate(count, registry)
      for (const [errorType, count] of errors) countedErrors(errorType).unsafeUpdate(count, registry)
    }
  }
}

const batchDuration = memoize((operation: string) => operationDuration(`BATCH ${operation}`))

/** Series of one metric for so many nodes at most, as in OpenTelemetry's SDKs; further nodes share a series. */
const maxNodes = 2000

const overflow: Labels = { "otel.metric.overflow": "true" }

/** Effect keeps a metric for as long as the process lives, so that nodes which come and go must not have one each. */
const memoizeNodes = <A>(make: (labels: Labels) => A) => {
  const made = new Map<string, A>()
  let others: A | undefined
  return (node: string): A => {
    let one = made.get(node)
    if (one !== undefined) return one
    if (made.size >= maxNodes) {
      others ??= make(overflow)
      return others
    }
    one = make({ "server.address": node })
    made.set(node, one)
    return one
  }
}

/** Requests sent to a node. Nodes after the first 2,000 of the process are counted together, as in OpenTelemetry's SDKs. */
export const attempts = memoizeNodes((labels) =>
  counter("ghostdb.client.attempts", "Requests sent to a node, retries included", labels)
)
const attemptFailuresOf = memoizeNodes((labels) =>
  memoize((reason) =>
    counter("ghostdb.client.attempt.failures", "Attempts that failed, by reason", { ...labels, "error.type": reason })
  )
)
/** Attempts on a node that failed, by reason. */
export const attemptFailures = (node: string, reason: string) => attemptFailuresOf(node)(reason)

/** Commands that went on to another node. */
export const failovers = counter("ghostdb.client.failovers", "Commands that went on to another node")

/** The nodes in a state. */
export const nodes = memoize((state) =>
  upDownCounter("ghostdb.client.nodes", "Nodes of all clients, by state", { "ghostdb.node.state": state })
)

/** Bytes, by direction. */
export const networkIo = memoize((direction) =>
  counter("ghostdb.client.network.io", "Bytes of requests and replies", {
    "network.io.direction": direction,
    unit: "By"
  })
)
const sent = networkIo("transmit")
const received = networkIo("receive")

/** Counts the attempts of commands. */
export interface Attempts {
  /** So many requests go to a node. */
  readonly attempted: (node: string, count: number) => void
  /** It has failed. */
  readonly failed: (node: string, reason: string) => void
  /** A command leaves a node for another one. */
  readonly failedOver: () => void
}

/** The counters of attempts; they count nothing without a registry. */
export const attemptsOf = (registry: Registry | undefined): Attempts =>
  registry === undefined
    ? { attempted: nothing, failed: nothing, failedOver: nothing }
    : {
        attempted: (node, count) => attempts(node).unsafeUpdate(count, registry),
        failed: (node, reason) => attemptFailures(node, reason).unsafeUpdate(1, registry),
        failedOver: () => failovers.unsafeUpdate(1, registry)
      }

/** There are so many more live and dead nodes than before. */
export const nodesChanged = (registry: Registry, live: number, dead: number): void => {
  if (live !== 0) nodes("live").unsafeUpdate(live, registry)
  if (dead !== 0) nodes("dead").unsafeUpdate(dead, registry)
}
/** Bytes were written to a socket. */
export const wrote = (registry: Registry, bytes: number): void => sent.unsafeUpdate(bytes, registry)
/** Bytes were read from a socket. */
export const read = (registry: Registry, bytes: number): void => received.unsafeUpdate(bytes, registry)
