import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { parse, type Reply } from "../model/Exchange.js"
import type { Fault } from "../model/GhostDBError.js"
import type { FlushResult } from "../model/GhostDBService.js"
import { SnitchMetrics, WatchdogMetrics } from "../model/Metrics.js"

export const bad = (detail: string): Either.Either<never, Fault> => Either.left({ reason: "BadReply", detail })

export const notOk = ({ status }: Reply) => bad(`HTTP status ${status}`)

// Says nothing of the message itself, which may hold what was stored.
export const unexpected = bad("the message is no outcome of the command")

const outcome = <A extends string>(outcomes: ReadonlyArray<A>) => {
  const byMessage = new Map<string, Either.Either<A, Fault>>(outcomes.map((name) => [name, Either.right(name)]))
  return (message: string): Either.Either<A, Fault> => byMessage.get(message) ?? unexpected
}

export const storeOutcome = outcome(["STORED", "NOT_STORED"])

export const deleteOutcome = outcome(["REMOVED", "NOT_FOUND"])

export const flushOutcome = (message: string): Either.Either<FlushResult, Fault> => {
  switch (message) {
    case "FLUSH":
    case "FLUSHED":
      return Either.right("FLUSHED")
    case "ERR_FLUSH":
      return Either.right("ERR_FLUSH")
    default:
      return unexpected
  }
}

const rows = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(Schema.Array(schema))
  return (u: unknown): Either.Either<ReadonlyArray<A>, Fault> =>
    u === null ? Either.right([]) : Either.orElse(decode(u), () => bad("malformed metrics"))
}

export const snitchRows = rows(SnitchMetrics)

export const watchdogRows = rows(WatchdogMetrics)

export const miss: Either.Either<Option.Option<never>, Fault> = Either.right(Option.none())

// Version 1

export const ofSchema =
  <T>(schema: Schema.Schema<T>, name: string) =>
  <A>(read: (reply: T) => Either.Either<A, Fault>) => {
    const is = Schema.is(schema)
    return (reply: Reply): Either.Either<A, Fault> => {
      if (reply.status !== 200) return notOk(reply)
      const parsed = parse(reply.body)
      return is(parsed) ? read(parsed) : bad(`the body is no ${name} reply`)
    }
  }
