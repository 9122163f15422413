import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { NodeServer } from "effect-ghostdb"
import { both, cliFor, closedPort, cluster, expectEnd, fileOf, folder, live, withoutMillis } from "./scene.js"
import { build, onTerminal, plain, type Running, session, start, startHere, until } from "./support.js"

let main = ""
let removeBuild = () => {}

beforeAll(async () => {
  const built = await build()
  main = built.main
  removeBuild = built.remove
})

afterAll(() => {
  removeBuild()
})

describe("commands on keys", () => {
  live("put, get, add and delete, as text and as JSON, with their exit codes", () =>
    Effect.gen(function* () {
      const { ghostdb, json, servers } = yield* cluster()
      yield* Effect.all(
        [
          Effect.map(ghostdb(["put", "plain", '{"a": [1, null]}', "--ttl", "5m"]), expectEnd(0, "STORED\n", "")),
          Effect.map(json(["put", "--string", "text", "-5"]), (ended) =>
            assert.deepStrictEqual(ended, { code: 0, document: { key: "text", result: "STORED" } })
          ),
          Effect.map(
            ghostdb(["add", "page", "--string", "--ttl", "60"], "a\nb\u001b[31m"),
            expectEnd(0, "STORED\n", "")
          ),
          Effect.map(ghostdb(["put", "number"], " -5 \n"), expectEnd(0, "STORED\n", ""))
        ],
        both
      )
      const entries = (yield* Effect.forEach(servers, ({ node }) => node.entries)).flat()
      assert.deepStrictEqual(
        Object.fromEntries(entries.map(({ expiresAt, key }) => [key, Number.isFinite(expiresAt)])),
        { plain: true, text: false, page: true, number: false }
      )
      yield* Effect.all(
        [
          Effect.map(ghostdb(["get", "plain"]), expectEnd(0, '{"a":[1,null]}\n', "")),
          Effect.map(ghostdb(["get", "page", "--string"]), expectEnd(0, "a\nb\u001b[31m", "")),
          Effect.map(json(["get", "number"]), (ended) =>
            assert.deepStrictEqual(ended, { code: 0, document: { key: "number", found: true, value: -5 } })
          ),
          Effect.map(ghostdb(["get", "\u001b"]), expectEnd(1, "", 'ghostdb: no value for "\\u001b"\n')),
          Effect.map(json(["get", "--", "--help"]), (ended) =>
            assert.deepStrictEqual(ended, { code: 1, document: { key: "--help", found: false } })
          ),
          Effect.map(ghostdb(["add", "plain", "1"]), expectEnd(1, "NOT_STORED\n", "")),
          Effect.map(ghostdb(["delete", "text"]), expectEnd(0, "REMOVED\n", "")),
          Effect.map(json(["delete", "nothing"]), (ended) =>
            assert.deepStrictEqual(ended, { code: 1, document: { key: "nothing", result: "NOT_FOUND" } })
          )
        ],
        both
      )
    })
  )

  live("a value that cannot be stored is told in one line", () =>
    Effect.gen(function* () {
      const { ghostdb } = yield* cluster({ nodes: 1 })
      yield* Effect.all(
        [
          Effect.map(ghostdb(["put", "k", "{bad\u001b"]), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([code, stdout], [2, ""])
            assert.match(stderr, /^ghostdb: the value is not JSON: [ -~]*; --string stores text as it is\n$/)
          }),
          Effect.map(
            ghostdb(["put", "k", "--string"], Buffer.from([0xff])),
            expectEnd(2, "", "ghostdb: standard input is not UTF-8 text\n")
          ),
          Effect.map(
            ghostdb(["put", "k", "--string"], "x".repeat(4 * 1024 * 1024)),
            expectEnd(1, "NOT_STORED\n", "ghostdb: the request is over 4.0 MiB, or was refused\n")
          )
        ],
        both
      )
    })
  )
})

