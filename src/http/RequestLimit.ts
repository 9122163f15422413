/**
 * How many requests a connection to the node may carry, as far as the node has shown it: some servers close a connection
 * after so many requests, with or without announcing it. What is written beyond the limit would be lost or sent twice.
 */
export class RequestLimit {
  /** Infinite until a connection was closed by the node while requests were in flight on it. */
  requests = Number.POSITIVE_INFINITY
  /** Whether the node announces the last reply. If it does, a reply that is not the last lifts the limit. */
  private announced = false

  /** The node has closed a connection in mid-pipeline, after so many replies. */
  closedAfter(replies: number, announced: boolean): void {
    // Without any reply, it was not a limit that closed the connection.
    if (replies === 0) return
    this.requests = replies
    this.announced = announced
  }

  /** A connection has had so many replies, and the last one does not close it. */
  stayedOpenAfter(replies: number): void {
    if (this.announced && replies >= this.requests) this.lift()
  }

  /** A connection stayed open after as many requests as the limit allows: there is no limit, or no longer. */
  lift(): void {
    this.requests = Number.POSITIVE_INFINITY
  }
}
