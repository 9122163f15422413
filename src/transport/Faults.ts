/** Faults of transports that do not send over the codec in http/, which has its own. */
import type { Fault } from "../model/GhostDBError.js"

/** Its turn did not come before its deadline. */
export const queueTimeout: Fault = {
  reason: "QueueTimeout",
  detail: "the deadline passed while the request waited to be sent"
}

/** The client has let go of the node, or was closed. */
export const closed: Fault = { reason: "Reset", detail: "the connection was closed by the client" }
