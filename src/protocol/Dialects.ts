/** The dialects by name, and the ping that tells them apart. */
import type { Dialect } from "../model/Dialect.js"
import { parse } from "../model/Exchange.js"
import { bad, notOk, ok } from "./Decode.js"
import { gobj, isGobjReply } from "./Gobj.js"
import type { Protocol, Request } from "./Protocol.js"
import { v1 } from "./V1.js"

const protocols: { readonly [D in Dialect]: Protocol } = {
  v1,
  v2: gobj("v2", "number"),
  raft: gobj("raft", "string")
}

/** The protocol of a dialect. */
export const forDialect = (dialect: Dialect): Protocol => protocols[dialect]

const isV2 = isGobjReply("number")

const isRaft = isGobjReply("string")

/** The handshake: how a server answers a ping tells its dialect. */
export const ping: Omit<Request<Dialect>, "whenTooLarge"> = {
  command: "ping",
  encode: () => "{}",
  decode: (reply) => {
    if (reply.status !== 200) return notOk(reply)
    if (reply.body === "") return ok("v1")
    const parsed = parse(reply.body)
    if (isV2(parsed)) return ok("v2")
    return isRaft(parsed) ? ok("raft") : bad("the body answers no ping")
  }
}
