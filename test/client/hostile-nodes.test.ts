import { assert, describe, expect, it } from "@effect/vitest"
import { Effect, Either, Option, Record, Schedule } from "effect"
import { type FailureReason, GhostDB } from "effect-ghostdb"
import { topologyNow } from "../support/clients.js"
import type * as HostileServer from "../support/HostileServer.js"
import {
  attemptTimeout,
  failureThreshold,
  isLive,
  maxReplyBytes,
  type Node,
  scene,
  unharmed
} from "../support/scene.js"

interface Expected {
  readonly class: "ok" | "down" | "suspect" | "too large"
  readonly reason?: FailureReason
  /** Part of the failure's detail. */
  readonly detail?: string
  /** What becomes of the node after one command where it does the same to a ping. */
  readonly pings: "live" | "dead"
  /** Whether 64 commands in flight fare as one does. */
  readonly pipelined: boolean
  /** Whether the connection stays after a command that is answered. */
  readonly stays: boolean
}

const ok: Expected = { class: "ok", pings: "live", pipelined: true, stays: true }
const suspect = (reason: FailureReason, detail: string): Expected => ({
  class: "suspect",
  reason,
  detail,
  pings: "dead",
  pipelined: false,
  stays: false
})
const bad = (detail: string) => suspect("BadReply", detail)
const reset = (detail: string) => suspect("Reset", detail)
const timeout = suspect("AttemptTimeout", `no reply in ${attemptTimeout} ms`)
/** Nothing is held against the node. */
const tooLarge: Expected = {
  ...bad(`a reply of more than ${maxReplyBytes} bytes`),
  class: "too large",
  reason: "ReplyTooLarge",
  pings: "live"
}

const expectations: { readonly [what in "refuses" | HostileServer.Hostility]: Expected } = {
  "answers as it should": ok,
  refuses: { ...suspect("Refused", "ECONNREFUSED"), class: "down" },
  "accepts and never answers": timeout,
  "answers after the timeout": timeout,
  "closes without an answer": reset("closed"),
  "closes in the middle of the head": reset("closed"),
  "closes in the middle of the body": reset("closed"),
  "resets the connection": reset(""),
  "resets in the middle of the body": reset(""),
  "sends garbage": bad("no HTTP/1.1 reply"),
  "speaks another protocol": bad("no HTTP/1.1 reply"),
  "declares a Content-Length too short": bad("no v2 reply"),
  "declares a Content-Length too long": timeout,
  "declares two Content-Lengths": bad("Content-Length"),
  "declares a Content-Length and chunks": bad("Transfer-Encoding"),
  "folds a header": bad("header"),
  "sends its reply in chunks": ok,
  "sends a malformed chunk": bad("chunk"),
  "sends two documents": bad("no v2 reply"),
  "sends half a document": bad("no v2 reply"),
  // To a ping it is the right answer, that of a v1 server.
  "sends an empty body": { ...bad("no v2 reply"), pings: "live" },
  // To a ping it is the right answer.
  "answers another command": { ...bad("message"), pings: "live" },
  "answers HTTP 204": bad("HTTP status 204"),
  "answers HTTP 302": bad("HTTP status 302"),
  "answers HTTP 404": bad("HTTP status 404"),
  "answers HTTP 500": bad("HTTP status 500"),
  "sends an endless chunked body": tooLarge,
  "sends an endless body of tiny chunks": tooLarge,
  "sends an endless body until it closes": tooLarge,
  "declares an endless body": tooLarge,
  "sends endless headers": bad("head of more than"),
  "sends 1 MB of headers": bad("head of more than"),
  "sends endless interim replies": bad("interim replies"),
  "sends an interim reply first": ok,
  // Where its ping says so too, the node speaks another dialect now, and is spoken to in it.
  "answers in the raft dialect": { ...bad("no v2 reply"), pings: "live" },
  "answers in the v1 dialect": bad("no v2 reply"),
  "closes after each reply, and says so": { ...ok, stays: false },
  "answers by HTTP/1.0 without a length": { ...ok, stays: false },
  "sends its reply byte by byte": ok,
  // What is not asked for closes the connection. A second reply cannot be told from that to a pipelined request.
  "sends unasked bytes behind its reply": { ...ok, pipelined: false, stays: false },
  "sends a second reply": { ...ok, pipelined: false, stays: false }
}

