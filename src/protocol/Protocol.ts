/**
 * The three dialects of GhostDB's servers: requests out, replies in. Pure; knows neither nodes nor connections.
 *
 * A {@link Protocol} makes a {@link Request} for each command: where it is posted, its body, and how its reply is read.
 * Reading never throws: a reply that is no answer to the command is a `BadReply` {@link Fault}.
 */

import type * as Option from "effect/Option"
import type { Dialect } from "../model/Dialect.js"
import type { JsonText, Reply } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { DeleteResult, FlushResult, StoreResult } from "../model/GhostDBService.js"
import type { Json } from "../model/Json.js"
import type { SnitchMetrics, WatchdogMetrics } from "../model/Metrics.js"

/** What a reply says: the answer to the command, or why there is none. */
export type Decoded<A> = { readonly ok: true; readonly answer: A } | { readonly ok: false; readonly fault: Fault }

/** One command in one dialect. */
export interface Request<A> {
  /** The command's name on the wire, without the leading slash. */
  readonly command: string
  /** Makes the body. Throws what encoding the value throws. */
  readonly encode: () => JsonText
  /** The answer where the request is too large to be sent. */
  readonly whenTooLarge: A
  readonly decode: (reply: Reply) => Decoded<A>
}

/** The commands in one dialect. A command that the dialect lacks has an empty answer. */
export interface Protocol {
  readonly dialect: Dialect
  /** Whether the server takes the empty string for a key. */
  readonly allowsEmptyKey: boolean
  readonly get: (key: string) => Request<Option.Option<Json>>
  /** `json` makes the value's JSON, `ttl` is whole seconds or -1. */
  readonly put: (key: string, json: () => JsonText, ttl: number) => Request<StoreResult>
  readonly add: (key: string, json: () => JsonText, ttl: number) => Request<StoreResult>
  readonly delete: (key: string) => Request<DeleteResult>
  readonly flush: Request<FlushResult>
  /** None where the dialect has no such command. */
  readonly nodeSize: Request<Option.Option<number>>
  /** The raft address of the leader, `<ip>:<port>`; none while there is none, and in dialects without one. */
  readonly getLeader: Request<Option.Option<string>>
  readonly getSnitchMetrics: Request<ReadonlyArray<SnitchMetrics>>
  readonly getWatchdogMetrics: Request<ReadonlyArray<WatchdogMetrics>>
}
