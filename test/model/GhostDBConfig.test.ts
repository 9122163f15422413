import { inspect } from "node:util"
import { describe, it } from "@effect/vitest"
import { assertFalse, assertInstanceOf, assertTrue, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import {
  Array as Arr,
  Cause,
  Chunk,
  Config,
  ConfigError,
  ConfigProvider,
  Duration,
  Effect,
  Either,
  Exit,
  FastCheck,
  Layer,
  Option,
  Redacted,
  Schedule
} from "effect"
import { Client, GhostDBConfig, type GhostDBOptions, type NodeFailure, Transport } from "effect-ghostdb"

/** The options of untyped code. */
const untyped = (options: object): GhostDBOptions => options

const problem = (options: object) =>
  Either.getOrElse(Either.flip(GhostDBConfig.resolve(untyped(options))), () => "none")
const resolve = (options: GhostDBOptions) => Either.getOrThrow(GhostDBConfig.resolve(options))

/** The delays of a schedule, as far as `count` failures in a row take it. */
const delays = (schedule: Schedule.Schedule<unknown, NodeFailure>, count: number) =>
  Schedule.run(
    Schedule.delays(schedule),
    0,
    Arr.replicate({ node: "10.0.0.1", reason: "Refused" as const, detail: "" }, count)
  ).pipe(Effect.map((delays) => Chunk.toReadonlyArray(delays).map(Duration.toMillis)))

/** A transport that connects and is never used. */
const idle = Layer.succeed(Transport.Transport, {
  connect: () => Effect.succeed({ post: () => Effect.never, interrupt: () => Effect.void, release: () => Effect.void })
})

describe("GhostDBConfig", () => {
  describe("defaults", () => {
    it("are those of the documentation", () => {
      const { election: _election, retry: _retry, revive: _revive, ...plain } = GhostDBConfig.defaults
      deepStrictEqual(plain, {
        port: 7991,
        protocol: "http",
        replicas: 1,
        attemptTimeout: 1000,
        deadline: 5000,
        failureThreshold: 3,
        connections: 1,
        idleTimeout: 90_000,
        pipelining: 256,
        onRevival: "keep",
        headers: {},
        tls: {},
        maxRequestBytes: 4 * 1024 * 1024,
        maxReplyBytes: 64 * 1024 * 1024,
        dialect: "auto",
        readFrom: "leaderPreferred",
        leaderLease: 2000,
        failover: "standIn",
        pollInterval: 30_000,
        metrics: true,
        spans: "auto",
        keysInSpans: false,
        failOpen: false
      })
    })

    it("are what no options come to", () => {
      deepStrictEqual(resolve({}), GhostDBConfig.defaults)
    })

    it("hold where an option of untyped code is undefined", () => {
      const undefineds = Object.fromEntries(Object.keys(GhostDBConfig.defaults).map((name) => [name, undefined]))
      deepStrictEqual(resolve(untyped(undefineds)), GhostDBConfig.defaults)
    })

    it.effect("try a node again twice, after about 20 and 40 ms", () =>
      Effect.gen(function* () {
        for (const _ of Arr.range(1, 50)) {
          const [first = 0, second = 0, ...rest] = yield* delays(GhostDBConfig.defaults.retry, 5)
          assertTrue(first >= 16 && first <= 24, `${first} ms`)
          assertTrue(second >= 32 && second <= 48, `${second} ms`)
          // the third failure ends it
          deepStrictEqual(rest, [0])
        }
      })
    )

    it.effect("revive every 30 seconds, give or take a fifth, without end", () =>
      Effect.gen(function* () {
        const waits = yield* delays(GhostDBConfig.defaults.revive, 200)
        strictEqual(waits.length, 200)
        for (const wait of waits) assertTrue(wait >= 24_000 && wait <= 36_000, `${wait} ms`)
        assertTrue(new Set(waits).size > 1, "clients must not come back at once")
      })
    )

    it.effect("look for a leader every 100 ms", () =>
      Effect.gen(function* () {
        deepStrictEqual(yield* delays(GhostDBConfig.defaults.election, 3), [100, 100, 100])
      })
    )
  })

  it("takes what is given", () => {
    const retry = Schedule.recurs(7)
    const token = Redacted.make("secret")
    const given = {
      port: 65535,
      protocol: "https",
      replicas: 40,
      retry,
      failureThreshold: 1,
      connections: 8,
      onRevival: "flush",
      tls: { ca: ["a", "b"], rejectUnauthorized: false },
      maxRequestBytes: 1,
      maxReplyBytes: Number.MAX_SAFE_INTEGER,
      dialect: "raft",
      readFrom: "any",
      spans: "never"
    } as const
    const settings = resolve({
      ...given,
      attemptTimeout: "2 seconds",
      deadline: Duration.millis(2500),
      headers: { "X-Token": token }
    })
    deepStrictEqual(settings, {
      ...GhostDBConfig.defaults,
      ...given,
      attemptTimeout: 2000,
      deadline: 2500,
      headers: { "X-Token": token }
    })
    strictEqual(settings.retry, retry)
  })

  it("takes durations and their texts, in milliseconds", () => {
    for (const [input, millis] of [
      ["300 millis", 300],
      ["2 minutes", 120_000],
      [Duration.seconds(3), 3000],
      [Duration.nanos(1_500_000n), 1.5]
    ] as const) {
      strictEqual(resolve({ attemptTimeout: input }).attemptTimeout, millis)
      strictEqual(resolve({ deadline: input }).deadline, millis)
    }
  })

  describe("refuses in one line that names the option and what it must be", () => {
    const counts = ["failureThreshold", "connections", "pipelining", "maxRequestBytes", "maxReplyBytes"]
    for (const name of counts) {
      it(name, () => {
        for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, null, "three"]) {
          strictEqual(problem({ [name]: value }), `${name} must be a whole number, 1 or more, not ${value}`)
        }
      })
    }

    it("replicas", () => {
      for (const value of [0, -1, 1.5, 65537, Number.NaN, "three"]) {
        strictEqual(problem({ replicas: value }), `replicas must be a whole number between 1 and 65536, not ${value}`)
      }
    })

    for (const name of ["retry", "revive", "election"]) {
      it(name, () => {
        for (const value of [5, "1 second", {}, null])
          strictEqual(problem({ [name]: value }), `${name} must be a Schedule`)
      })
    }

    it("port", () => {
      for (const value of [0, -1, 1.5, 65536, Number.NaN, "7991"]) {
        strictEqual(problem({ port: value }), `port must be a whole number between 1 and 65535, not ${value}`)
      }
      for (const port of [1, 65535]) strictEqual(resolve({ port }).port, port)
    })

    for (const name of ["attemptTimeout", "deadline", "leaderLease", "pollInterval"]) {
      it(name, () => {
        const bad = [
          // In what unit?
          500,
          1_500_000n,
          [2, 500_000_000],
          Number.NaN,
          Duration.zero,
          Duration.infinity,
          "soon",
          "5",
          {},
          true
        ]
        for (const value of bad) {
          strictEqual(
            problem({ [name]: value }),
            `${name} must be a Duration or its text, as "5 seconds", longer than 0 and finite`
          )
        }
      })
    }

    it("idleTimeout", () => {
      for (const value of [500, Number.NaN, Duration.zero, "soon", "5", {}, true]) {
        strictEqual(
          problem({ idleTimeout: value }),
          'idleTimeout must be a Duration or its text, as "90 seconds", longer than 0'
        )
      }
      strictEqual(resolve({ idleTimeout: "5 minutes" }).idleTimeout, 300_000)
      strictEqual(resolve({ idleTimeout: Duration.infinity }).idleTimeout, Number.POSITIVE_INFINITY)
    })

    for (const [name, known] of [
      ["protocol", "http, https"],
      ["onRevival", "keep, flush"],
      ["dialect", "auto, v1, v2, raft"],
      ["readFrom", "leaderPreferred, leader, any"],
      ["failover", "standIn, none"],
      ["spans", "auto, always, never"]
    ] as const) {
      it(name, () => {
        for (const value of ["", "other", known.toUpperCase(), 1, null]) {
          strictEqual(problem({ [name]: value }), `${name} must be one of ${known}, not ${value}`)
        }
      })
    }

    it("the first of several", () => {
      strictEqual(problem({ deadline: 0, replicas: 0 }), "replicas must be a whole number between 1 and 65536, not 0")
    })
  })

  describe("headers", () => {
    it("are taken plain or Redacted, and kept Redacted", () => {
      const { headers } = resolve({
        headers: { Authorization: "Bearer a", "X-Trace": Redacted.make("b"), "x-empty": "" }
      })
      deepStrictEqual(Object.keys(headers), ["Authorization", "X-Trace", "x-empty"])
      deepStrictEqual(
        Object.values(headers).map((value) => [Redacted.isRedacted(value), Redacted.value(value)]),
        [
          [true, "Bearer a"],
          [true, "b"],
          [true, ""]
        ]
      )
    })

    const injections = [
      "a\r\nX-Evil: 1",
      "a\nb",
      "a\rb",
      "\u0000",
      "a\u007f",
      "\u001b[0m",
      "a\r\n\r\nPOST /flush HTTP/1.1"
    ]
    // the last byte of each is CR or LF where a character is cut to a byte
    const foreign = ["\u010a", "\u010d", "caf\u00e9", "\u2028", "😀", "\ud800"]

    it("that would inject into the request are refused, without showing the value", () => {
      for (const value of [...injections, ...foreign]) {
        for (const given of [value, Redacted.make(value), `${value} hunter2`]) {
          strictEqual(problem({ headers: { "X-Token": given } }), 'headers: "X-Token" is no valid HTTP header')
        }
      }
    })

    it("with a name that is no token are refused", () => {
      for (const name of ["", " ", "a b", "a:", "a\r\nb", "a\u0000", "é", "X-Token ", "(a)", '"a"', "\ud800"]) {
        strictEqual(
          problem({ headers: { [name]: "hunter2" } }),
          `headers: ${JSON.stringify(name)} is no valid HTTP header`
        )
      }
    })

    it("that frame the request are the transport's own", () => {
      const names = ["Content-Length", "content-type", "TRANSFER-ENCODING", "Connection", "host", "Expect", "upgrade"]
      for (const name of names)
        strictEqual(problem({ headers: { [name]: "a" } }), `headers: ${name} is set by the transport`)
    })

    it.prop(
      "that are accepted are one line of the request",
      { name: FastCheck.fullUnicodeString(), value: FastCheck.string16bits() },
      ({ name, value }) => {
        Either.match(GhostDBConfig.resolve({ headers: { [name]: value } }), {
          onLeft: (problem) => assertFalse(/[\r\n]/.test(problem)),
          onRight: ({ headers }) => {
            const [line = ""] = Object.entries(headers).map(([name, value]) => `${name}: ${Redacted.value(value)}`)
            assertTrue(/^[!-9;-~]+: [\t -~]*$/.test(line), JSON.stringify(line))
          }
        })
      },
      { fastCheck: { numRuns: 500 } }
    )
  })

  it("never prints what is Redacted", () => {
    const settings = resolve({
      headers: { authorization: "hunter2", "x-api-key": Redacted.make("hunter2") },
      tls: { key: Redacted.make("hunter2"), cert: "PEM" }
    })
    const { authorization } = settings.headers
    strictEqual(authorization && Redacted.value(authorization), "hunter2")
    for (const shown of [
      JSON.stringify(settings),
      JSON.stringify(settings, null, 2),
      String(settings),
      String(settings.headers.authorization),
      `${settings.tls.key}`,
      inspect(settings, { depth: null, showHidden: true, getters: true }),
      inspect(settings.headers, { customInspect: false, depth: null, showHidden: true }),
      inspect(new Error("options", { cause: settings }), { depth: null }),
      Cause.pretty(Cause.die(settings))
    ]) {
      assertFalse(shown.includes("hunter2"), shown)
    }
  })

  describe("options that cannot be used", () => {
    it.scoped("are a defect of the layer, never of the caller", () =>
      Effect.gen(function* () {
        for (const options of [{ replicas: 0 }, { attemptTimeout: "soon" }, { headers: { "a b": "c" } }]) {
          const exit = yield* Effect.exit(
            Layer.build(Layer.provide(Client.layer({ nodes: ["10.0.0.1"], ...untyped(options) }), idle))
          )
          const [defect] = Exit.isFailure(exit) ? Chunk.toReadonlyArray(Cause.defects(exit.cause)) : []
          assertInstanceOf(defect, Cause.IllegalArgumentException)
          strictEqual(defect.message, problem(options))
        }
      })
    )

    it.scoped("are a ConfigError of layerConfig", () =>
      Effect.gen(function* () {
        const error = yield* Client.layerConfig({
          nodes: Config.array(Config.string(), "NODES"),
          port: Config.integer("PORT")
        }).pipe(
          Layer.provide(idle),
          Layer.build,
          Effect.withConfigProvider(
            ConfigProvider.fromMap(
              new Map([
                ["NODES", "10.0.0.1,10.0.0.2"],
                ["PORT", "70000"]
              ])
            )
          ),
          Effect.flip
        )
        deepStrictEqual(
          error,
          ConfigError.InvalidData([], "port must be a whole number between 1 and 65535, not 70000")
        )
      })
    )

    it.scoped("layerConfig takes each option from the configuration, secrets Redacted", () =>
      Effect.gen(function* () {
        const connected: Array<Transport.TransportSettings> = []
        const transport = Layer.succeed(Transport.Transport, {
          connect: (settings) =>
            Effect.sync(() => {
              connected.push(settings)
              return { post: () => Effect.never, interrupt: () => Effect.void, release: () => Effect.void }
            })
        })
        yield* Client.layerConfig({
          nodes: Config.array(Config.string(), "NODES"),
          port: Config.integer("PORT"),
          attemptTimeout: Config.duration("TIMEOUT"),
          headers: { authorization: Config.redacted("TOKEN") }
        }).pipe(
          Layer.provide(transport),
          Layer.build,
          Effect.withConfigProvider(
            ConfigProvider.fromMap(
              new Map([
                ["NODES", "10.0.0.1, 10.0.0.2"],
                ["PORT", "8000"],
                ["TIMEOUT", "300 millis"],
                ["TOKEN", "hunter2"]
              ])
            )
          )
        )
        const [settings] = connected
        strictEqual(settings?.port, 8000)
        strictEqual(settings?.attemptTimeout, 300)
        deepStrictEqual(
          Option.map(Option.fromNullable(settings?.headers.authorization), Redacted.value),
          Option.some("hunter2")
        )
        assertFalse(inspect(connected, { depth: null, showHidden: true }).includes("hunter2"))
      })
    )
  })
})