describe("commands on the cluster", () => {
  live("ping, size, ring, leader, metrics and flush, as JSON", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb, json, servers } = yield* cluster({ metricsInterval: "300 millis" })
      for (const { node } of servers) yield* node.handle("put", '{"Gobj":{"Key":"k","Value":1,"TTL":-1}}')
      const owner = addresses.find((_, i) => i === 1) ?? ""
      yield* Effect.repeat(json(["metrics"]), {
        // Nine rows: no node has fewer than two, as a trend needs.
        until: ({ document }) => JSON.stringify(document).split('"PutRequests":1').length > 9,
        schedule: Schedule.spaced("50 millis")
      })
      yield* Effect.all(
        [
          Effect.map(json(["ping"]), (ended) =>
            assert.deepStrictEqual(withoutMillis(ended), {
              code: 0,
              document: { nodes: addresses.map((node) => ({ node, answers: true, dialect: "v2" })) }
            })
          ),
          Effect.map(json(["size"]), (ended) =>
            assert.deepStrictEqual(ended, {
              code: 0,
              document: { nodes: addresses.map((node) => ({ node, entries: 1 })), total: 3 }
            })
          ),
          Effect.map(ghostdb(["size", owner]), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([code, stderr], [0, ""])
            assert.deepStrictEqual(stdout.trim().split(/\s+/), ["NODE", "ENTRIES", owner, "1"])
          }),
          Effect.map(json(["ring"]), ({ code, document }) => {
            assert.strictEqual(code, 0)
            assert.deepInclude(document, { replicas: 1 })
          }),
          Effect.map(json(["leader"]), (ended) =>
            assert.deepStrictEqual(ended, { code: 1, document: { leader: null } })
          ),
          Effect.map(json(["metrics"]), ({ code, document }) => {
            assert.strictEqual(code, 0)
            assert.hasAllKeys(document, ["snitch", "watchdog"])
            assert.include(JSON.stringify(document), '"PutRequests":1')
          }),
          Effect.map(ghostdb(["metrics"]), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([code, stderr], [0, ""])
            for (const address of addresses) assert.include(stdout, `${address}\n`)
            assert.match(stdout, /Watchdog .*rows.*\n(?:.*\n)* {2}PutRequests +1 /)
            assert.match(stdout, /Snitch .*rows.*\n(?:.*\n)* {2}HeapAlloc +[\d.]+ MiB +[▁▂▃▄▅▆▇█]+\n/)
            assert.notInclude(stdout, "\u001b")
          }),
          Effect.map(
            ghostdb(["flush"]),
            expectEnd(2, "", "ghostdb: flush empties every node: --yes says so where no one can be asked\n")
          )
        ],
        both
      )
      assert.deepStrictEqual(yield* Effect.forEach(servers, ({ node }) => node.size), [1, 1, 1])
      assert.deepStrictEqual(yield* json(["flush", "--yes"]), { code: 0, document: { result: "FLUSHED" } })
      assert.deepStrictEqual(yield* Effect.forEach(servers, ({ node }) => node.size), [0, 0, 0])
    })
  )

  live("ring names the owner of a key and who takes over, and what it says is so", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb, json, servers } = yield* cluster()
      const { document } = yield* json(["ring", "AMZN"])
      const { next, owner } = document as { readonly owner: string; readonly next: string }
      assert.includeMembers([...addresses], [owner, next])
      yield* Effect.all(
        [
          Effect.map(
            ghostdb(["ring", "AMZN"]),
            expectEnd(0, `"AMZN" is on ${owner}; if it dies, ${next} takes over\n`, "")
          ),
          Effect.map(ghostdb(["ring"]), ({ code, stdout }) => {
            assert.strictEqual(code, 0)
            const shares = stdout
              .split("\n")
              .slice(1, 1 + addresses.length)
              .map((line) => /^(\S+) +([\d.]+)% {2}[\d.]+% on \S+ +[█▏▎▍▌▋▊▉]*$/.exec(line))
            assert.deepStrictEqual(
              shares.map((share) => share?.[1]),
              addresses
            )
            assert.closeTo(
              shares.reduce((sum, share) => sum + Number(share?.[2]), 0),
              100,
              0.3
            )
          }),
          ghostdb(["put", "AMZN", "1"])
        ],
        both
      )
      const server = servers.find(({ address }) => address === owner)
      assert.strictEqual(yield* server?.node.size ?? Effect.succeed(0), 1)
      yield* server?.stop ?? Effect.void
      yield* Effect.all(
        [
          Effect.map(ghostdb(["ring", "AMZN", "--live"]), ({ stdout }) =>
            assert.match(stdout, new RegExp(`is on ${next};`))
          ),
          Effect.map(ghostdb(["ping"]), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([code, stderr], [1, `ghostdb: 1 of 3 nodes do not answer: ${owner}\n`])
            assert.match(stdout, new RegExp(`^${owner} +connection refused: nothing listens there$`, "m"))
          }),
          Effect.map(ghostdb(["add", "AMZN", "2"]), expectEnd(0, "STORED\n", "")),
          ...[["size"], ["metrics", "--json"]].map((command) =>
            Effect.map(ghostdb(command), ({ code, stderr, stdout }) => {
              assert.deepStrictEqual([code, stderr], [1, `ghostdb: 1 of 3 nodes do not answer: ${owner}\n`])
              assert.include(stdout, next)
            })
          )
        ],
        both
      )
    })
  )

  live("leader names the leader of a raft cluster", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb } = yield* cluster({ nodes: 1, dialect: "raft" })
      expectEnd(0, `${addresses[0]}\n`, "")(yield* ghostdb(["leader"]))
    })
  )
})

