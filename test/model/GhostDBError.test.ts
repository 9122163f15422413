import { inspect } from "node:util"
import { describe, it } from "@effect/vitest"
import {
  assertFalse,
  assertInclude,
  assertInstanceOf,
  assertTrue,
  deepStrictEqual,
  strictEqual
} from "@effect/vitest/utils"
import { Cause, Effect, Equal, FastCheck, Layer, Logger, Option, Redacted, Schedule, Schema } from "effect"
import {
  Client,
  FailureReason,
  type Fault,
  GhostDB,
  KeyError,
  NodeFailure,
  NodesFileError,
  NoMoreServers,
  Transport
} from "effect-ghostdb"
import { stringOf, textOf } from "../../src/model/Exchange.js"
import { annotationsOf } from "../support/annotations.js"
import { printed } from "../support/printed.js"

const refused: NodeFailure = { node: "10.0.0.1", reason: "Refused", detail: "ECONNREFUSED" }
const timeout: NodeFailure = { node: "[::1]:8000", reason: "AttemptTimeout", detail: "no reply in 1000 ms" }
const reset: NodeFailure = { node: "cache.example", reason: "Reset", detail: "" }

const noMoreServers = [
  [[], "no GhostDB node served the command: none could be tried"],
  [[refused], "no GhostDB node served the command: 10.0.0.1 Refused (ECONNREFUSED)"],
  [
    [refused, timeout, reset],
    "no GhostDB node served the command: 10.0.0.1 Refused (ECONNREFUSED); " +
      "[::1]:8000 AttemptTimeout (no reply in 1000 ms); cache.example Reset"
  ]
] as const

const keyErrors = [
  ["NotAString", undefined, "a key is a string, not undefined"],
  ["NotAString", null, "a key is a string, not null"],
  ["NotAString", 1, "a key is a string, not number"],
  ["NotAString", { a: 1 }, "a key is a string, not object"],
  ["NotAString", Symbol.iterator, "a key is a string, not symbol"],
  ["NotWellFormed", "a\ud800", 'the key "a\\ud800" is not well-formed Unicode: it holds a lone surrogate'],
  ["NotWellFormed", "\n\udc00", 'the key "\\n\\udc00" is not well-formed Unicode: it holds a lone surrogate'],
  ["Empty", "", "GhostDB v1 servers refuse the empty key"]
] as const

const nodesFileErrors = [
  [{ file: "gdb.conf", reason: "names no node" }, "gdb.conf: names no node"],
  [{ file: "gdb.conf", line: 3, text: "10.0.0.256", reason: "no IPv4" }, 'gdb.conf:3: no IPv4: "10.0.0.256"'],
  [{ file: "gdb.conf", line: 3, text: 'a\t"b"', reason: "no address" }, 'gdb.conf:3: no address: "a\\t\\"b\\""'],
  [{ file: "gdb.conf", text: "10.0.0.256", reason: "no IPv4" }, 'gdb.conf: no IPv4: "10.0.0.256"'],
  [
    { file: "https://nodes.example/gdb.conf", reason: "HTTP status 404" },
    "https://nodes.example/gdb.conf: HTTP status 404"
  ]
] as const

/** As over a wire: to JSON and back. */
const sent = <A, I>(schema: Schema.Schema<A, I>, error: A): A =>
  Schema.decodeUnknownSync(schema)(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(error))))

describe("NoMoreServers", () => {
  for (const [failures, message] of noMoreServers) {
    it(`of ${failures.length} failures has a message of one line, that all that prints errors shows`, () => {
      const error = new NoMoreServers({ failures })
      strictEqual(error.message, message)
      strictEqual(error._tag, "NoMoreServers")
      strictEqual(error.name, "NoMoreServers")
      assertFalse(message.includes("\n"))
      for (const shown of printed(error)) assertInclude(shown, message)
      assertInstanceOf(error, Error)
    })

    it(`of ${failures.length} failures survives encoding`, () => {
      const error = new NoMoreServers({ failures })
      const received = sent(NoMoreServers, error)
      assertInstanceOf(received, NoMoreServers)
      strictEqual(received.message, message)
      deepStrictEqual(received.failures, failures)
      assertTrue(Equal.equals(received._tag, error._tag))
    })
  }

  it("says where this client was too slow, and not the nodes", () => {
    const slow = { node: "10.0.0.1", reason: "QueueTimeout", detail: "waited 5000 ms" } as const
    const overloaded = { node: "10.0.0.2", reason: "Overloaded", detail: "EMFILE" } as const
    strictEqual(
      new NoMoreServers({ failures: [slow, overloaded] }).message,
      "this client could not send the GhostDB command in time: 10.0.0.1 QueueTimeout (waited 5000 ms); 10.0.0.2 Overloaded (EMFILE)"
    )
    assertTrue(
      new NoMoreServers({ failures: [refused, slow] }).message.startsWith("no GhostDB node served the command: ")
    )
  })

  it("tells the failures in the order of the attempts", () => {
    const { message } = new NoMoreServers({ failures: [reset, refused] })
    assertTrue(message.indexOf(reset.node) < message.indexOf(refused.node))
  })

  it("has every reason, by name", () => {
    for (const reason of FailureReason.literals) {
      const failure = { node: "10.0.0.1", reason, detail: "" }
      deepStrictEqual(sent(NodeFailure, failure), failure)
      strictEqual(new NoMoreServers({ failures: [failure] }).message.split(": ")[1], `10.0.0.1 ${reason}`)
    }
  })

  it("does not decode from what is none", () => {
    for (const other of [
      null,
      {},
      { _tag: "NoMoreServers" },
      { _tag: "KeyError", failures: [] },
      { _tag: "NoMoreServers", failures: [{ ...refused, reason: "Tired" }] }
    ]) {
      assertTrue(Option.isNone(Schema.decodeUnknownOption(NoMoreServers)(other)))
    }
  })

  it.effect("is caught by its tag", () =>
    Effect.gen(function* () {
      const failing: Effect.Effect<never, NoMoreServers | KeyError> = new NoMoreServers({ failures: [refused] })
      const caught = yield* failing.pipe(
        Effect.catchTags({
          NoMoreServers: ({ failures }) => Effect.succeed(failures),
          KeyError: () => Effect.succeed([])
        })
      )
      deepStrictEqual(caught, [refused])
    })
  )
})

