/**
 * Replies of v2 and raft servers as they write them, to the byte. Nearly all are, and reading one as a text takes a
 * fraction of the time of parsing it. Any other is left to the reader that parses.
 */
import * as Option from "effect/Option"
import { parse, type Reply } from "../model/Exchange.js"
import type { Json } from "../model/Json.js"
import { miss, ok } from "./Decode.js"
import type { Decoded } from "./Protocol.js"

type Read<A> = (reply: Reply) => Decoded<A>

/** `ttl` is the text of the TTL in every reply. */
const text = (ttl: string, value: string, status: 0 | 1, message: string): string =>
  `{"Gobj":{"Key":"","Value":${value},"TTL":${ttl}},"Status":${status},"Message":"${message}","Error":""}\n`

const oneOf =
  <A>(texts: ReadonlyMap<string, Decoded<A>>, other: Read<A>): Read<A> =>
  (reply) =>
    (reply.status === 200 ? texts.get(reply.body) : undefined) ?? other(reply)

/** Reads the outcome of a command that either did something or did not. */
export const outcome = <A extends string>(ttl: string, done: A, notDone: A, other: Read<A>): Read<A> =>
  oneOf(
    new Map([
      [text(ttl, "null", 1, done), ok(done)],
      [text(ttl, "null", 0, notDone), ok(notDone)]
    ]),
    other
  )

/** Reads what a get has found: the text before and after a value makes a JSON document of every value. */
export const found = (ttl: string, other: Read<Option.Option<Json>>): Read<Option.Option<Json>> => {
  const [before = "", after = ""] = text(ttl, "@", 1, "OK").split("@")
  const hit: Read<Option.Option<Json>> = (reply) => {
    const { body, status } = reply
    if (status !== 200 || !body.startsWith(before) || !body.endsWith(after)) return other(reply)
    const value = parse(body.slice(before.length, -after.length))
    return value === undefined ? other(reply) : ok(Option.some(value))
  }
  return oneOf(new Map([[text(ttl, "null", 0, "CACHE_MISS"), miss]]), hit)
}