describe("errors are one line", () => {
  live("no server: 3", () =>
    Effect.gen(function* () {
      const address = `127.0.0.1:${yield* closedPort}`
      const { ghostdb } = cliFor(fileOf(address))
      const refused = new RegExp(`^ghostdb: no GhostDB node served the command: ${address} Refused \\([^\\n]*\\)\\n$`)
      yield* Effect.all(
        [
          ...["get k --json", "size", "bench"].map((command) =>
            Effect.map(ghostdb(command.split(" ")), ({ code, stderr, stdout }) => {
              assert.deepStrictEqual([command, code, stdout], [command, 3, ""])
              assert.match(stderr, refused)
            })
          ),
          Effect.map(ghostdb(["leader", "--json"]), expectEnd(3, "", "ghostdb: none of 1 nodes answers\n")),
          Effect.map(ghostdb(["ping", "--json"]), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([code, stderr], [3, "ghostdb: none of 1 nodes answers\n"])
            assert.deepStrictEqual(JSON.parse(stdout), {
              nodes: [{ node: address, answers: false, reason: "Refused", detail: "ECONNREFUSED" }]
            })
          })
        ],
        both
      )
    })
  )

  live("a load that the cluster did not outlast: 3, after its result", () =>
    Effect.gen(function* () {
      const { ghostdb, servers } = yield* cluster({ nodes: 1 })
      const load = yield* Effect.fork(ghostdb(["bench", "--seconds", "2", "--in-flight", "4"]))
      const [server] = servers
      yield* Effect.repeat(server!.node.commandCounts, {
        until: ({ get }) => get > 100,
        schedule: Schedule.spaced("20 millis")
      })
      yield* server!.stop
      const { code, stderr, stdout } = yield* Fiber.join(load)
      assert.strictEqual(code, 3)
      assert.match(stdout, /^get .*[1-9]\d*$/m)
      assert.match(stderr, /^ghostdb: [\d,]+ commands failed, the last: no GhostDB node served the command: [^\n]*\n$/)
    })
  )

  live("usage, and what is in the way: 2", () =>
    Effect.gen(function* () {
      const bad = fileOf("10.0.0.1\nnot a node\u001b[31m\n")
      const { ghostdb } = cliFor(bad)
      const url = `http://127.0.0.1:${yield* closedPort}`
      const other = fileOf("10.0.0.1\n")
      const taken = yield* NodeServer.make()
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string | RegExp]> = [
        [["get", "k"], `${bad}:2: one address a line: "not a node\\u001b[31m"`],
        [["get", "k", "--nodes", url], `${url}/: cannot be fetched: ECONNREFUSED`],
        [["get"], "Missing argument <key>"],
        [["get", "k", "more"], "Received unknown argument: 'more'"],
        [["put", "k", "1", "--ttl", "soon"], /^--ttl is a lifetime such as .*, not "soon"$/],
        [
          ["serve", "--port", "0", "--file", other],
          `${other} is there already: --force overwrites it, --file names another`
        ],
        [["serve", "--nodes", "1", "--port", `${taken.port}`, "--file", join(folder, "none")], /EADDRINUSE/],
        [["top"], "top is for a terminal: elsewhere there are --once and --json"],
        [["get", "--wizard"], "--wizard asks on a terminal, and there is none"]
      ]
      yield* Effect.forEach(
        cases,
        ([args, message]) =>
          Effect.map(ghostdb(args), ({ code, stderr, stdout }) => {
            assert.deepStrictEqual([args, code, stdout], [args, 2, ""])
            assert.match(stderr, /^ghostdb: [^\n\u001b]*\n$/)
            const line = stderr.slice("ghostdb: ".length, -1)
            if (typeof message === "string") assert.strictEqual(line, message)
            else assert.match(line, message)
          }),
        both
      )
      assert.strictEqual(readFileSync(other, "utf8"), "10.0.0.1\n")
    })
  )

  live("logs go to standard error, when they are asked for", () =>
    Effect.gen(function* () {
      const { ghostdb, servers } = yield* cluster({ nodes: 2 })
      yield* Effect.forEach(servers, ({ stop }) => stop)
      const { code, stderr, stdout } = yield* ghostdb(["get", "k", "--log-level", "debug"])
      assert.deepStrictEqual([code, stdout], [3, ""])
      assert.match(stderr, /level=WARN [^\n]*node=/)
      assert.match(stderr, /level=DEBUG [^\n]*cause=/)
      assert.match(stderr, /\nghostdb: no GhostDB node served the command: [^\n]*\n$/)
    })
  )

  live("a reader that has enough is no error", () =>
    Effect.gen(function* () {
      const { file } = yield* cluster({ metricsInterval: "10 millis" })
      const command = '"$0" "$1" metrics --json | head -c 1; echo " $PIPESTATUS"'
      const bash = yield* start("bash", ["-c", command, process.execPath, main], { env: { GHOSTDB_NODES: file } })
      const { stderr, stdout } = yield* bash.ended
      assert.strictEqual(stderr, "")
      assert.match(stdout, /^\{ (141|0)\n$/)
    })
  )
})

