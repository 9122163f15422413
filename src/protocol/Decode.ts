/** The part of reading replies that all dialects share. */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { parse, type Reply } from "../model/Exchange.js"
import type { FlushResult } from "../model/GhostDBService.js"
import { SnitchMetrics, WatchdogMetrics } from "../model/Metrics.js"
import type { Decoded } from "./Protocol.js"

export const ok = <A>(answer: A): Decoded<A> => ({ ok: true, answer })

export const bad = (detail: string): Decoded<never> => ({ ok: false, fault: { reason: "BadReply", detail } })

export const notOk = ({ status }: Reply): Decoded<never> => bad(`HTTP status ${status}`)

// Says nothing of the message itself, which may hold what was stored.
export const unexpected: Decoded<never> = bad("the message is no outcome of the command")

const outcome = <A extends string>(outcomes: ReadonlyArray<A>) => {
  const byMessage = new Map<string, Decoded<A>>(outcomes.map((name) => [name, ok(name)]))
  return (message: string): Decoded<A> => byMessage.get(message) ?? unexpected
}

export const storeOutcome = outcome(["STORED", "NOT_STORED"])

export const deleteOutcome = outcome(["REMOVED", "NOT_FOUND"])

export const flushOutcome = (message: string): Decoded<FlushResult> => {
  switch (message) {
    case "FLUSH":
    case "FLUSHED":
      return ok("FLUSHED")
    case "ERR_FLUSH":
      return ok("ERR_FLUSH")
    default:
      return unexpected
  }
}

const rows = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(Schema.Array(schema))
  return (u: unknown): Decoded<ReadonlyArray<A>> =>
    u === null
      ? ok([])
      : Either.match(decode(u), { onLeft: () => bad("malformed metrics"), onRight: ok<ReadonlyArray<A>> })
}

export const snitchRows = rows(SnitchMetrics)

export const watchdogRows = rows(WatchdogMetrics)

export const miss: Decoded<Option.Option<never>> = ok(Option.none())

/** Reads a reply whose body must pass a guard. `name` is the dialect that the guard stands for. */
export const guarded =
  <T>(is: (u: unknown) => u is T, name: string) =>
  <A>(read: (reply: T) => Decoded<A>) =>
  (reply: Reply): Decoded<A> => {
    if (reply.status !== 200) return notOk(reply)
    const parsed: unknown = parse(reply.body)
    return is(parsed) ? read(parsed) : bad(`the body is no ${name} reply`)
  }
