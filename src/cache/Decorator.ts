import type { DataCommands, GhostDBService } from "../model/GhostDBService.js"
import * as PerClient from "./PerClient.js"

/** What a decorator of a client changes. */
export interface Changes extends Partial<Omit<GhostDBService, keyof DataCommands>>, DataCommands {}

/** The client with some of its commands changed; all others are forwarded to it. */
export const make = (db: GhostDBService, state: PerClient.PerClient, changes: Changes): GhostDBService => {
  const decorated: GhostDBService = {
    flush: db.flush,
    ping: db.ping,
    nodeSize: (node) => db.nodeSize(node),
    leader: db.leader,
    getSnitchMetrics: db.getSnitchMetrics,
    getWatchdogMetrics: db.getWatchdogMetrics,
    topology: db.topology,
    ...changes
  }
  return PerClient.carry(decorated, state)
}
