import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { cliFor, cluster, expectEnd, fileOf, live } from "./scene.js"
import { runHere } from "./support.js"

const fifty = Array.from({ length: 50 }, (_, i) => `10.0.0.${i + 1}`)

describe("ring", () => {
  live("tells how uneven the shares are, what a death puts on others, and what replicas would do", () =>
    Effect.gen(function* () {
      const { ghostdb, json } = cliFor(fileOf(fifty.join("\n")))
      const { stdout } = yield* ghostdb(["ring"])
      assert.match(stdout, /^10\.0\.0\.1 +[\d.]+% {2}[\d.]+% on 10\.0\.0\.\d+ /m)
      assert.match(stdout, /^The largest share is \d+\.\d\dx the mean\. With other --replicas:$/m)
      assert.match(stdout, /^ +100 +[\d.]+% +[\d.]+% +[\d.]+x$/m)
      assert.include(stdout, "All clients of a cluster must use the same number")
      const { document } = yield* json(["ring", "--replicas", "100"])
      const { evenness, maxOverMean } = document as {
        readonly maxOverMean: number
        readonly evenness: ReadonlyArray<{ readonly replicas: number; readonly imbalance: number }>
      }
      assert.strictEqual(maxOverMean, evenness.find(({ replicas }) => replicas === 100)?.imbalance)
    })
  )

  live("--add and --remove tell the shares before and after, and what moves from where to where", () =>
    Effect.gen(function* () {
      const { ghostdb, json } = cliFor(fileOf(fifty.slice(0, 4).join("\n")))
      const { stdout } = yield* ghostdb(["ring", "--add", "10.0.0.9", "--remove", "10.0.0.2"])
      assert.match(stdout, /^10\.0\.0\.9 +- +[\d.]+%$/m)
      assert.match(stdout, /^10\.0\.0\.2 +[\d.]+% +-$/m)
      assert.match(stdout, /^[\d.]+% of the keys move, /m)
      assert.match(stdout, /^10\.0\.0\.2 +10\.0\.0\.\d +[\d.]+%$/m)
      const { document } = yield* json(["ring", "--add", "10.0.0.9,10.0.0.10", "--add", "10.0.0.11"])
      const { moves } = document as { readonly moves: ReadonlyArray<{ readonly to: string }> }
      assert.isTrue(moves.every(({ to }) => ["10.0.0.9", "10.0.0.10", "10.0.0.11"].includes(to)))
      expectEnd(
        2,
        "",
        "ghostdb: --remove 10.1.1.1: it is not among the nodes\n"
      )(yield* ghostdb(["ring", "--remove", "10.1.1.1"]))
      expectEnd(
        2,
        "",
        "ghostdb: --add 10.0.0.1: it is among the nodes already\n"
      )(yield* ghostdb(["ring", "--add", "10.0.0.1"]))
    })
  )

  live("a raft cluster is told apart, and ASCII is drawn where the locale has no more", () =>
    Effect.gen(function* () {
      const { file, ghostdb } = yield* cluster({ nodes: 2, dialect: "raft" })
      const { stderr } = yield* ghostdb(["ring", "--live"])
      assert.match(stderr, /^ghostdb: these are raft members: every node holds every key/)
      const { stdout } = yield* runHere(["ring"], { nodes: file, env: { LC_ALL: "C" } })
      assert.match(stdout, /^[ -~\n]+$/)
      assert.include(stdout, "####")
    })
  )

  live("of a raft cluster it says that every node holds a key, and who leads, with --live and without", () =>
    Effect.gen(function* () {
      const { addresses, ghostdb, json, servers } = yield* cluster({ dialect: "raft", electionTime: "200 millis" })
      const [first, ...others] = addresses
      for (const args of [
        ["ring", "AMZN"],
        ["ring", "AMZN", "--live"],
        ["ring", "AMZN", "--remove", first!]
      ]) {
        expectEnd(
          0,
          `"AMZN" is on every node, since these are raft members; ${first} leads\n`,
          ""
        )(yield* ghostdb(args))
      }
      assert.deepStrictEqual(yield* json(["ring", "AMZN"]), {
        code: 0,
        document: { key: "AMZN", nodes: addresses, leader: first }
      })
      yield* servers[0]!.stop
      const found = yield* Effect.repeat(Effect.delay(json(["ring", "AMZN"]), "50 millis"), {
        until: ({ document }) => JSON.stringify(document).includes(`"leader":"127`)
      })
      const { leader, nodes } = found.document as { readonly leader: string; readonly nodes: ReadonlyArray<string> }
      assert.deepStrictEqual(nodes, others)
      assert.include(others, leader)
      yield* servers[1]!.stop
      // One of three has no majority, and leads nothing.
      const { stdout } = yield* Effect.repeat(Effect.delay(ghostdb(["ring", "AMZN"]), "50 millis"), {
        until: ({ stdout }) => stdout.includes("no node leads")
      })
      assert.strictEqual(stdout, `"AMZN" is on every node, since these are raft members; no node leads\n`)
    })
  )

  live("where no node answers, it says what it could not see", () =>
    Effect.gen(function* () {
      const { ghostdb, json, servers } = yield* cluster({ nodes: 2 })
      for (const { stop } of servers) yield* stop
      const { code, stderr, stdout } = yield* ghostdb(["ring", "AMZN"])
      assert.strictEqual(code, 0)
      assert.match(stdout, /^"AMZN" is on 127\S+; if it dies, 127\S+ takes over\n$/)
      assert.strictEqual(stderr, "ghostdb: no node answers: if these are raft members, each of them holds the key\n")
      assert.strictEqual((yield* json(["ring", "AMZN"])).code, 0)
    })
  )
})
