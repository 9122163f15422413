// Nothing here is run: that it compiles, or does not, is the test.
// @effect-diagnostics floatingEffect:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Brand, type Context, Duration, Effect, Option, type Stream } from "effect"
import {
  type DeleteResult,
  type FlushResult,
  GhostDB,
  GhostDBLive,
  type GhostDBService,
  GhostDBTest,
  type Json,
  type KeyError,
  type Metrics,
  type NodesFileError,
  type NoMoreServers,
  type SnitchMetrics,
  type StoreResult,
  type Topology,
  type Ttl,
  type WatchdogMetrics
} from "effect-ghostdb"

type Keyed<A, R = never> = Effect.Effect<A, NoMoreServers | KeyError, R>
type Keyless<A, R = never> = Effect.Effect<A, NoMoreServers, R>

declare const service: GhostDBService

describe("the commands", () => {
  it("have the results and the errors of the table, as static accessors", () => {
    expectTypeOf(GhostDB.get("k")).toEqualTypeOf<Keyed<Option.Option<Json>, GhostDB>>()
    expectTypeOf(GhostDB.put("k", 1)).toEqualTypeOf<Keyed<"STORED" | "NOT_STORED", GhostDB>>()
    expectTypeOf(GhostDB.add("k", 1)).toEqualTypeOf<Keyed<"STORED" | "NOT_STORED", GhostDB>>()
    expectTypeOf(GhostDB.delete("k")).toEqualTypeOf<Keyed<"REMOVED" | "NOT_FOUND", GhostDB>>()
    expectTypeOf(GhostDB.flush).toEqualTypeOf<Keyless<"FLUSHED" | "ERR_FLUSH", GhostDB>>()
    expectTypeOf(GhostDB.ping).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>, never, GhostDB>>()
    expectTypeOf(GhostDB.nodeSize("n")).toEqualTypeOf<Keyless<Option.Option<number>, GhostDB>>()
    expectTypeOf(GhostDB.leader).toEqualTypeOf<Effect.Effect<Option.Option<string>, never, GhostDB>>()
    expectTypeOf(GhostDB.getSnitchMetrics).toEqualTypeOf<Keyless<Metrics<SnitchMetrics>, GhostDB>>()
    expectTypeOf(GhostDB.getWatchdogMetrics).toEqualTypeOf<Keyless<Metrics<WatchdogMetrics>, GhostDB>>()
    expectTypeOf(GhostDB.topology).toEqualTypeOf<Stream.Stream<Topology, never, GhostDB>>()
  })

  it("have the same as methods of the service, with nothing left to provide", () => {
    expectTypeOf(service.get("k")).toEqualTypeOf<Keyed<Option.Option<Json>>>()
    expectTypeOf(service.put("k", 1)).toEqualTypeOf<Keyed<StoreResult>>()
    expectTypeOf(service.add("k", 1)).toEqualTypeOf<Keyed<StoreResult>>()
    expectTypeOf(service.delete("k")).toEqualTypeOf<Keyed<DeleteResult>>()
    expectTypeOf(service.flush).toEqualTypeOf<Keyless<FlushResult>>()
    expectTypeOf(service.ping).toEqualTypeOf<Effect.Effect<ReadonlyArray<string>>>()
    expectTypeOf(service.nodeSize("n")).toEqualTypeOf<Keyless<Option.Option<number>>>()
    expectTypeOf(service.leader).toEqualTypeOf<Effect.Effect<Option.Option<string>>>()
    expectTypeOf(service.getSnitchMetrics).toEqualTypeOf<Keyless<Metrics<SnitchMetrics>>>()
    expectTypeOf(service.getWatchdogMetrics).toEqualTypeOf<Keyless<Metrics<WatchdogMetrics>>>()
    expectTypeOf(service.topology).toEqualTypeOf<Stream.Stream<Topology>>()
  })

  it("are all behind the tag", () => {
    expectTypeOf<Context.Tag.Service<typeof GhostDB>>().toEqualTypeOf<GhostDBService>()
    expectTypeOf<keyof GhostDBService>().toExtend<keyof typeof GhostDB>()
  })

  it("take a TTL as a number of seconds, a Duration or its text, and nothing else", () => {
    expectTypeOf<Ttl>().toEqualTypeOf<number | Duration.Duration | Extract<Duration.DurationInput, string>>()
    GhostDB.put("k", 1, 60)
    GhostDB.add("k", 1, Duration.minutes(1))
    GhostDB.add("k", 1, "1 minute")
    // @ts-expect-error a string would be read as one thing by people and as another by Duration
    GhostDB.put("k", 1, "60")
    // @ts-expect-error
    GhostDB.put("k", 1, 60n)
  })

  it("take a string for a key", () => {
    // @ts-expect-error
    GhostDB.get(1)
    // @ts-expect-error
    GhostDB.put(undefined, 1)
    // @ts-expect-error
    GhostDB.delete(null)
    GhostDB.get(Brand.nominal<string & Brand.Brand<"Symbol">>()("AMZN"))
  })

  it("compose as the design's first example does", () => {
    interface Quote {
      readonly price: number
    }
    const fetchQuote = (_: string): Effect.Effect<Quote> => Effect.succeed({ price: 1 })
    const quote = (symbol: string) =>
      GhostDB.get(symbol).pipe(
        Effect.flatMap(
          Option.match({
            onSome: Effect.succeed<Json | Quote>,
            onNone: () => fetchQuote(symbol).pipe(Effect.tap((q) => GhostDB.put(symbol, q, 300)))
          })
        ),
        Effect.catchTag("NoMoreServers", () => fetchQuote(symbol))
      )
    expectTypeOf(quote).returns.toEqualTypeOf<Effect.Effect<Json | Quote, KeyError, GhostDB>>()
    expectTypeOf(Effect.provide(quote("AMZN"), GhostDBLive("gdb.conf"))).toEqualTypeOf<
      Effect.Effect<Json | Quote, KeyError | NodesFileError>
    >()
    expectTypeOf(Effect.provide(quote("AMZN"), GhostDBTest)).toEqualTypeOf<Effect.Effect<Json | Quote, KeyError>>()
  })
})
