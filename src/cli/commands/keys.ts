/** The commands on keys. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { GhostDB } from "../../GhostDB.js"
import { defaults } from "../../model/GhostDBConfig.js"
import type { Json } from "../../model/Json.js"
import type { Ttl } from "../../model/Ttl.js"
import { type Connection, withClient } from "../connection.js"
import { NegativeAnswer, UsageError } from "../exit.js"
import { firstInexact } from "../line/numbers.js"
import { standardInput } from "../nodes.js"
import { bytes, escapeControlsInLines, print, toJson, write } from "../terminal/output.js"
import { Standard } from "../terminal/Standard.js"

/** What the commands on a key share. */
interface OnKey {
  readonly connection: Connection
  readonly json: boolean
  readonly key: string
}

/** `ghostdb get` */
export const get = ({ connection, json, key, string }: OnKey & { readonly string: boolean }) =>
  withClient(connection, GhostDB.get(key)).pipe(
    Effect.flatMap(
      Option.match({
        onNone: () =>
          Effect.zipRight(
            json ? print(toJson({ key, found: false })) : Effect.void,
            new NegativeAnswer({ message: json ? "" : `no value for ${toJson(key)}` })
          ),
        onSome: (value) => {
          if (json) return print(toJson({ key, found: true, value }))
          return Effect.flatMap(Standard, ({ output }) => {
            const terminal = output.isTTY === true
            if (string && typeof value === "string") {
              return terminal ? print(escapeControlsInLines(value)) : write(output, value)
            }
            return print(toJson(value, terminal ? 2 : undefined))
          })
        }
      })
    )
  )

/** More than a request may have: it is not read any further. */
const maxInput = defaults.maxRequestBytes * 4

const input = Effect.flatMap(Standard, ({ input }) =>
  input.isTTY === true
    ? new UsageError({ message: "no value: it is the argument behind the key, or comes from standard input" })
    : NodeStream.toUint8Array(() => input, {
        maxBytes: maxInput,
        onFailure: () => new UsageError({ message: `standard input cannot be read, or is over ${bytes(maxInput)}` })
      }).pipe(
        Effect.flatMap((content) =>
          Effect.try({
            try: () => new TextDecoder("utf-8", { fatal: true }).decode(content),
            catch: () => new UsageError({ message: "standard input is not UTF-8 text" })
          })
        )
      )
)

const parse = (text: string): Effect.Effect<Json, UsageError> =>
  Effect.tap(parseJson(text), () => {
    const inexact = firstInexact(text)
    return inexact === undefined
      ? Effect.void
      : new UsageError({
          message: `the number ${inexact.written} would be stored as ${inexact.stored}: put it in quotes, or use --string`
        })
  })

const parseJson = (text: string): Effect.Effect<Json, UsageError> =>
  Effect.try({
    try: (): Json => JSON.parse(text),
    catch: (error) =>
      new UsageError({
        message: `the value is not JSON: ${error instanceof Error ? error.message : String(error)}; --string stores text as it is`
      })
  })

/** `ghostdb put` and `ghostdb add` */
export const store =
  (command: "put" | "add") =>
  ({
    connection,
    json,
    key,
    string,
    ttl,
    value
  }: OnKey & { readonly string: boolean; readonly ttl: Ttl; readonly value: Option.Option<string> }) =>
    Effect.gen(function* () {
      if (Option.isNone(value) && connection.nodes === standardInput) {
        return yield* new UsageError({ message: "the value and the nodes cannot both come from standard input" })
      }
      const text = yield* Option.match(value, { onNone: () => input, onSome: Effect.succeed })
      const stored = string ? text : yield* parse(text)
      const result = yield* withClient(
        connection,
        Effect.flatMap(GhostDB, (db) => db[command](key, stored, ttl))
      )
      yield* print(json ? toJson({ key, result }) : result)
      if (result === "NOT_STORED") {
        return yield* new NegativeAnswer({
          message: command === "put" ? `the request is over ${bytes(defaults.maxRequestBytes)}, or was refused` : ""
        })
      }
    })

/** `ghostdb delete` */
export const remove = ({ connection, json, key }: OnKey) =>
  Effect.gen(function* () {
    const result = yield* withClient(connection, GhostDB.delete(key))
    yield* print(json ? toJson({ key, result }) : result)
    if (result === "NOT_FOUND") return yield* new NegativeAnswer({ message: "" })
  })
