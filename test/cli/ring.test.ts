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
})