describe("KeyError", () => {
  for (const [reason, key, message] of keyErrors) {
    it(`says in one line what is wrong: ${message}`, () => {
      const error = new KeyError({ key, reason })
      strictEqual(error.message, message)
      strictEqual(error._tag, "KeyError")
      assertFalse(message.includes("\n"))
      for (const shown of [String(error), Cause.pretty(Cause.fail(error))]) assertInclude(shown, message)
      const received = Schema.decodeUnknownSync(KeyError)(Schema.encodeSync(KeyError)(error))
      assertInstanceOf(received, KeyError)
      strictEqual(received.message, message)
      strictEqual(received.key, key)
      strictEqual(received.reason, reason)
    })
  }

  it.prop("of a string survives JSON, a lone surrogate included", { key: FastCheck.string16bits() }, ({ key }) => {
    strictEqual(sent(KeyError, new KeyError({ key, reason: "NotWellFormed" })).key, key)
  })
})

describe("NodesFileError", () => {
  for (const [fields, message] of nodesFileErrors) {
    it(`names the place: ${message}`, () => {
      const error = new NodesFileError(fields)
      strictEqual(error.message, message)
      assertFalse(message.includes("\n"))
      for (const shown of printed(error)) assertInclude(shown, message)
      const received = sent(NodesFileError, error)
      assertInstanceOf(received, NodesFileError)
      strictEqual(received.message, message)
      deepStrictEqual(Schema.encodeSync(NodesFileError)(received), { _tag: "NodesFileError", ...fields })
    })
  }
})

describe("errors and logs", () => {
  const secret = "hunter2"
  const answers: ReadonlyArray<
    readonly [string, (request: string) => Effect.Effect<{ status: number; body: string }, Fault>]
  > = [
    ["echoes the request", (request) => Effect.succeed({ status: 200, body: request })],
    ["echoes it as a message", (request) => Effect.succeed({ status: 200, body: envelope(request) })],
    ["echoes it in an error page", (request) => Effect.succeed({ status: 500, body: `cannot ${request}` })],
    [
      "writes an error document before it",
      (request) => Effect.succeed({ status: 200, body: `{}\n${envelope(request)}` })
    ],
    ["resets", () => Effect.fail({ reason: "Reset", detail: "ECONNRESET" })]
  ]
  const envelope = (message: string) =>
    JSON.stringify({ Gobj: { Key: "", Value: message, TTL: -1 }, Status: 1, Message: message, Error: "" })

  for (const [name, answer] of answers) {
    it.scoped(`hold neither values nor headers where a node ${name}`, () =>
      Effect.gen(function* () {
        const logged: Array<string> = []
        const logger = Logger.make((options) => {
          logged.push(inspect([options.message, annotationsOf(options), options.cause], { depth: null }))
        })
        const transport = Layer.succeed(Transport.Transport, {
          connect: () =>
            Effect.succeed({
              post: (_, command, body) =>
                command === "ping"
                  ? Effect.succeed({ status: 200, body: envelope("Pong!") })
                  : answer(stringOf(textOf(body) ?? "")),
              interrupt: () => Effect.void,
              release: () => Effect.void
            })
        })
        const client = Client.layer({
          nodes: ["10.0.0.1", "10.0.0.2"],
          retry: Schedule.stop,
          headers: { authorization: Redacted.make(`Bearer ${secret}`) }
        }).pipe(Layer.provide(transport), Layer.provide(Logger.replace(Logger.defaultLogger, logger)))

        const error = yield* GhostDB.put("k", { password: secret }).pipe(
          // as often as it takes for the nodes to die of it
          Effect.flip,
          Effect.repeatN(8),
          Effect.provide(client),
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        assertInstanceOf(error, NoMoreServers)
        assertTrue(error.failures.length > 0)
        for (const shown of [
          error.message,
          String(error),
          JSON.stringify(error),
          inspect(error, { depth: null, showHidden: true }),
          Cause.pretty(Cause.fail(error), { renderErrorCause: true }),
          ...logged
        ]) {
          assertFalse(shown.includes(secret), shown)
        }
        assertTrue(logged.some((line) => line.includes("GhostDB node died")))
      })
    )
  }
})