describe.concurrent("as a process", () => {
  live("an output that cannot be written, on a full disk, is an error that is told", () =>
    Effect.gen(function* () {
      const bash = yield* start("bash", ["-c", '"$0" "$1" --help > /dev/full', process.execPath, main])
      expectEnd(74, "", "ghostdb: the output cannot be written: ENOSPC\n")(yield* bash.ended)
    })
  )

  live("the exit code, both outputs, standard input and the environment reach it", () =>
    Effect.gen(function* () {
      const { file } = yield* cluster({ nodes: 1 })
      const put = yield* start(process.execPath, [main, "put", "k"], { input: "[1]", env: { GHOSTDB_NODES: file } })
      expectEnd(0, "STORED\n", "")(yield* put.ended)
      const get = yield* start(process.execPath, [main, "get", "no", "--nodes", file])
      expectEnd(1, "", 'ghostdb: no value for "no"\n')(yield* get.ended)
    })
  )
})

describe.concurrent("bench", () => {
  live("at a rate, a server that stops for a second is in the percentiles", () =>
    Effect.gen(function* () {
      const file = join(folder, "frozen.conf")
      const server = yield* start(process.execPath, [main, "serve", "--nodes", "1", "--port", "0", "--file", file])
      yield* until("the server is there", () => server.stdout().endsWith("\n"))
      const args = [
        "bench",
        "--rate",
        "200",
        "--seconds",
        "5",
        "--keys",
        "10",
        "--timeout",
        "4s",
        "--json",
        "--nodes",
        file
      ]
      const bench = yield* startHere(args)
      yield* Effect.sleep("1 second")
      server.child.kill("SIGSTOP")
      yield* Effect.sleep("1 second")
      server.child.kill("SIGCONT")
      yield* Fiber.join(bench.fiber)
      const { latencyMillis } = JSON.parse(bench.stdout())
      // Of five seconds one was a standstill: those due at its beginning have waited for all of it.
      assert.isAbove(latencyMillis.p99, 500)
    })
  )

  live("reports what it has at Ctrl-C", () =>
    Effect.gen(function* () {
      const { file, servers } = yield* cluster({ nodes: 1 })
      const args = [main, "bench", "--seconds", "60", "--keys", "10", "--json", "--nodes", file]
      const bench = yield* start(process.execPath, args)
      yield* Effect.repeat(servers[0]!.node.commandCounts, {
        until: ({ get }) => get > 100,
        schedule: Schedule.spaced("20 millis")
      })
      bench.child.kill("SIGINT")
      const { code, stdout } = yield* bench.ended
      assert.strictEqual(code, 130)
      const { endedBy, operations } = JSON.parse(stdout)
      assert.strictEqual(endedBy, "SIGINT")
      assert.isAbove(operations, 100)
      assert.strictEqual(yield* servers[0]!.node.size, 0)
    })
  )
})

