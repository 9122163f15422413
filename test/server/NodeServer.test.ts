import * as http from "node:http"
import * as https from "node:https"
import * as net from "node:net"
import * as tls from "node:tls"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Logger, Random, TestClock } from "effect"
import { NodeServer } from "effect-ghostdb"
import wireRaft from "../fixtures/wire-raft.json" with { type: "json" }
import wireV1 from "../fixtures/wire-v1.json" with { type: "json" }
import wireV2 from "../fixtures/wire-v2.json" with { type: "json" }
import { run } from "../support/program.js"
import { pem, serverTls } from "../support/tls.js"

const ca = pem("ca.crt")

interface Answer {
  readonly status: number | undefined
  readonly contentType: string | undefined
  readonly body: string
}

/** One request on a connection of its own. */
const post = (
  server: NodeServer.NodeServer,
  path: string,
  body: string,
  options: https.RequestOptions & { readonly secure?: boolean } = {}
) =>
  Effect.async<Answer, Error>((resume) => {
    const request = (options.secure ? https : http).request(
      { host: "127.0.0.1", port: server.port, path: `/${path}`, method: "POST", agent: false, ...options },
      (response) => {
        let text = ""
        response.setEncoding("utf8")
        response.on("data", (chunk) => {
          text += chunk
        })
        response.on("end", () => {
          const { headers, statusCode } = response
          resume(Effect.succeed({ status: statusCode, contentType: headers["content-type"], body: text }))
        })
      }
    )
    request.on("error", (error) => resume(Effect.fail(error)))
    request.end(body)
  })

