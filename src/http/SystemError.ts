import type { Failure } from "./Failure.js"

const reasons: { readonly [code: string]: Failure["reason"] } = {
  ECONNREFUSED: "Refused",
  ConnectionRefused: "Refused",
  ENOTFOUND: "UnknownHost",
  EAI_AGAIN: "UnknownHost",
  EHOSTUNREACH: "Unreachable",
  EHOSTDOWN: "Unreachable",
  ENETUNREACH: "Unreachable",
  ENETDOWN: "Unreachable",
  EADDRNOTAVAIL: "Unreachable",
  EACCES: "Unreachable",
  ETIMEDOUT: "ConnectTimeout",
  UND_ERR_CONNECT_TIMEOUT: "ConnectTimeout",
  // This process or its system has run out of something: nothing is wrong with the node.
  EMFILE: "Overloaded",
  ENFILE: "Overloaded",
  ENOBUFS: "Overloaded",
  ENOMEM: "Overloaded",
  EAI_MEMORY: "Overloaded"
}

/** Out of ephemeral ports. On IPv6, the code can also mean that the system has no address of that family. */
const isOutOfPorts = (error: object): boolean =>
  "code" in error &&
  error.code === "EADDRNOTAVAIL" &&
  "address" in error &&
  typeof error.address === "string" &&
  !error.address.includes(":")

/**
 * What an error of the operating system, or of a library that wraps one, says of a connection. `otherwise` is the reason
 * of codes that are not about connecting.
 */
export const failureOfSystemError = (error: unknown, otherwise: Failure["reason"] = "Reset"): Failure => {
  for (let cause = error, depth = 0; typeof cause === "object" && cause !== null && depth < 5; depth++) {
    if ("code" in cause && typeof cause.code === "string") {
      const reason = isOutOfPorts(cause) ? "Overloaded" : (reasons[cause.code] ?? otherwise)
      return { reason, detail: cause.code }
    }
    cause = "cause" in cause ? cause.cause : undefined
  }
  return { reason: otherwise, detail: "" }
}
