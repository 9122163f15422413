// Nothing here is run: that it compiles, or does not, is the test.
// @effect-diagnostics floatingEffect:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Config, type ConfigError, type Effect, type Layer, type Redacted, Schedule, type Scope } from "effect"
import {
  Client,
  type ClientOptions,
  type DurationLike,
  GhostDB,
  GhostDBLive,
  type GhostDBOptions,
  type GhostDBService,
  GhostDBTest,
  type NodesFileError,
  type NoMoreServers,
  TestCluster,
  type Transport
} from "effect-ghostdb"

describe("the layers", () => {
  type Plain = Layer.Layer<GhostDB, NodesFileError>
  type Checked = Layer.Layer<GhostDB, NodesFileError | NoMoreServers>

  it("over a nodes file fail with NodesFileError, and with requireLive with NoMoreServers too", () => {
    expectTypeOf(GhostDBLive("gdb.conf")).toEqualTypeOf<Plain>()
    expectTypeOf(GhostDBLive("gdb.conf", {})).toEqualTypeOf<Plain>()
    expectTypeOf(GhostDBLive("gdb.conf", { port: 8000 })).toEqualTypeOf<Plain>()
    expectTypeOf(GhostDBLive("gdb.conf", {} as GhostDBOptions)).toEqualTypeOf<Plain>()
    expectTypeOf(GhostDBLive("gdb.conf").pipe(GhostDB.requireLive)).toEqualTypeOf<Checked>()
    expectTypeOf(GhostDB.requireLive(GhostDBTest)).toEqualTypeOf<Layer.Layer<GhostDB, NoMoreServers>>()
    // @ts-expect-error a combinator, not an option
    GhostDBLive("gdb.conf", { requireLive: true })
  })

  it("over nodes need a Transport, and fail alike", () => {
    const nodes = ["10.0.0.1"]
    expectTypeOf(Client.layer({ nodes })).toEqualTypeOf<Layer.Layer<GhostDB, NodesFileError, Transport.Transport>>()
    expectTypeOf(Client.layer({ nodes }).pipe(GhostDB.requireLive)).toEqualTypeOf<
      Layer.Layer<GhostDB, NodesFileError | NoMoreServers, Transport.Transport>
    >()
    expectTypeOf(Client.make({ nodes })).toEqualTypeOf<
      Effect.Effect<GhostDBService, NodesFileError, Transport.Transport | Scope.Scope>
    >()
  })

  it("from the configuration fail with ConfigError as well", () => {
    expectTypeOf(Client.layerConfig({ nodes: Config.array(Config.string(), "NODES") })).toEqualTypeOf<
      Layer.Layer<GhostDB, ConfigError.ConfigError | NodesFileError, Transport.Transport>
    >()
    Client.layerConfig(Config.map(Config.string("NODES"), (nodes): ClientOptions => ({ nodes: nodes.split(",") })))
    Client.layerConfig({
      nodes: Config.succeed(["10.0.0.1"]),
      port: Config.integer("PORT"),
      protocol: Config.literal("http", "https")("PROTOCOL"),
      attemptTimeout: Config.duration("ATTEMPT_TIMEOUT"),
      headers: { authorization: Config.redacted("TOKEN") },
      tls: { ca: Config.string("CA"), key: Config.redacted("KEY"), rejectUnauthorized: Config.boolean("VERIFY") },
      retry: Config.succeed(Schedule.recurs(1))
    })
    // @ts-expect-error
    Client.layerConfig({ port: Config.integer("PORT") })
    // @ts-expect-error
    Client.layerConfig({ nodes: Config.succeed(["10.0.0.1"]), port: Config.string("PORT") })
  })

  it("in memory cannot fail", () => {
    expectTypeOf(GhostDBTest).toEqualTypeOf<Layer.Layer<GhostDB>>()
    expectTypeOf(TestCluster.layer({ nodes: 3 })).toEqualTypeOf<Layer.Layer<GhostDB | TestCluster>>()
  })

  it("take the options of the design and no others", () => {
    const options: Required<GhostDBOptions> = {} as Required<GhostDBOptions>
    expectTypeOf(options.protocol).toEqualTypeOf<"http" | "https">()
    expectTypeOf(options.onRevival).toEqualTypeOf<"keep" | "flush">()
    expectTypeOf(options.dialect).toEqualTypeOf<"auto" | "v1" | "v2" | "raft">()
    expectTypeOf(options.attemptTimeout).toEqualTypeOf<DurationLike>()
    expectTypeOf(options.deadline).toEqualTypeOf<DurationLike>()
    expectTypeOf(options.headers).toEqualTypeOf<Readonly<Record<string, string | Redacted.Redacted<string>>>>()
    GhostDBLive("gdb.conf", { retry: Schedule.recurs(2), revive: Schedule.spaced("30 seconds") })
    // @ts-expect-error
    GhostDBLive("gdb.conf", { prot: 1 })
    // @ts-expect-error in what unit?
    GhostDBLive("gdb.conf", { attemptTimeout: 500 })
    // @ts-expect-error
    GhostDBLive("gdb.conf", { dialect: "v3" })
    // @ts-expect-error exactOptionalPropertyTypes: leave it out
    GhostDBLive("gdb.conf", { port: undefined })
    // @ts-expect-error
    GhostDBLive()
  })
})