describe.concurrent("help", () => {
  live("of the program and of each command has examples and exit codes; completions are shell", () =>
    Effect.gen(function* () {
      const { ghostdb } = cliFor("unused")
      const [program, nothing, put, version, completions] = yield* Effect.all(
        [["--help"], [], ["put", "--help"], ["--version"], ["--completions", "bash"]].map((args) => ghostdb(args)),
        both
      )
      assert.strictEqual(program?.code, 0)
      assert.deepStrictEqual([nothing?.code, nothing?.stdout], [2, program?.stdout])
      for (const part of ["Examples\n  ghostdb serve", "Exit codes\n  0 ", "\n  bench ", "GHOSTDB_NODES", "NO_COLOR"]) {
        assert.include(program?.stdout, part)
      }
      assert.strictEqual(put?.code, 0)
      for (const part of ["put KEY [VALUE] [options]", "--ttl TIME  ", "Exit codes\n", "Examples\n  ghostdb put"]) {
        assert.include(put?.stdout, part)
      }
      assert.match(version?.stdout ?? "", /^\d+\.\d+\.\d+\n$/)
      const script = fileOf(completions?.stdout ?? "")
      const bash = yield* start("bash", [
        "-c",
        'source "$0"; COMP_WORDS=(ghostdb put --s); COMP_CWORD=2; _ghostdb_bash_completions ghostdb; echo "$COMPREPLY"',
        script
      ])
      assert.deepStrictEqual(yield* bash.ended, { code: 0, stdout: "--string\n", stderr: "" })
    })
  )
})

