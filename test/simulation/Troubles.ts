/** What was wrong with a node, as a client had to see it: the excuses that the invariants accept. */
import type { FailureReason } from "effect-ghostdb"
import type { ClientPlan, Fault, Scenario } from "./Scenario.js"

/** A time in which a client could not use a node, and what it may rightly say of it. */
export interface Trouble {
  readonly node: string
  /** Undefined: every client. */
  readonly client: string | undefined
  readonly from: number
  readonly until: number
  readonly reasons: ReadonlyArray<FailureReason>
}

/** What is under way when a fault ends may still suffer from it. */
const aftermath = 5

/** Whether a client gets no answer in time from a node whose messages are that late: a connection takes two of them. */
const isTooSlow = (latency: number, { attemptTimeout }: ClientPlan): boolean =>
  4 * (latency + 0.5) > 0.9 * attemptTimeout

const silent: ReadonlyArray<FailureReason> = ["AttemptTimeout", "ConnectTimeout", "Deadline"]
const broken: ReadonlyArray<FailureReason> = ["Reset", "Unreachable"]

const troublesOf = (fault: Fault, { clients, faults }: Scenario): ReadonlyArray<Trouble> => {
  const during = { from: fault.at, until: fault.until + aftermath, client: undefined }
  switch (fault._tag) {
    case "down":
      return [{ ...during, node: fault.node, reasons: ["Refused", ...broken] }]
    case "frozen":
      return [{ ...during, node: fault.node, reasons: silent }]
    case "slow": {
      // Several at a time add up.
      const latency = faults.reduce(
        (sum, other) => (other._tag === "slow" && other.node === fault.node ? sum + other.latency : sum),
        0
      )
      return clients.flatMap((client) =>
        isTooSlow(latency, client)
          ? [{ ...during, until: fault.until + 4 * latency, node: fault.node, client: client.name, reasons: silent }]
          : []
      )
    }
    case "garbage":
      return [{ ...during, node: fault.node, reasons: ["BadReply", ...broken] }]
    case "closing":
      return fault.announced ? [] : [{ ...during, node: fault.node, reasons: broken }]
    case "reset":
      return [{ ...during, until: fault.at + aftermath, node: fault.node, reasons: broken }]
    case "upgraded":
      return [{ ...during, until: fault.at + aftermath, node: fault.node, reasons: ["Refused", "BadReply", ...broken] }]
    case "cut":
      return [{ ...during, node: fault.node, client: fault.client, reasons: [...silent, ...broken] }]
    case "lossy":
      return [{ ...during, node: fault.node, client: fault.client, reasons: broken }]
    case "nodes file":
      // The connections to a node that has left are closed; each client reads the file a little later.
      return fault.without.map((node) => ({ ...during, until: fault.until + 200, node, reasons: broken }))
    default:
      return []
  }
}

/** All troubles of a scenario. */
export const troubles = (scenario: Scenario): ReadonlyArray<Trouble> =>
  scenario.faults.flatMap((fault) => troublesOf(fault, scenario))

/** Whether one of them concerns a client and a node at some moment from `from` to `until`. */
export const isTroubled = (
  all: ReadonlyArray<Trouble>,
  client: string,
  node: string,
  from: number,
  until: number,
  reason?: FailureReason
): boolean =>
  all.some(
    (trouble) =>
      trouble.node === node &&
      (trouble.client === undefined || trouble.client === client) &&
      trouble.from <= until &&
      trouble.until >= from &&
      (reason === undefined || trouble.reasons.includes(reason))
  )
