import { Connection, type Endpoint, type PendingRequest, settle } from "./Connection.js"
import type { Failure } from "./Failure.js"

/** The connections to one node. */
export class ConnectionPool {
  private readonly connections: Array<Connection> = []
  /** Those that take no more requests and still await replies. */
  private readonly draining = new Set<Connection>()
  private readonly heads = new Map<string, string>()
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

  send(request: PendingRequest): void {
    if (this.closed) settle(request, released)
    else this.pick().send(request)
  }

  expireAttempts(): void {
    for (const connection of [...this.connections, ...this.draining]) connection.expireAttempts()
  }

  /** Whether there is anything that can take too long. */
  get busy(): boolean {
    return this.draining.size > 0 || this.connections.some((connection) => connection.load > 0)
  }

  close(): void {
    this.closed = true
    for (const connection of [...this.connections, ...this.draining]) connection.fail(released)
  }

  /** Ends every request and closes the connections; requests that follow make new ones. */
  interrupt(): void {
    for (const connection of [...this.connections, ...this.draining]) connection.failAll(interrupted)
  }

  /** The connection with the fewest requests; a new one while there are fewer than `size` and none is free. */
  private pick(): Connection {
    let best = this.connections[0]
    for (const connection of this.connections) if (best !== undefined && connection.load < best.load) best = connection
    if (best !== undefined && (best.load === 0 || this.connections.length >= this.size)) return best
    const made = new Connection(this.endpoint, this)
    this.connections.push(made)
    return made
  }

  onDraining(connection: Connection): void {
    this.connections.splice(this.connections.indexOf(connection), 1)
    this.draining.add(connection)
  }

  onClosed(connection: Connection): void {
    this.draining.delete(connection)
  }
}

export const released: Failure = { reason: "Reset", detail: "the connection was closed by the client" }

const interrupted: Failure = { reason: "Reset", detail: "the node has been found dead" }
