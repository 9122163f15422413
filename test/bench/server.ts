/** The process of one kind of server: listens on ports of the system's choice, tells them, and its CPU time when asked. */

import * as Http from "node:http"
import { type AddressInfo, createServer, type Server } from "node:net"
import { Effect } from "effect"
import { NodeServer } from "effect-ghostdb"
import { stringOf } from "../../src/model/Exchange.js"
import { forDialect } from "../../src/protocol/Dialects.js"
import { keys, replies, valueOf } from "./load.js"

const [kind = "", ...arguments_] = process.argv.slice(2)
/** The size of the values of each node. */
const sizes = arguments_.map(Number)

const listen = (server: Server | Http.Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

/** Answers by the path alone, as many requests as have arrived in one write. */
const canned = (bytes: number) => {
  const replyTo = (body: string) =>
    `HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const [get, ping, put] = [replies.get(bytes), replies.ping, replies.put].map(replyTo)
  return createServer((socket) => {
    let rest = ""
    let wanted = 0
    socket.setNoDelay(true)
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1")
      if (rest.length < wanted) return
      let at = 0
      let out = ""
      wanted = 0
      for (;;) {
        const headEnd = rest.indexOf("\r\n\r\n", at)
        if (headEnd === -1) break
        const length = /\r\ncontent-length: ?([0-9]+)/i.exec(rest.slice(at, headEnd))
        const end = headEnd + 4 + Number(length?.[1] ?? 0)
        if (end > rest.length) {
          wanted = end - at
          break
        }
        const path = rest.slice(at, at + 9)
        out += path === "POST /get" ? get : path === "POST /put" ? put : ping
        at = end
      }
      rest = rest.slice(at)
      if (out !== "") socket.write(out, "latin1")
    })
  })
}

/** A few lines of node:http that hold the same values and answer the same. */
const plainHttp = (bytes: number) => {
  const values = new Map(keys.map((key) => [key, JSON.stringify(valueOf(bytes))]))
  return Http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const value = values.get(JSON.parse(Buffer.concat(chunks).toString()).Gobj.Key)
      const body = `{"Gobj":{"Key":"","Value":${value},"TTL":-1},"Status":1,"Message":"OK","Error":""}\n`
      response.writeHead(200, {
        "Content-Type": "application/json; charset=UTF-8",
        "Content-Length": Buffer.byteLength(body)
      })
      response.end(body)
    })
  })
}

/** Takes requests and never answers. */
const silent = () => createServer((socket) => socket.on("error", () => {}).resume())

/** The embedded node, with a value for each key. */
const embedded = async (bytes: number): Promise<number> => {
  const protocol = forDialect("v2")
  const make = Effect.gen(function* () {
    const { node, port } = yield* NodeServer.make()
    for (const key of keys) {
      const { command, encode } = protocol.put(key, () => JSON.stringify(valueOf(bytes)), -1)
      yield* node.handle(command, stringOf(encode()))
    }
    process.send?.([port])
    return yield* Effect.never
  })
  return Effect.runPromise(Effect.scoped(make))
}

process.on("message", () => process.send?.(process.cpuUsage()))
process.on("disconnect", () => process.exit())

switch (kind) {
  case "embedded":
    await embedded(sizes[0] ?? 0)
    break
  case "canned":
  case "http":
  case "silent": {
    const make = { canned, http: plainHttp, silent }[kind]
    process.send?.(await Promise.all(sizes.map((bytes) => listen(make(bytes)))))
    break
  }
  default:
    throw new Error(`no server ${kind}`)
}