describe.concurrent("serve", () => {
  live("takes the place of one that was killed, unless its nodes file was edited", () =>
    Effect.gen(function* () {
      const file = join(folder, "killed.conf")
      const args = [main, "serve", "--nodes", "1", "--port", "0", "--file", file]
      const killed = yield* start(process.execPath, args)
      yield* until("the node is there", () => killed.stdout().endsWith("\n"))
      killed.child.kill("SIGKILL")
      yield* killed.ended
      const left = readFileSync(file, "utf8")
      writeFileSync(file, `${left}# mine\n`)
      assert.strictEqual((yield* (yield* start(process.execPath, args)).ended).code, 2)
      assert.strictEqual(readFileSync(file, "utf8"), `${left}# mine\n`)
      writeFileSync(file, left)
      const next = yield* start(process.execPath, args)
      yield* until("the next node is there", () => next.stdout().endsWith("\n"))
      next.child.kill("SIGTERM")
      assert.strictEqual((yield* next.ended).code, 0)
      assert.throws(() => readFileSync(file), /ENOENT/)
    })
  )

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    live(`serves until ${signal}, and leaves nothing behind`, () =>
      Effect.gen(function* () {
        const file = join(folder, `${signal}.conf`)
        const serving = yield* start(
          process.execPath,
          [main, "serve", "--nodes", "2", "--port", "0", "--dialect", "v1", "--file", file, "--json"],
          { input: "open" }
        )
        yield* until("the nodes are there", () => serving.stdout().endsWith("\n"))
        const { nodes, ...rest } = JSON.parse(serving.stdout()) as { readonly nodes: ReadonlyArray<string> }
        assert.deepStrictEqual(rest as unknown, { file, dialect: "v1" })
        assert.strictEqual(nodes.length, 2)
        assert.deepStrictEqual(readFileSync(file, "utf8").split("\n").slice(1), [...nodes, ""])
        if (signal === "SIGTERM") {
          const { ghostdb } = cliFor("unused")
          const { code, stdout } = yield* ghostdb(["size", "--nodes", file])
          assert.strictEqual(code, 0)
          assert.match(stdout, new RegExp(`${nodes[0]} +-\n`))
          // A v1 server does not say.
          assert.match(stdout, /^total +-$/m)
        }
        const second = yield* start(process.execPath, [main, "serve", "--port", "0", "--file", file])
        expectEnd(
          2,
          "",
          `ghostdb: ${file} is there already: --force overwrites it, --file names another\n`
        )(yield* second.ended)
        serving.child.kill(signal)
        assert.strictEqual((yield* serving.ended).code, 0)
        assert.throws(() => readFileSync(file), /ENOENT/)
      })
    )
  }
})

const alternate = "\u001b[?1049h"
const normal = "\u001b[?1049l"

