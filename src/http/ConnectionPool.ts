import { nextTick } from "node:process"
import { Connection, type Endpoint, type Owner } from "./Connection.js"
import type { Failure } from "./Failure.js"
import { RequestLimit } from "./RequestLimit.js"
import { type PendingRequest, RequestQueue, type Tick } from "./RequestQueue.js"

/**
 * The connections to one node, and the requests that wait for them. A request waits before its body is made. It is
 * written in its turn, as soon as a connection has fewer than `pipelining` requests in flight and its socket takes bytes.
 */
export class ConnectionPool implements Owner {
  readonly queue = new RequestQueue()
  readonly limit = new RequestLimit()
  private readonly connections: Array<Connection> = []
  /** Those that take no more requests and are still open. */
  private readonly draining = new Set<Connection>()
  private readonly heads = new Map<string, string>()
  private inFlightDeadline = Number.POSITIVE_INFINITY
  /** How many connections have been made. */
  private made = 0
  private flushing = false
  private closed = false

  constructor(
    private readonly endpoint: Endpoint,
    private readonly size: number,
    private readonly headOf: (command: string) => string
  ) {}

  /** A request's head, up to the digits of its Content-Length. */
  head(command: string): string {
    let head = this.heads.get(command)
    if (head === undefined) {
      head = this.headOf(command)
      this.heads.set(command, head)
    }
    return head
  }

  /** Sends the request in its turn, or before those that wait where it is urgent: in this tick where there is room. */
  send(request: PendingRequest, urgent: boolean): void {
    if (this.closed) {
      request.settle(released)
      return
    }
    if (urgent) this.queue.putBack([request])
    else this.queue.push(request)
    this.connect()
    this.flushLater()
  }

  /** {@link send} for many: they are written as soon as there is room, in their order. */
  sendAll(requests: ReadonlyArray<PendingRequest>): void {
    if (this.closed) {
      for (const request of requests) request.settle(released)
      return
    }
    for (const request of requests) {
      this.queue.push(request)
      if (this.connections.length < this.size) this.connect()
    }
    this.flushLater()
  }

  /** Ends what has taken too long. */
  expire(tick: Tick): void {
    const failure = this.isReady ? undefined : notConnected
    this.inFlightDeadline = Number.POSITIVE_INFINITY
    for (const connection of this.open) {
      this.inFlightDeadline = Math.min(this.inFlightDeadline, connection.expire(tick))
    }
    this.queue.expire(tick, failure)
  }

  /** The process was late by so many milliseconds: they are not counted as time that the node has taken. */
  postpone(millis: number): void {
    for (const connection of this.open) connection.postpone(millis)
  }

  /** Closes the connections that no request has used for `idleTimeout` milliseconds, and returns when to look again. */
  closeIdle(now: number, idleTimeout: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const connection of [...this.connections]) next = Math.min(next, connection.closeIfIdle(now, idleTimeout))
    return next
  }

  /** No deadline passes earlier. */
  get nextDeadline(): number {
    return Math.min(this.queue.nextDeadline, this.inFlightDeadline)
  }

  /** Whether there is anything that can take too long. */
  get busy(): boolean {
    return (
      this.queue.length > 0 ||
      this.draining.size > 0 ||
      this.connections.some((connection) => connection.load > 0 || !connection.isReady)
    )
  }

  /** Closes all connections. Every request ends, also those that are sent later. */
  close(): void {
    this.closed = true
    this.queue.fail(released)
    for (const connection of this.open) connection.fail(released)
  }

  /** Ends every request and closes the connections; requests that follow make new ones. */
  interrupt(): void {
    // Before the connections, whose end makes new ones for what waits.
    this.queue.fail(interrupted)
    for (const connection of this.open) connection.fail(interrupted)
  }

  onWritable(): void {
    if (this.queue.length > 0) this.flushLater()
  }

  onFull(connection: Connection): void {
    // Made after another was full, and full as well while that one is still open.
    const outlived = [...this.draining].filter((other) => other.fullBefore <= connection.serial)
    if (outlived.length === 0) connection.linger(this.made)
    else for (const other of outlived) other.outlive()
    this.onWritable()
  }

  onDraining(connection: Connection, failure: Failure | undefined): void {
    this.connections.splice(this.connections.indexOf(connection), 1)
    this.draining.add(connection)
    // After a failure, what waits is left to the connections that there are, and the next request makes a new one.
    if (failure === undefined) this.connect()
    else if (!this.isReady) this.queue.fail(failure)
  }

  onClosed(connection: Connection): void {
    this.draining.delete(connection)
  }

  onUnprocessed(requests: ReadonlyArray<PendingRequest>): void {
    this.queue.putBack(requests)
    this.connect()
  }

  private get open(): ReadonlyArray<Connection> {
    return [...this.connections, ...this.draining]
  }

  private get isReady(): boolean {
    return this.connections.some((connection) => connection.isReady)
  }

  /** Makes a new connection while there are fewer than `size`, and more requests wait than connections are idle. */
  private connect(): void {
    if (this.closed || this.connections.length >= this.size) return
    const idle = this.connections.filter((connection) => connection.load === 0).length
    if (this.queue.length > idle) this.connections.push(new Connection(this.endpoint, this, this.made++))
  }

  /** The requests of one tick are one write. */
  private flushLater(): void {
    if (this.flushing || this.connections.length === 0) return
    this.flushing = true
    nextTick(flush, this)
  }

  /** Gives each connection its share of what waits. */
  flush(): void {
    this.flushing = false
    let takers = this.connections.length
    for (const connection of [...this.connections]) {
      if (this.queue.length === 0) return
      connection.write(Math.ceil(this.queue.length / takers))
      takers -= 1
    }
  }
}

const flush = (pool: ConnectionPool): void => pool.flush()

export const released: Failure = { reason: "Reset", detail: "the connection was closed by the client" }

const notConnected: Failure = { reason: "Deadline", detail: "no connection before the deadline" }

const interrupted: Failure = { reason: "Reset", detail: "the node has been found dead" }
