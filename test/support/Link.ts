/** The network between a client and a server, as a test can break it: a TCP proxy on loopback. */
import * as Net from "node:net"
import { Effect, type Scope } from "effect"
import { listening } from "./listening.js"

/** A way to a server. */
export interface Link {
  /** What a client connects to. */
  readonly address: string
  /**
   * Accepts connections and takes what is sent from now on, and passes nothing on in either direction, an end neither: as
   * a process that is stopped, or a cable that is pulled out.
   */
  readonly freeze: Effect.Effect<void>
  /** Passes on what was held. */
  readonly thaw: Effect.Effect<void>
  /** Waits until so many requests of this command are held. */
  readonly holding: (command: string, count: number) => Effect.Effect<void>
}

/** One connection through the link, and what it holds. */
class Tunnel {
  private readonly up: Net.Socket
  private requests: Array<Buffer> = []
  private replies: Array<Buffer> = []
  private ended = false

  constructor(
    private readonly down: Net.Socket,
    port: number,
    private readonly isFrozen: () => boolean,
    private readonly onHeld: () => void
  ) {
    this.up = Net.connect({ host: "127.0.0.1", port, noDelay: true })
    down.setNoDelay(true)
    down.on("data", (chunk: Buffer) => {
      this.requests.push(chunk)
      this.pass()
    })
    this.up.on("data", (chunk: Buffer) => {
      this.replies.push(chunk)
      this.pass()
    })
    for (const socket of [down, this.up]) {
      socket.on("error", () => undefined)
      socket.on("close", () => {
        this.ended = true
        this.pass()
      })
    }
  }

  held(command: string): number {
    return Buffer.concat(this.requests).toString("latin1").split(`POST /${command} `).length - 1
  }

  pass(): void {
    if (this.isFrozen()) {
      this.onHeld()
      return
    }
    for (const chunk of this.requests.splice(0)) this.up.write(chunk)
    for (const chunk of this.replies.splice(0)) this.down.write(chunk)
    if (this.ended) this.close()
  }

  close(): void {
    this.down.destroy()
    this.up.destroy()
  }
}

/** A link to the server at a port of `127.0.0.1`, itself at a port of `host` that the system assigns. */
export const make = Effect.fnUntraced(function* (
  port: number,
  host = "127.0.0.1"
): Effect.fn.Return<Link, never, Scope.Scope> {
  const tunnels = new Set<Tunnel>()
  const waiting = new Set<() => void>()
  let frozen = false
  const look = () => {
    for (const ready of waiting) ready()
  }
  const server = Net.createServer((down) => {
    const tunnel = new Tunnel(down, port, () => frozen, look)
    tunnels.add(tunnel)
    down.once("close", () => {
      if (!frozen) tunnels.delete(tunnel)
    })
  })
  const own = yield* listening(server, host, () => {
    for (const tunnel of tunnels) tunnel.close()
  })
  return {
    address: `${host}:${own}`,
    freeze: Effect.sync(() => {
      frozen = true
    }),
    thaw: Effect.sync(() => {
      frozen = false
      for (const tunnel of tunnels) tunnel.pass()
    }),
    holding: (command, count) =>
      Effect.async<void>((resume) => {
        const ready = () => {
          const held = [...tunnels].reduce((sum, tunnel) => sum + tunnel.held(command), 0)
          if (held < count) return
          waiting.delete(ready)
          resume(Effect.void)
        }
        waiting.add(ready)
        ready()
        return Effect.sync(() => waiting.delete(ready))
      })
  }
})
