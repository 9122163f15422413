import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { NodeServer } from "effect-ghostdb"
import * as RawServer from "../support/RawServer.js"
import { pem, serverTls } from "../support/tls.js"
import { cliFor, closedPort, cluster, expectEnd, live } from "./scene.js"
import { startHere, until } from "./support.js"

const tlsFile = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url))

/** A node that accepts connections and never answers. */
const frozen = RawServer.listen(() => undefined)

describe.concurrent("ping", () => {
  live("tells the dialect and the time of those that answer, and the reason of each that does not", () =>
    Effect.gen(function* () {
      const good = yield* NodeServer.make({ dialect: "raft" })
      const encrypted = yield* NodeServer.make({ tls: serverTls })
      const silent = yield* frozen
      const web = yield* RawServer.listen((_, socket) =>
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
      )
      const refused = `127.0.0.1:${yield* closedPort}`
      const nodes = [good.address, refused, silent.address, web.address, "no-such-host.invalid", encrypted.address]
      const { ghostdb } = cliFor("unused")
      const { code, stderr, stdout } = yield* ghostdb(["ping", "--timeout", "2s", "--nodes", nodes.join(",")])
      assert.strictEqual(code, 1)
      assert.match(stderr, /^ghostdb: 5 of 6 nodes do not answer: /)
      const lines = stdout.trimEnd().split("\n").slice(1)
      const expected = [
        /^\S+ +raft +[\d.]+ [µm]s +answers$/,
        /connection refused: nothing listens there$/,
        /accepts, but does not answer in time$/,
        /answers, but not as a GhostDB node/,
        /unknown host|no connection in time|unreachable/,
        /the connection broke|answers, but not as a GhostDB node/
      ]
      expected.forEach((pattern, i) => assert.match(lines[i] ?? "", pattern))
    })
  )

  live("over TLS it tells what is wrong with the certificate", () =>
    Effect.gen(function* () {
      const server = yield* NodeServer.make({ tls: serverTls })
      const plain = yield* NodeServer.make()
      const { ghostdb } = cliFor("unused")
      const { stdout } = yield* ghostdb(["ping", "--tls", "--nodes", `${server.address},${plain.address}`])
      const lines = stdout.split("\n")
      assert.match(lines[1] ?? "", /TLS: [A-Z_]*(CERT|ISSUER|SIGN)[A-Z_]*$/)
      assert.match(lines[2] ?? "", /TLS: |the connection broke/)
    })
  )

  live("the timeout is the timeout, for a URL of nodes too", () =>
    Effect.gen(function* () {
      const silent = yield* frozen
      const slow = createServer(() => undefined)
      const url = yield* Effect.acquireRelease(
        Effect.async<string>((resume) => {
          slow.listen(0, "127.0.0.1", () => {
            const address = slow.address()
            resume(Effect.succeed(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/gdb.conf`))
          })
        }),
        () => Effect.sync(() => slow.close().closeAllConnections())
      )
      const { ghostdb } = cliFor("unused")
      const ofNode = yield* ghostdb(["ping", "--timeout", "600ms", "--nodes", silent.address])
      assert.strictEqual(ofNode.code, 3)
      // One question is all that there was time for.
      assert.strictEqual(silent.requests.length, 1)
      expectEnd(
        2,
        "",
        `ghostdb: ${url}: no reply within 600ms\n`
      )(yield* ghostdb(["ping", "--timeout", "600ms", "--nodes", url]))
    })
  )

  live("--watch goes on: what is lost, the last, least and median time of each node", () =>
    Effect.gen(function* () {
      const { addresses, file, servers } = yield* cluster({ nodes: 2 })
      yield* servers[1]!.stop
      const args = ["ping", "--watch", "--interval", "20ms", "--json", "--nodes", file]
      const watching = yield* startHere(args)
      yield* until("three lines", () => watching.stdout().split("\n").length > 4)
      yield* Fiber.interrupt(watching.fiber)
      const last = JSON.parse(watching.stdout().trimEnd().split("\n").at(-1) ?? "")
      const [first, second] = last.nodes
      assert.deepStrictEqual([first.node, first.answers, first.lost], [addresses[0], true, 0])
      assert.isTrue(
        0 < first.minMillis && first.minMillis <= first.medianMillis && first.medianMillis <= first.p99Millis
      )
      assert.deepStrictEqual([second.answers, second.reason, second.medianMillis], [false, "Refused", null])
      assert.isAbove(second.lost, 1)
      assert.strictEqual(second.lost, second.pings)
    })
  )
})

describe.concurrent("connecting", () => {
  live("nodes come from the command line and from standard input too", () =>
    Effect.gen(function* () {
      const { addresses } = yield* cluster()
      const { ghostdb, json } = cliFor("unused")
      assert.strictEqual((yield* json(["size", "--nodes", addresses.join(",")])).code, 0)
      assert.strictEqual((yield* json(["size", "--nodes", addresses[0] ?? ""])).code, 0)
      assert.strictEqual((yield* json(["size", "--nodes", "-"], addresses.join("\n"))).code, 0)
      expectEnd(
        2,
        "",
        "ghostdb: the value and the nodes cannot both come from standard input\n"
      )(yield* ghostdb(["put", "k", "--nodes", "-"], "1"))
      const { code, stderr } = yield* ghostdb(["size", "--nodes", "10.0.0.1,not a node"])
      assert.strictEqual(code, 2)
      assert.match(stderr, /^ghostdb: --nodes:2: /)
    })
  )

  live("certificates, a client's too, and headers", () =>
    Effect.gen(function* () {
      const mutual = yield* NodeServer.make({ tls: { ...serverTls, ca: pem("ca.crt") } })
      const plain = yield* NodeServer.make({ tls: serverTls })
      const seen: Array<string> = []
      const gate = yield* RawServer.listen(({ head }, socket) => {
        seen.push(head)
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
      })
      const { ghostdb } = cliFor("unused")
      const ca = ["--ca", tlsFile("ca.crt")]
      const client = ["--cert", tlsFile("client.crt"), "--key", tlsFile("client.key")]
      const code = (...args: ReadonlyArray<string>) => Effect.map(ghostdb(args), ({ code }) => code)
      assert.strictEqual(yield* code("ping", "--nodes", mutual.address, ...ca, ...client), 0)
      assert.strictEqual(yield* code("put", "k", "1", "--nodes", mutual.address, ...ca, ...client), 0)
      assert.strictEqual(yield* code("ping", "--nodes", mutual.address, ...ca), 3)
      assert.strictEqual(yield* code("ping", "--nodes", plain.address, ...ca), 0)
      assert.strictEqual(yield* code("ping", "--nodes", plain.address, "--tls"), 3)
      assert.strictEqual(yield* code("ping", "--nodes", plain.address, "--insecure"), 0)
      yield* ghostdb(["ping", "--nodes", gate.address, "--header", "X-Tenant: a", "--header", "authorization:Bearer b"])
      assert.match(seen[0] ?? "", /\r\nX-Tenant: a\r\nauthorization: Bearer b\r\n/)
    })
  )

  live("what cannot be used is said before a node is asked", () =>
    Effect.gen(function* () {
      const { ghostdb } = cliFor("unused")
      const nodes = ["--nodes", "127.0.0.1:1"]
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["ping", ...nodes, "--ca", "/none/ca.pem"], /^ghostdb: --ca: .*\/none\/ca\.pem/],
        [["ping", ...nodes, "--cert", tlsFile("client.crt")], /^ghostdb: --cert and --key go together\n$/],
        [["ping", ...nodes, "--header", "nonsense"], /^ghostdb: --header is a name, a colon and a value/],
        [["ping", ...nodes, "--header", "Host: x"], /^ghostdb: headers: Host is set by the transport\n$/],
        [
          ["ping", ...nodes, "--cert", tlsFile("ca.crt"), "--key", tlsFile("client.key")],
          /^ghostdb: the certificate or the key cannot be used: /
        ]
      ]
      for (const [args, message] of cases) {
        const { code, stderr } = yield* ghostdb(args)
        assert.deepStrictEqual([args, code], [args, 2])
        assert.match(stderr, message)
      }
    })
  )

  live("the first run says what to do", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* cliFor("./no-such.conf").ghostdb(["get", "k"])
      assert.strictEqual(code, 2)
      assert.match(
        stderr,
        /^ghostdb: there is no nodes file \.\/no-such\.conf: --nodes or GHOSTDB_NODES .*ghostdb serve /
      )
    })
  )
})
