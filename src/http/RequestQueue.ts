/** The requests to one node that wait to be written, in the order in which they were made. */

import { Buffer } from "node:buffer"
import { Deque } from "./Deque.js"
import type { Failure } from "./Failure.js"

/** A whole reply. */
export interface Reply {
  readonly status: number
  readonly body: string
}

export type Payload = string | Uint8Array

/** A moment at which requests are looked at for what has taken too long. Times are milliseconds of one monotonic clock. */
export interface Tick {
  readonly now: number
  /**
   * The process was blocked since then: a deadline that has passed meanwhile says nothing about the node. Infinite when
   * it was not.
   */
  readonly blockedSince: number
}

/** The maker of requests, which knows each by an index: of one, or of many that would cost more with a maker each. */
export interface Requester {
  /** Makes the body when the request can be written, and again if it is sent again. Undefined: it is not sent. */
  readonly payload: (index: number) => Payload | undefined
  /** Whether anyone waits for the outcome. Looked at while the request waits: it is not sent otherwise. */
  readonly isWanted: (index: number) => boolean
  /** Called once at most for each request. */
  readonly settle: (index: number, outcome: Reply | Failure) => void
}

/** A request from the moment it is made until it has its one and only outcome. */
export class PendingRequest {
  /** When it was last written. */
  writtenAt = 0

  constructor(
    /** Up to the digits of the Content-Length. */
    readonly head: string,
    private requester: Requester | undefined,
    private readonly index: number,
    readonly deadline: number
  ) {}

  /** A settled request keeps its place in the pipeline and nothing else. */
  get isSettled(): boolean {
    return this.requester === undefined
  }

  settle(outcome: Reply | Failure): void {
    const requester = this.requester
    this.requester = undefined
    if (requester !== undefined) requester.settle(this.index, outcome)
  }

  /** Whether anyone waits for the outcome. */
  get isWanted(): boolean {
    return this.requester?.isWanted(this.index) === true
  }

  /** It is not sent, and has no outcome. */
  drop(): void {
    this.requester = undefined
  }

  /** Undefined when the request is not to be sent. */
  payload(): Payload | undefined {
    return this.requester?.payload(this.index)
  }

  /** Ends the request if its deadline has passed. */
  expire({ blockedSince, now }: Tick, failure: Failure): void {
    if (now < this.deadline || this.isSettled) return
    this.settle(
      this.deadline > blockedSince
        ? { reason: "Overloaded", detail: `this process was blocked for ${Math.round(now - blockedSince)} ms` }
        : failure
    )
  }
}

/** What goes into one write: the text, then the bytes. */
export interface Batch {
  readonly requests: number
  readonly text: string
  readonly bytes: Uint8Array | undefined
}

/** A batch takes no more requests once it has this many characters. */
const fullBatch = 64 * 1024

/** Requests that nobody wants are looked for when the queue is this long, and again whenever it has doubled. */
const minSweptLength = 1024

const queueTimeout: Failure = { reason: "QueueTimeout", detail: "the request was not sent before the deadline" }

const replyTooLate: Failure = {
  reason: "QueueTimeout",
  detail: "the request waited so long that no reply could come before the deadline"
}

export class RequestQueue {
  private requests = new Deque<PendingRequest>()
  private sweptLength = minSweptLength
  /** No request in the queue has an earlier deadline. */
  nextDeadline = Number.POSITIVE_INFINITY

  get length(): number {
    return this.requests.length
  }

  push(request: PendingRequest): void {
    if (this.length >= this.sweptLength) {
      this.sweep()
      this.sweptLength = Math.max(minSweptLength, 2 * this.length)
    }
    this.requests.push(request)
    if (request.deadline < this.nextDeadline) this.nextDeadline = request.deadline
  }

  /** Puts requests that are urgent, or that the node has not processed, at the front, in their order. */
  putBack(requests: ReadonlyArray<PendingRequest>): void {
    for (const request of [...requests].reverse()) {
      if (request.isSettled) continue
      this.requests.unshift(request)
      if (request.deadline < this.nextDeadline) this.nextDeadline = request.deadline
    }
  }

  /**
   * Takes what goes into the next write: `most` requests at most, which are appended to `inFlight`. Bodies are made now
   * and not kept: strings that live until the reply are copied by garbage collections. A request whose deadline is less
   * than `replyTime` milliseconds away is not sent: its reply would come too late, and one that can be answered in time
   * would wait for it.
   */
  take(most: number, now: number, inFlight: Deque<PendingRequest>, replyTime = 0): Batch | undefined {
    let requests = 0
    let text = ""
    let bytes: Uint8Array | undefined
    while (requests < most && bytes === undefined && text.length < fullBatch) {
      const request = this.requests.shift()
      if (request === undefined) break
      if (!request.isWanted) {
        request.drop()
        continue
      }
      if (request.deadline <= now + replyTime) {
        request.settle(request.deadline <= now ? queueTimeout : replyTooLate)
        continue
      }
      const payload = request.payload()
      if (payload === undefined) {
        request.drop()
        continue
      }
      if (typeof payload === "string") text += `${request.head}${Buffer.byteLength(payload)}\r\n\r\n${payload}`
      else {
        bytes = payload
        text += `${request.head}${payload.length}\r\n\r\n`
      }
      request.writtenAt = now
      inFlight.push(request)
      requests += 1
    }
    return requests === 0 ? undefined : { requests, text, bytes }
  }

  /** Ends those whose deadline has passed. `failure` is what kept them, where it was not the queue. */
  expire(tick: Tick, failure: Failure = queueTimeout): void {
    if (tick.now < this.nextDeadline) return
    for (const request of this.requests) request.expire(tick, failure)
    this.sweep()
  }

  fail(failure: Failure): void {
    const requests = this.requests
    this.requests = new Deque()
    this.nextDeadline = Number.POSITIVE_INFINITY
    for (const request of requests) request.settle(failure)
  }

  /** Removes what is settled or not wanted, and looks for the earliest deadline. */
  private sweep(): void {
    this.nextDeadline = Number.POSITIVE_INFINITY
    this.requests.retain((request) => {
      if (!request.isWanted) {
        request.drop()
        return false
      }
      this.nextDeadline = Math.min(this.nextDeadline, request.deadline)
      return true
    })
  }
}
