/** `ghostdb ring`: which node holds what. */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { GhostDB } from "../../GhostDB.js"
import * as Ring from "../../ring/Ring.js"
import { type Connection, withClient } from "../connection.js"
import { NoAnswer } from "../exit.js"
import { readNodes } from "../nodes.js"
import { bar, type Cell, outputPaint, percent, print, printTable, toJson } from "../terminal/output.js"

const barWidth = 40

/** The nodes of the nodes file, with `live` those of them that answer a ping. */
const nodesOf = (connection: Connection, live: boolean) =>
  live
    ? Effect.filterOrFail(
        withClient(connection, GhostDB.ping),
        (nodes) => nodes.length > 0,
        () => new NoAnswer({ message: "no node answers" })
      )
    : readNodes(connection.nodes, connection.timeout)

/** `ghostdb ring` and `ghostdb ring KEY` */
export const ring = ({
  connection,
  json,
  key,
  live
}: {
  readonly connection: Connection
  readonly json: boolean
  readonly key: Option.Option<string>
  readonly live: boolean
}) =>
  Effect.gen(function* () {
    const { replicas } = connection
    const ring = Ring.make(yield* nodesOf(connection, live), { replicas })
    const paint = yield* outputPaint
    if (Option.isSome(key)) {
      const [owner = null, next = null] = Ring.owners(ring, key.value)
      yield* print(
        json
          ? toJson({ key: key.value, owner, next })
          : `${toJson(key.value)} is on ${paint("green", owner ?? "")}; ${
              next === null ? "no other node takes over" : `if it dies, ${paint("yellow", next)} takes over`
            }`
      )
      return
    }
    const shares = [...Ring.shares(ring)]
    const largest = Math.max(...shares.map(([, share]) => share))
    yield* json
      ? print(toJson({ replicas, nodes: shares.map(([node, share]) => ({ node, share })) }))
      : printTable(
          [{ title: "NODE" }, { title: "SHARE", align: "right" }, { title: "" }],
          shares.map(
            ([node, share]): ReadonlyArray<Cell> => [
              node,
              percent(share),
              { text: bar(share / largest, barWidth).trimEnd(), style: "cyan" }
            ]
          )
        )
  })