describe.concurrent("on a terminal", () => {
  /** The last whole frame that the view has drawn. */
  const frame = (running: Running) => {
    const frames = running.stdout().split("\u001b[H")
    return plain(frames.at(-2) ?? "").split("\n")
  }
  const frames = (running: Running) => running.stdout().split("\u001b[H").length

  live("top draws, follows the size and the health, and gives the terminal back when q is pressed", () =>
    Effect.gen(function* () {
      const { addresses, file, servers } = yield* cluster({ metricsInterval: "1 second" })
      const top = yield* onTerminal(process.execPath, [main, "top", "--interval", "100ms", "--timeout", "1s"], {
        env: { GHOSTDB_NODES: file }
      })
      const text = () => frame(top).join("\n")
      yield* until("all nodes are live", () => /^3 of 3 live /m.test(text()))
      assert.match(frame(top)[0] ?? "", /^ghostdb top/)
      for (const address of addresses) assert.match(text(), new RegExp(`^${address} +(live|slow) v2 `, "m"))

      yield* servers[0]?.stop ?? Effect.void
      yield* until("the dead node is seen", () => /dead \d+s Refused/.test(frame(top).join("\n")))

      const press = (keys: string) => top.child.stdin?.write(keys)
      press("\r")
      yield* until("the node is shown", () => /why +connection refused/.test(text()))
      press("e")
      yield* until("the events are shown", () => text().includes(`dead  ${addresses[0]}`))
      press("e/")
      press(`:${addresses[1]?.split(":")[1]}\r`)
      yield* until(
        "one node is left",
        () => !text().includes(addresses[0] ?? "") && text().includes(addresses[1] ?? "")
      )
      press("\u001b")
      yield* until("all nodes are back", () => text().includes(addresses[0] ?? ""))

      const [tty = ""] = top.stdout().split("\r\n")
      const stty = yield* start("stty", ["-F", tty, "rows", "5", "cols", "30"])
      assert.deepStrictEqual(yield* stty.ended, { code: 0, stdout: "", stderr: "" })
      yield* until("the view is smaller", () => frame(top).length <= 5 && frame(top).every((line) => line.length <= 30))

      top.child.stdin?.write("q")
      const ended = session(yield* top.ended)
      assert.strictEqual(ended.exit, 0)
      assert.isTrue(ended.text.startsWith(alternate))
      assert.isTrue(ended.text.endsWith(`\u001b[?25h${normal}`))
    })
  )

  live("top gives the terminal back at SIGTERM", () =>
    Effect.gen(function* () {
      const { file } = yield* cluster({ nodes: 1 })
      const pid = join(folder, "top.pid")
      const shell = `echo $$ > '${pid}'; exec '${process.execPath}' '${main}' top`
      const top = yield* onTerminal("bash", ["-c", shell], { env: { GHOSTDB_NODES: file, NO_COLOR: "1" } })
      yield* until("a frame", () => frames(top) > 2)
      process.kill(Number(readFileSync(pid, "utf8")), "SIGTERM")
      const { exit, text } = session(yield* top.ended)
      assert.strictEqual(exit, 143)
      assert.isTrue(text.endsWith(`\u001b[?25h${normal}`))
      assert.notMatch(text, /\u001b\[\d+m/)
    })
  )

  live("flush asks, and takes no for an answer", () =>
    Effect.gen(function* () {
      const { file, servers } = yield* cluster({ nodes: 1 })
      const [server] = servers
      yield* server?.node.handle("put", '{"Gobj":{"Key":"k","Value":1,"TTL":-1}}') ?? Effect.void
      const answer = (key: string) =>
        Effect.gen(function* () {
          const flush = yield* onTerminal(process.execPath, [main, "flush"], { env: { GHOSTDB_NODES: file } })
          yield* until("the question", () => flush.stdout().includes("for all its clients?"))
          flush.child.stdin?.write(key)
          return session(yield* flush.ended)
        })
      const refused = yield* answer("n")
      assert.strictEqual(refused.exit, 1)
      assert.include(refused.text, "ghostdb: nothing was flushed")
      assert.strictEqual((yield* answer("\u0003")).exit, 130)
      assert.strictEqual(yield* server?.node.size ?? Effect.succeed(0), 1)
      const agreed = yield* answer("y")
      assert.strictEqual(agreed.exit, 0)
      assert.include(agreed.text, "FLUSHED")
      assert.strictEqual(yield* server?.node.size ?? Effect.succeed(1), 0)
    })
  )

  live("bench shows how far it is, then rates and latencies; where no terminal is, only those", () =>
    Effect.gen(function* () {
      const { file, json, servers } = yield* cluster()
      const options = ["--seconds", "1", "--keys", "50", "--in-flight", "8", "--mix", "get=2,put=1,delete=1"]
      const bench = yield* onTerminal(process.execPath, [main, "bench", ...options], { env: { GHOSTDB_NODES: file } })
      const { exit, text } = session(yield* bench.ended)
      assert.strictEqual(exit, 0)
      assert.match(plain(text), /█+[▏▎▍▌▋▊▉]? +[\d,.]+ ops\/s {2}\d\.\d s/)
      assert.match(
        plain(text),
        /COMMAND +COUNT +OPS\/S +P50 +P90 +P99 +P999 +MAX +ERRORS\nget +[\d,]+ +[\d,]+ +[\d.]+ [µm]s/
      )
      assert.match(
        plain(text),
        /1\.\d s, 8 in flight on 1 connection a node, values of 100 bytes, 50 keys \(uniform\), [\d.]+% of gets hit\n/
      )

      const { code, document } = yield* json(["bench", ...options, "--seconds", "200ms"])
      assert.strictEqual(code, 0)
      const { byOperation, latencyMillis, operations, opsPerSecond } = document as {
        readonly operations: number
        readonly opsPerSecond: number
        readonly latencyMillis: { readonly p50: number; readonly p99: number; readonly p999: number }
        readonly byOperation: object
      }
      assert.isAbove(operations, 0)
      assert.isAbove(opsPerSecond, 0)
      assert.isTrue(0 < latencyMillis.p50 && latencyMillis.p50 <= latencyMillis.p99)
      assert.isAtMost(latencyMillis.p99, latencyMillis.p999)
      assert.hasAllKeys(byOperation, ["get", "put", "delete"])
      const left = yield* Effect.forEach(servers, ({ node }) => node.size)
      assert.deepStrictEqual(left, [0, 0, 0])
    })
  )
})