/** A connection that a test writes to by hand; `received` grows, `ended` tells how it came to its end. */
const connect = (server: NodeServer.NodeServer, secure = false) =>
  Effect.acquireRelease(
    Effect.async<Connection>((resume) => {
      const options = { host: "127.0.0.1", port: server.port }
      const socket = secure
        ? tls.connect({ ...options, ca }, () => resume(Effect.succeed(new Connection(socket))))
        : net.connect(options, () => resume(Effect.succeed(new Connection(socket))))
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

class Connection {
  received = ""
  private error = "closed"
  readonly ended: Promise<string>
  constructor(readonly socket: net.Socket) {
    socket.on("error", (error) => {
      this.error = "code" in error ? String(error.code) : error.message
    })
    socket.on("data", (chunk) => {
      this.received += chunk.toString("utf8")
    })
    this.ended = new Promise((resolve) => socket.on("close", () => resolve(this.error)))
  }
  /** Waits until so many replies are there. */
  replies(count: number): Effect.Effect<ReadonlyArray<string>> {
    return Effect.async((resume) => {
      const check = () => {
        const replies = this.received.split(/(?=HTTP\/1\.1 )/)
        if (replies.length < count || !replies.at(-1)?.endsWith("}\n")) return
        this.socket.off("data", check)
        resume(Effect.succeed(replies))
      }
      this.socket.on("data", check)
      check()
    })
  }
}

const ended = (connection: Connection) => Effect.promise(() => connection.ended)

const raw = (command: string, body: string, headers = "") =>
  `POST /${command} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

const put = (key: string, value: unknown, ttl: unknown = -1) =>
  JSON.stringify({ Gobj: { Key: key, Value: value, TTL: ttl } })
const get = (key: string) => JSON.stringify({ Gobj: { Key: key } })
const hit = (value: unknown) =>
  `{"Gobj":{"Key":"","Value":${JSON.stringify(value)},"TTL":-1},"Status":1,"Message":"OK","Error":""}\n`

const limit = 4 * 1024 * 1024

describe("NodeServer", () => {
  const fixtures = { v1: wireV1, v2: wireV2, raft: wireRaft }
  for (const dialect of ["v1", "v2", "raft"] as const) {
    it.scoped(`answers over HTTP as a ${dialect} server does`, () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make({ dialect, emulateQuirks: true })
        for (const exchange of fixtures[dialect]) {
          // Their rows are the subject of the node's own test.
          if (/get(Sys|App)Metrics/.test(exchange.command)) continue
          const { request } = exchange
          const body = typeof request === "string" ? request : JSON.stringify(request)
          expect(yield* post(server, exchange.command, body), `${exchange.command} ${body}`).toEqual({
            status: exchange.status,
            contentType: exchange.contentType ?? undefined,
            body: exchange.body
          })
        }
      })
    )
  }

  it.scoped("expires entries by the clock of the fiber that made it", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make()
      yield* post(server, "put", put("k", { é: 1 }, 60))
      yield* TestClock.adjust("59 seconds")
      expect((yield* post(server, "get", get("k"))).body).toBe(hit({ é: 1 }))
      yield* TestClock.adjust("1 second")
      expect((yield* post(server, "get", get("k"))).body).toContain("CACHE_MISS")
    })
  )

  it.scoped("reads the command from the path alone", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make()
      expect((yield* post(server, "ping?x=1", "{}")).body).toContain("Pong!")
      expect((yield* post(server, "p%69ng", "{}")).body).toContain("Pong!")
      expect((yield* post(server, "p%zzng", "{}")).body).toContain("Command 'p%zzng' is not a recognized command")
      expect((yield* post(server, "", "{}")).body).toContain("Command '' is not a recognized command")
    })
  )

  it.scoped("answers pipelined requests in their order, however their bytes arrive", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make()
      const connection = yield* connect(server)
      connection.socket.setNoDelay(true)
      const keys = Array.from({ length: 200 }, (_, i) => `key ${i} é`)
      const bytes = Buffer.from(keys.map((key, i) => raw("put", put(key, `${i} 😀`)) + raw("get", get(key))).join(""))
      for (let at = 0; at < bytes.length; ) {
        const length = yield* Random.nextIntBetween(1, 700)
        connection.socket.write(bytes.subarray(at, at + length))
        at += length
      }
      const replies = yield* connection.replies(400)
      const bodies = replies.map((reply) => reply.slice(reply.indexOf("\r\n\r\n") + 4))
      expect(bodies.filter((_, i) => i % 2 === 1)).toEqual(keys.map((_, i) => hit(`${i} 😀`)))
      expect(bodies.filter((body, i) => i % 2 === 0 && !body.includes('"STORED"'))).toEqual([])
      expect(connection.socket.destroyed).toBe(false)
    })
  )

  it.scoped("reads a chunked body, and says when it closes the connection", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make()
      const connection = yield* connect(server)
      const [head, tail] = [put("k", "é").slice(0, 20), put("k", "é").slice(20)]
      const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
      connection.socket.write(
        `POST /put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(head)}${chunk(tail)}0\r\n\r\n`
      )
      connection.socket.write(raw("get", get("k"), "Connection: close\r\n"))
      const [, second] = yield* connection.replies(2)
      expect(second).toContain("Connection: close")
      expect(second?.endsWith(hit("é"))).toBe(true)
      expect(yield* ended(connection)).toBe("closed")
    })
  )

  describe("a request body over 4 MiB", () => {
    for (const secure of [false, true]) {
      it.scoped(`resets the connection${secure ? " under TLS" : ""}`, () =>
        Effect.gen(function* () {
          const server = yield* NodeServer.make(secure ? { tls: serverTls } : {})
          const bystander = yield* connect(server, secure)

          const announced = yield* connect(server, secure)
          announced.socket.write(`POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: ${limit + 1}\r\n\r\n{`)
          expect(yield* ended(announced)).toBe("ECONNRESET")

          const chunked = yield* connect(server, secure)
          chunked.socket.write("POST /put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
          chunked.socket.write(`${(limit + 1).toString(16)}\r\n${" ".repeat(limit + 1)}`)
          expect(yield* ended(chunked)).toMatch(/ECONNRESET|EPIPE/)

          const body = put("k", "x".repeat(limit - put("k", "").length))
          expect(Buffer.byteLength(body)).toBe(limit)
          bystander.socket.write(raw("put", body))
          expect(yield* bystander.replies(1)).toEqual([expect.stringContaining('"STORED"')])
          expect(yield* server.node.commandCounts).toMatchObject({ put: 1 })
        })
      )
    }
  })

  describe("stop and start", () => {
    it.scoped("stop breaks connections at once, and start listens on the same port", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make()
        yield* post(server, "put", put("k", 1))
        const idle = yield* connect(server)
        const halfway = yield* connect(server)
        halfway.socket.write(raw("get", get("k")).slice(0, -5))
        idle.socket.write(raw("get", get("k")))
        yield* idle.replies(1)

        yield* server.stop
        yield* server.stop
        expect(yield* Effect.all([ended(idle), ended(halfway)])).toEqual(["closed", "closed"])
        expect(yield* Effect.flip(post(server, "ping", "{}"))).toMatchObject({ code: "ECONNREFUSED" })

        yield* server.start()
        yield* server.start()
        expect((yield* post(server, "get", get("k"))).body).toContain("CACHE_MISS")
        expect((yield* server.node.commandCounts).get).toBe(1)
      })
    )

    it.scoped("start keeps the node's entries on demand", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make()
        yield* post(server, "put", put("k", 1))
        yield* server.stop
        yield* server.start({ keep: true })
        expect((yield* post(server, "get", get("k"))).body).toBe(hit(1))
        expect((yield* server.node.commandCounts).put).toBe(1)
      })
    )

    it.scoped("a thousand pipelined requests end, answered or not, when the server stops among them", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make()
        const connections = yield* Effect.replicateEffect(connect(server), 10)
        for (const { socket } of connections) socket.write(raw("put", put("k", "v")).repeat(100))
        yield* connections[0]!.replies(1)
        yield* server.stop
        for (const connection of connections) expect(yield* ended(connection)).toMatch(/^(closed|ECONNRESET|EPIPE)$/)
        const stored = (yield* server.node.commandCounts).put
        const answered = connections.flatMap(({ received }) => received.match(/"STORED"/g) ?? [])
        expect(answered.length).toBeGreaterThan(0)
        expect(answered.length).toBeLessThanOrEqual(stored)
      })
    )
  })

  it.scoped("survives any bytes", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make({ emulateQuirks: true })
      const valid = Buffer.from(raw("put", put("k", "v")))
      const garbage = yield* Effect.forEach(
        Array.from({ length: 60 }),
        Effect.fnUntraced(function* (_, i) {
          const bytes = Buffer.from(valid)
          for (let flips = 0; flips <= i % 6; flips++) {
            bytes[yield* Random.nextIntBetween(0, bytes.length)] = yield* Random.nextIntBetween(0, 256)
          }
          return bytes
        })
      )
      yield* Effect.forEach(
        [
          ...garbage,
          Buffer.alloc(100_000, 0xff),
          Buffer.from("\r\n\r\n\r\n"),
          Buffer.from("CONNECT x:1 HTTP/1.1\r\n\r\n"),
          Buffer.from(`GET /${"x".repeat(50_000)} HTTP/1.1\r\n\r\n`),
          Buffer.from("POST /get HTTP/1.1\r\nHost: x\r\nUpgrade: y\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n")
        ],
        (bytes) =>
          Effect.scoped(
            Effect.flatMap(connect(server), (connection) => {
              connection.socket.end(bytes)
              return ended(connection)
            })
          ),
        { concurrency: 8 }
      )
      expect((yield* post(server, "ping", "{}")).body).toContain("Pong!")
    })
  )

  describe("TLS", () => {
    it.scoped("serves HTTPS", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make({ tls: serverTls })
        expect((yield* post(server, "ping", "{}", { secure: true, ca })).body).toContain("Pong!")
        expect(yield* Effect.flip(post(server, "ping", "{}"))).toBeInstanceOf(Error)
      })
    )

    it.scoped("asks for the client's certificate when it has an authority to check it by", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make({ tls: { ...serverTls, ca } })
        const secure = { secure: true, ca }
        expect(
          (yield* post(server, "ping", "{}", { ...secure, cert: pem("client.crt"), key: pem("client.key") })).body
        ).toContain("Pong!")
        expect(yield* Effect.flip(post(server, "ping", "{}", secure))).toBeInstanceOf(Error)
      })
    )
  })

  describe("where it listens", () => {
    it.scoped("a cluster's servers each have a port and entries of their own", () =>
      Effect.gen(function* () {
        const servers = yield* NodeServer.cluster()
        expect(new Set(servers.map(({ port }) => port)).size).toBe(3)
        expect(servers.map(({ address }) => address)).toEqual(servers.map(({ port }) => `127.0.0.1:${port}`))
        yield* post(servers[0]!, "put", put("k", 1))
        expect(yield* Effect.forEach(servers, ({ node }) => node.size)).toEqual([1, 0, 0])
      })
    )

    it.scoped("a cluster with a port takes the ports that follow, and none when one is taken", () =>
      Effect.gen(function* () {
        const { port } = yield* NodeServer.make()
        const error = yield* Effect.flip(NodeServer.cluster({ nodes: 2, port: port - 1 }))
        expect([port - 1, port]).toContain(error.port)
        expect(error.message).toMatch(/^cannot serve GhostDB on 127\.0\.0\.1:\d+: listen EADDRINUSE/)
      })
    )

    it.scoped("says why it cannot", () =>
      Effect.gen(function* () {
        const badCertificate = yield* Effect.flip(NodeServer.make({ tls: { ...serverTls, cert: "no certificate" } }))
        expect(badCertificate._tag).toBe("ServeError")
        const badPort = yield* Effect.flip(NodeServer.make({ port: 65_536 }))
        expect(badPort.message).toContain("65536")
        const elsewhere = yield* Effect.flip(NodeServer.make({ host: "192.0.2.1" }))
        expect(elsewhere.message).toContain("EADDRNOTAVAIL")
      })
    )

    it.scoped("writes an IPv6 address in brackets", () =>
      Effect.gen(function* () {
        // A machine without IPv6 names the address in the error.
        const address = yield* NodeServer.make({ host: "::1", dialect: "raft" }).pipe(
          Effect.map((server) => server.address),
          Effect.catchTag("ServeError", ({ message }) => Effect.succeed(message))
        )
        expect(address).toMatch(/\[::1\]:\d+/)
      })
    )
  })

  describe("what a web page sends", () => {
    const sendsAs = Effect.fnUntraced(function* (server: NodeServer.NodeServer, options: https.RequestOptions) {
      const answer = yield* post(server, "flush", options.method === undefined ? "{}" : "", options)
      return { status: answer.status, message: JSON.parse(answer.body || "{}").Message }
    })

    it.scoped("any method but POST is refused, and nothing is flushed or stored", () =>
      Effect.gen(function* () {
        for (const dialect of ["v1", "v2", "raft"] as const) {
          const server = yield* NodeServer.make({ dialect, emulateQuirks: dialect === "v2" })
          for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
            expect(yield* sendsAs(server, { method }), method).toEqual({
              status: 405,
              message: "GhostDB commands are POST requests"
            })
          }
          expect((yield* post(server, "ping", "", { method: "HEAD" })).status).toBe(405)
          expect(yield* server.node.commandCounts).toMatchObject({ flush: 0, ping: 0, unknown: 0 })
        }
      })
    )

    it.scoped("from another origin is refused", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make()
        yield* post(server, "put", put("k", 1))
        const host = `127.0.0.1:${server.port}`
        const foreign: ReadonlyArray<http.OutgoingHttpHeaders> = [
          { Origin: "https://example.com", "Content-Type": "text/plain" },
          { Origin: "null" },
          { Origin: "" },
          { Origin: `http://127.0.0.1:${server.port + 1}` },
          { "Sec-Fetch-Site": "cross-site" },
          { "sec-fetch-site": "same-site" },
          { "Sec-Fetch-Site": "Cross-Site", Origin: `http://${host}` },
          // A name that its owner has made to point to this machine.
          { Origin: `http://evil.example:${server.port}`, Host: `evil.example:${server.port}` },
          { Origin: `http://evil.example:${server.port}`, Host: host, "Sec-Fetch-Site": "same-origin" }
        ]
        for (const headers of foreign) {
          expect(yield* sendsAs(server, { headers }), JSON.stringify(headers)).toEqual({
            status: 403,
            message: "GhostDB refuses requests of web pages from another origin"
          })
        }
        expect(yield* server.node.size).toBe(1)
        expect((yield* server.node.commandCounts).flush).toBe(0)
        for (const headers of [{}, { Origin: `http://${host}` }, { "Sec-Fetch-Site": "none" }]) {
          expect(yield* sendsAs(server, { headers })).toEqual({ status: 200, message: "FLUSH" })
        }
      })
    )

    it.scoped("is answered in its place on a connection, which can be used again", () =>
      Effect.gen(function* () {
        const server = yield* NodeServer.make()
        const connection = yield* connect(server)
        connection.socket.write(
          raw("put", put("k", 1)) + raw("flush", "x".repeat(100_000), "Origin: null\r\n") + raw("get", get("k"))
        )
        const replies = yield* connection.replies(3)
        expect(replies.map((reply) => reply.slice(9, 12))).toEqual(["200", "403", "200"])
        expect(replies[2]?.endsWith(hit(1))).toBe(true)
      })
    )
  })

  describe("on a host that other machines reach", () => {
    const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        const lines: Array<string> = []
        const collector = Logger.make(({ logLevel, message }) => {
          lines.push(`${logLevel.label} ${String(message)}`)
        })
        return Effect.as(Effect.provide(effect, Logger.replace(Logger.defaultLogger, collector)), lines)
      })
    const warning =
      "WARN GhostDB serves on a host that other machines reach: whoever reaches it can read and change all its values"

    it.scoped("warns once", () =>
      Effect.gen(function* () {
        expect(yield* warnings(NodeServer.make({ host: "0.0.0.0" }))).toEqual([warning])
        expect(yield* warnings(NodeServer.cluster({ host: "0.0.0.0" }))).toEqual([warning])
        expect(yield* warnings(NodeServer.cluster())).toEqual([])
        expect(yield* warnings(NodeServer.make({ host: "localhost" }))).toEqual([])
      })
    )

    it("knows a host that only this machine reaches", () => {
      for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"]) {
        expect(NodeServer.isLoopback(host), host).toBe(true)
      }
      for (const host of [
        "0.0.0.0",
        "::",
        "",
        "192.168.1.7",
        "127.example.com",
        "1127.0.0.1",
        "::2",
        "localhost.example"
      ]) {
        expect(NodeServer.isLoopback(host), host).toBe(false)
      }
    })
  })

  /** Runs a program in a process of its own, with that many megabytes of heap; what it prints. */
  const runWithin = (megabytes: number, program: string) =>
    Effect.promise(() => run(program, { flags: [`--max-old-space-size=${megabytes}`] }))

  const prelude = `
    import * as net from "node:net"
    import { Effect } from "effect"
    import { NodeServer } from "effect-ghostdb"
    const request = (command, body) =>
      "POST /" + command + " HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: " + body.length + "\\r\\n\\r\\n" + body
    const put = (key, json) => request("put", '{"Gobj":{"Key":"' + key + '","Value":' + json + ',"TTL":-1}}')
    const replies = (socket, count) => new Promise((resolve) => {
      let text = "", seen = 0
      socket.on("data", (chunk) => {
        text = (text + chunk).slice(-chunk.length - 20)
        seen += (text.match(/"Error":""}\\n/g) ?? []).length
        text = text.slice(text.lastIndexOf('"Error":""}\\n') + 1)
        if (seen === count) resolve()
      })
    })`

  describe("memory", () => {
    it.effect("large values are stored flat", () =>
      Effect.gen(function* () {
        // Eight times 1 MB of one-digit numbers: as a tree of concatenations each would take 25 megabytes.
        const program = `${prelude}
          await Effect.gen(function* () {
            const server = yield* NodeServer.make()
            const socket = net.connect(server.port, "127.0.0.1")
            const json = "[" + "1,".repeat(500_000) + "1]"
            for (let i = 0; i < 8; i++) {
              const answered = replies(socket, 1)
              socket.write(put("key" + i, json))
              yield* Effect.promise(() => answered)
              socket.removeAllListeners("data")
            }
            const entries = yield* server.node.entries
            console.log(entries.length, entries.every(({ value }) => value === json), entries.at(-1).key)
            socket.destroy()
          }).pipe(Effect.scoped, Effect.runPromise)`
        expect(yield* runWithin(100, program)).toBe("8 true key7\n")
      })
    )

    for (const secure of [false, true]) {
      it.effect(`a client that pipelines and does not read is not read either${secure ? ", under TLS" : ""}`, () =>
        Effect.gen(function* () {
          // Gets of 1 MB: answered at once, their replies would be twice what the process may use.
          const tlsOptions = JSON.stringify({ ...serverTls, ca: undefined })
          const program = `${prelude}
            import * as tls from "node:tls"
            await Effect.gen(function* () {
              const server = yield* NodeServer.make(${secure ? `{ tls: ${tlsOptions} }` : ""})
              const socket = ${
                secure
                  ? `tls.connect({ port: server.port, host: "127.0.0.1", ca: ${JSON.stringify(ca)} })`
                  : `net.connect(server.port, "127.0.0.1")`
              }
              const stored = replies(socket, 1)
              socket.write(put("k", JSON.stringify("x".repeat(1_000_000))))
              yield* Effect.promise(() => stored)
              socket.removeAllListeners("data")
              socket.pause()
              socket.write(request("get", '{"Gobj":{"Key":"k"}}').repeat(300))
              // The server comes to rest: nothing of it is left to do but to wait for this client.
              let before = -1
              for (;;) {
                yield* Effect.sleep("100 millis")
                const { get } = yield* server.node.commandCounts
                if (get > 0 && get === before) break
                before = get
              }
              console.log(before < 50)
              const answered = replies(socket, 300)
              socket.resume()
              yield* Effect.promise(() => answered)
              console.log((yield* server.node.commandCounts).get)
              socket.destroy()
            }).pipe(Effect.scoped, Effect.runPromise)`
          expect(yield* runWithin(150, program)).toBe("true\n300\n")
        })
      )
    }
  })

  it.effect("leaves nothing open once its scope closes: the process ends by itself", () =>
    Effect.gen(function* () {
      const program = `
        import * as net from "node:net"
        import { Effect } from "effect"
        import { NodeServer } from "effect-ghostdb"
        await Effect.gen(function* () {
          const [server] = yield* NodeServer.cluster({ nodes: 2, metricsInterval: "1 second" })
          const socket = net.connect(server.port, "127.0.0.1")
          yield* Effect.promise(() => new Promise((resolve) => socket.once("data", resolve).write(${JSON.stringify(raw("ping", "{}"))})))
          yield* Effect.sync(() => console.log("served"))
        }).pipe(Effect.scoped, Effect.runPromise)`
      const output = yield* Effect.promise(() => run(program))
      expect(output).toBe("served\n")
    })
  )
})
