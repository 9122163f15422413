/**
 * The errors of the package. Commands fail with {@link NoMoreServers} or {@link KeyError}, layers that read a nodes file
 * with {@link NodesFileError}.
 */
import * as Schema from "effect/Schema"

/**
 * Why one node did not serve a command.
 *
 * - `Refused`, `Unreachable`, `UnknownHost`, `ConnectTimeout`: no connection could be made.
 * - `Reset`: the connection broke before the whole reply was there.
 * - `AttemptTimeout`: no whole reply within `attemptTimeout`.
 * - `BadReply`: a reply that is no answer to the command: not the dialect's JSON, two documents, an HTTP status other
 *   than 200, or malformed HTTP.
 * - `NotLeader`: the node is a follower of a raft cluster, or the cluster has no leader now.
 * - `Deadline`: the command's `deadline` passed while this node was being tried.
 * - `ReplyTooLarge`: a reply of more than `maxReplyBytes`.
 * - `QueueTimeout`: the command's `deadline` passed while its request waited in this client, behind others for the node.
 * - `Overloaded`: this client could not send in time: it is out of file descriptors, or its event loop was blocked.
 *
 * The last three say nothing against the node, and are not held against it.
 *
 * @category errors
 * @since 0.1.0
 */
export const FailureReason = Schema.Literal(
  "Refused",
  "Unreachable",
  "UnknownHost",
  "ConnectTimeout",
  "Reset",
  "AttemptTimeout",
  "BadReply",
  "NotLeader",
  "Deadline",
  "ReplyTooLarge",
  "QueueTimeout",
  "Overloaded"
)

/**
 * @see the constant of the same name
 *
 * @category errors
 * @since 0.1.0
 */
export type FailureReason = typeof FailureReason.Type

/**
 * What one node did wrong: its address as the nodes file writes it, the reason, and a few plain words. Never holds a
 * value, a header or any other part of a request or reply.
 *
 * @category errors
 * @since 0.1.0
 */
export const NodeFailure = Schema.Struct({
  node: Schema.String,
  reason: FailureReason,
  detail: Schema.String
})

/**
 * @see the constant of the same name
 *
 * @category errors
 * @since 0.1.0
 */
export interface NodeFailure extends Schema.Schema.Type<typeof NodeFailure> {}

/**
 * A {@link NodeFailure} where the node is known from the context: what a `Transport` fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export type Fault = Omit<NodeFailure, "node">

/**
 * No node served the command. `failures` has an entry for each node tried, in the order of the attempts; it is empty
 * where the command's deadline passed before any was. The message tells a client that could not send from nodes that did
 * not answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoMoreServers extends Schema.TaggedError<NoMoreServers>("effect-ghostdb/NoMoreServers")("NoMoreServers", {
  failures: Schema.Array(NodeFailure)
}) {
  override get message(): string {
    const { failures } = this
    if (failures.length === 0) return "no GhostDB node served the command: none could be tried"
    // Nothing was sent: the nodes may be well.
    const what = failures.every(({ reason }) => reason === "QueueTimeout" || reason === "Overloaded")
      ? "this client could not send the GhostDB command in time"
      : "no GhostDB node served the command"
    return `${what}: ${failures
      .map(({ detail, node, reason }) => `${node} ${reason}${detail === "" ? "" : ` (${detail})`}`)
      .join("; ")}`
  }
}

/**
 * The key cannot be used.
 *
 * - `NotAString`: only reachable from untyped code.
 * - `NotWellFormed`: holds a lone surrogate. It has no UTF-8 form, so that two such keys would be one on the server.
 * - `Empty`: the empty string, which v1 servers refuse. It is a key like any other on later servers.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyError extends Schema.TaggedError<KeyError>("effect-ghostdb/KeyError")("KeyError", {
  key: Schema.Unknown,
  reason: Schema.Literal("NotAString", "NotWellFormed", "Empty")
}) {
  override get message(): string {
    switch (this.reason) {
      case "NotAString":
        return `a key is a string, not ${this.key === null ? "null" : typeof this.key}`
      case "NotWellFormed":
        return `the key ${JSON.stringify(this.key)} is not well-formed Unicode: it holds a lone surrogate`
      case "Empty":
        return "GhostDB v1 servers refuse the empty key"
    }
  }
}

/**
 * The nodes file cannot be used: it cannot be read, one of its lines is no node address, or it names no node.
 *
 * @category errors
 * @since 0.1.0
 */
export class NodesFileError extends Schema.TaggedError<NodesFileError>("effect-ghostdb/NodesFileError")(
  "NodesFileError",
  {
    /** The path or URL, as given. */
    file: Schema.String,
    /** The line's number, from 1; absent when the error is not about one line. */
    line: Schema.optionalWith(Schema.Number, { exact: true }),
    /** The line as it stands, without the line break. */
    text: Schema.optionalWith(Schema.String, { exact: true }),
    /** What is wrong, in plain words. */
    reason: Schema.String
  }
) {
  override get message(): string {
    const place = this.line === undefined ? this.file : `${this.file}:${this.line}`
    return `${place}: ${this.reason}${this.text === undefined ? "" : `: ${JSON.stringify(this.text)}`}`
  }
}
