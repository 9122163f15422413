/** Faults that a test injects between a client and a node in memory: which of them meets a request. */

import { DurationLike } from "../model/Ttl.js"
import type { NodeCommand } from "./ServerDialect.js"

/**
 * What happens to a request on a node.
 *
 * - `"refuse"`: no connection is made, as if nothing listened.
 * - `"hang"`: the node takes the request, does not carry it out and never answers.
 * - `"reset"`: the connection breaks before the node carries the request out.
 * - `"loseReply"`: the node carries the request out, and no reply arrives.
 * - `"resetReply"`: the node carries the request out, and the connection breaks before the reply arrives.
 * - `{ reply }`: the client gets this text instead, with HTTP status 200 or the `status` given; the request is not carried
 *   out. Anything that is not the dialect's JSON serves as garbage.
 * - `{ latency }`: the request arrives that much later, also when its caller has given up meanwhile. Latencies add up, and
 *   delay what else is injected.
 *
 * @category models
 * @since 0.1.0
 */
export type NodeFault =
  | "refuse"
  | "hang"
  | "reset"
  | "loseReply"
  | "resetReply"
  | { readonly reply: string; readonly status?: number | undefined }
  | { readonly latency: DurationLike }

/**
 * Which requests meet an injected fault.
 *
 * @category options
 * @since 0.1.0
 */
export interface InjectOptions {
  /** Only these commands. Default: all, the client's own pings included. */
  readonly command?: NodeCommand | ReadonlyArray<NodeCommand> | undefined
  /** Only so many requests; then the fault is gone. Default: until it is healed. */
  readonly times?: number | undefined
}

/** What one request meets. */
export interface Encounter {
  /** The sum of the latencies, in milliseconds. */
  readonly latency: number
  /** The fault that was injected last; undefined for a request that is carried out and answered. */
  readonly fault: Exclude<NodeFault, { readonly latency: DurationLike }> | undefined
}

/** The faults of the nodes of one cluster, which change in place. */
export interface FaultInjection {
  /** Injects a fault, and returns the function that takes it back. */
  readonly inject: (node: string, fault: NodeFault, options?: InjectOptions) => () => void
  /** Takes back all faults of a node, or of all nodes. */
  readonly heal: (node?: string) => void
  /** What a request meets, by its command's name on the wire; undefined is nothing. Uses up one of the `times`. */
  readonly meet: (node: string, command: string) => Encounter | undefined
}

interface Injected {
  readonly fault: NodeFault
  readonly commands: ReadonlyArray<string> | undefined
  left: number
}

const commandNames: { readonly [wireName: string]: NodeCommand } = {
  getSnitchMetrics: "systemMetrics",
  getSysMetrics: "systemMetrics",
  getWatchdogMetrics: "applicationMetrics",
  getAppMetrics: "applicationMetrics"
}

/** No faults. */
export const make = (): FaultInjection => {
  const byNode = new Map<string, ReadonlyArray<Injected>>()

  const remove = (node: string, gone: Injected): void => {
    const left = byNode.get(node)?.filter((injected) => injected !== gone) ?? []
    if (left.length === 0) byNode.delete(node)
    else byNode.set(node, left)
  }

  return {
    inject: (node, fault, { command, times = Number.POSITIVE_INFINITY } = {}) => {
      const commands = command === undefined ? undefined : typeof command === "string" ? [command] : command
      const injected: Injected = { fault, commands, left: times }
      byNode.set(node, [injected, ...(byNode.get(node) ?? [])])
      return () => remove(node, injected)
    },
    heal: (node) => {
      if (node === undefined) byNode.clear()
      else byNode.delete(node)
    },
    meet: (node, wireName) => {
      const command = commandNames[wireName] ?? wireName
      const meeting = byNode.get(node)?.filter(({ commands }) => commands === undefined || commands.includes(command))
      if (meeting === undefined || meeting.length === 0) return undefined
      let latency = 0
      let decisive: Encounter["fault"]
      for (const injected of meeting) {
        const { fault } = injected
        if (typeof fault === "object" && "latency" in fault) latency += DurationLike.toMillis("latency", fault.latency)
        else if (decisive === undefined) decisive = fault
        // A fault behind a later one does not come into effect.
        else continue
        injected.left--
        if (injected.left <= 0) remove(node, injected)
      }
      return { latency, fault: decisive }
    }
  }
}