const staysLive = (expected: Expected) => expected.class === "ok" || expected.class === "too large"

const columns = [
  "a node that",
  "class",
  "reason",
  "after one command",
  "after three in a row",
  "after one, pings alike"
]

/** The rows of a Markdown table, its columns as wide as their widest cell. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>) => {
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`
  return rows.map(line).join("\n")
}

/** What becomes of each hostile node, as a document; the tests see to it that it is so. */
const document = () => {
  const rows = Record.toEntries(expectations).map(([what, expected]) => [
    what,
    expected.class,
    expected.reason ?? "",
    expected.class === "down" ? "dead" : "live",
    staysLive(expected) ? "live" : "dead",
    expected.pings
  ])
  const widest = columns.map((name, at) =>
    "-".repeat(Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)))
  )
  return `# What becomes of a hostile node

Written by \`hostile-nodes.test.ts\`: each row is a test of that name over real sockets. \`npx vitest run hostile-nodes -u\` writes it
anew. In every row, commands to the other node of the cluster go on unharmed.

The node misbehaves in its answers to commands, and answers its pings well; in the last column it treats a ping alike.

${table([columns, widest, ...rows])}
`
}

const observe = Effect.fnUntraced(function* (hostile: Node, key: string) {
  const answer = yield* Effect.either(GhostDB.get(key))
  const topology = yield* topologyNow
  const live = isLive(hostile)(topology)
  const death = topology.dead.map(({ failure }) => failure)
  const failures = Either.match(answer, {
    onLeft: (error) => (error._tag === "NoMoreServers" ? error.failures : []),
    onRight: () => death
  })
  if (Either.isRight(answer)) assert.deepStrictEqual(answer.right, live ? Option.some(key) : Option.none())
  const failureClass = failures[0]?.reason === "ReplyTooLarge" ? ("too large" as const) : ("suspect" as const)
  return {
    failure: failures[0],
    node: live ? ("live" as const) : ("dead" as const),
    class: !live ? ("down" as const) : Either.isRight(answer) ? ("ok" as const) : failureClass
  }
})

describe.concurrent("a node that", () => {
  for (const [what, expected] of Record.toEntries(expectations)) {
    const turn = (hostile: Node, pings: "well" | "badly") =>
      what === "refuses" ? hostile.stop : hostile.behave(what, pings)
    const options = expected === timeout ? { retry: Schedule.recurs(0) } : { attemptTimeout: "5 seconds" as const }

    it.scopedLive(what, () =>
      Effect.gen(function* () {
        const answering = yield* scene(options)
        const { hostile, keys } = answering
        const [one, two, three] = yield* unharmed(
          answering,
          Effect.gen(function* () {
            yield* turn(hostile, "well")
            const sent = hostile.bytes().sent
            const seen = yield* Effect.forEach(keys.slice(0, failureThreshold), (key) => observe(hostile, key))
            // What was in the buffers of the sockets comes on top of what the client has read.
            assert.isBelow(hostile.bytes().sent - sent, 6 * (maxReplyBytes + 8 * 1024 * 1024))
            if (expected.class === "ok") {
              assert.strictEqual(hostile.connections().accepted, expected.stays ? 1 : failureThreshold)
            }
            if (expected.pipelined) {
              const values = yield* Effect.forEach(keys, (key) => GhostDB.get(key), { concurrency: "unbounded" })
              assert.deepStrictEqual<unknown>(values, keys.map(Option.some))
            }
            return seen
          })
        )
        const silent = yield* scene(options)
        const alike = yield* unharmed(
          silent,
          Effect.zipRight(turn(silent.hostile, "badly"), observe(silent.hostile, silent.keys[0]))
        )

        assert.strictEqual(one?.class, expected.class)
        assert.strictEqual(one?.failure?.reason, expected.reason)
        if (expected.detail !== undefined) assert.include(one?.failure?.detail, expected.detail)
        assert.strictEqual(two?.class, expected.class)
        assert.strictEqual(three?.node, staysLive(expected) ? "live" : "dead")
        assert.strictEqual(alike.node, expected.pings)
      })
    )
  }
})

it("every hostility has its row in the document", async () => {
  await expect(document()).toMatchFileSnapshot("./hostile-nodes.md")
})
