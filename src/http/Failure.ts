/**
 * Why a request has no reply, in the words of `FailureReason`. `detail` is a few plain words, and never holds a part of a
 * request or reply.
 */
export interface Failure {
  readonly reason:
    | "Refused"
    | "Unreachable"
    | "UnknownHost"
    | "ConnectTimeout"
    | "Reset"
    | "AttemptTimeout"
    | "BadReply"
    | "Deadline"
    | "ReplyTooLarge"
    | "QueueTimeout"
    | "Overloaded"
  readonly detail: string
}
