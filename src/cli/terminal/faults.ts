/** Why a node did not answer, in a few words. Pure. */
import type { Fault } from "../../model/GhostDBError.js"
import { escapeControls } from "./output.js"

const words: { readonly [reason in Fault["reason"]]: string } = {
  Refused: "connection refused: nothing listens there",
  Unreachable: "unreachable",
  UnknownHost: "unknown host",
  ConnectTimeout: "no connection in time",
  Reset: "the connection broke",
  AttemptTimeout: "accepts, but does not answer in time",
  BadReply: "answers, but not as a GhostDB node",
  NotLeader: "not the leader",
  Deadline: "out of time",
  ReplyTooLarge: "the reply is too large",
  QueueTimeout: "out of time before the request was sent",
  Overloaded: "this client could not send in time"
}

const aboutTls = /CERT|SSL|TLS|SELF_SIGNED|ISSUER|SIGNATURE|EPROTO/i

/** Reasons whose words say all that the detail does. */
const plain: ReadonlySet<Fault["reason"]> = new Set(["Refused", "UnknownHost", "ConnectTimeout", "AttemptTimeout"])

/** One line: `connection refused: nothing listens there`, `TLS: SELF_SIGNED_CERT_IN_CHAIN`. */
export const faultText = ({ detail, reason }: Fault): string => {
  if (!plain.has(reason) && aboutTls.test(detail)) return `TLS: ${escapeControls(detail)}`
  return plain.has(reason) || detail === "" ? words[reason] : `${words[reason]} (${escapeControls(detail)})`
}
