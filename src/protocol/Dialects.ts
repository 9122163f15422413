import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Dialect } from "../model/Dialect.js"
import { parse } from "../model/Exchange.js"
import { bad, notOk } from "./Decode.js"
import { GobjReply, gobj } from "./Gobj.js"
import type { Protocol, Request } from "./Protocol.js"
import { v1 } from "./V1.js"

const protocols: { readonly [D in Dialect]: Protocol } = {
  v1,
  v2: gobj("v2", "number"),
  raft: gobj("raft", "string")
}

/** The protocol of a dialect. */
export const forDialect = (dialect: Dialect): Protocol => protocols[dialect]

const isV2 = Schema.is(GobjReply("number"))

const isRaft = Schema.is(GobjReply("string"))

/** The handshake: how a server answers a ping tells its dialect. */
export const ping: Omit<Request<Dialect>, "unsent"> = {
  command: "ping",
  body: "{}",
  decode: (reply) => {
    if (reply.status !== 200) return notOk(reply)
    if (reply.body === "") return Either.right("v1")
    const parsed = parse(reply.body)
    if (isV2(parsed)) return Either.right("v2")
    return isRaft(parsed) ? Either.right("raft") : bad("the body answers no ping")
  }
}
