/** What has another name in Effect 4: modules, members, properties and words. Calls of another shape are in calls.ts. */

/** Modules whose members are not looked at: those of another package, and one of the tests. */
export const unchecked: ReadonlySet<string> = new Set([
  "fast-check",
  "@effect/platform-node/Undici",
  "~/../test/support/TestClock"
])

/** The barrels of Effect 3 from which files import namespaces. */
export const barrels: ReadonlySet<string> = new Set([
  "effect",
  "@effect/platform",
  "@effect/platform-node",
  "@effect/experimental"
])

/** Whether a module of Effect 4 is imported from a barrel where the file did so before: not where it has none. */
export const isBarrelled = (module: string): boolean => /^@?effect\//.test(module)

type Names = Readonly<Record<string, string>>

const moved = (from: string, to: string, names: ReadonlyArray<string>): Names =>
  Object.fromEntries(names.map((name) => [`${from}/${name}`, `${to}/${name}`]))

/** Modules that have moved. */
export const modules: Names = {
  "effect/Either": "effect/Result",
  "effect/FastCheck": "fast-check",
  "effect/TestClock": "effect/testing/TestClock",
  "@effect/platform/Error": "effect/PlatformError",
  "@effect/platform-node/NodeContext": "@effect/platform-node/NodeServices",
  ...moved("@effect/platform", "effect", ["FileSystem", "Path", "Terminal"]),
  ...moved("@effect/platform", "effect/http", [
    "FetchHttpClient",
    "Headers",
    "HttpBody",
    "HttpClient",
    "HttpClientError",
    "HttpClientRequest",
    "HttpClientResponse",
    "HttpRouter",
    "HttpServer",
    "HttpServerRequest",
    "HttpServerResponse"
  ]),
  ...moved("@effect/platform", "effect/persistence", ["KeyValueStore"]),
  ...moved("@effect/experimental", "effect/persistence", ["Persistence", "PersistedCache"])
}

/** Modules in the place of which the tests have one of their own. */
export const testModules: Names = { "effect/TestClock": "~/../test/support/TestClock" }

/** Members that have another name, or are those of another module: `module#member`. */
export const members: Readonly<Record<string, Names>> = {
  "effect/Array": {
    getEquivalence: "makeEquivalence",
    isNonEmptyReadonlyArray: "isReadonlyArrayNonEmpty"
  },
  "effect/Cause": {
    IllegalArgumentException: "IllegalArgumentError",
    isIllegalArgumentException: "isIllegalArgumentError",
    isInterruptedOnly: "hasInterruptsOnly",
    isInterrupted: "hasInterrupts",
    failureOption: "findErrorOption",
    isDie: "hasDies"
  },
  // The other is the wall clock's in Effect 4; the sources measure durations by it.
  "effect/Clock": { ClockTypeId: "ClockTypeId", currentTimeNanos: "monotonicTimeNanos" },
  "effect/Config": {
    "Config.Wrap": "Wrap",
    array: "Array",
    boolean: "Boolean",
    duration: "Duration",
    integer: "Int",
    literal: "Literal",
    number: "Number",
    redacted: "Redacted",
    string: "String"
  },
  "effect/ConfigError": { ConfigError: "effect/Config#ConfigError" },
  "effect/Context": { Tag: "Service", GenericTag: "Service", "Tag.Service": "Service.Shape" },
  "effect/DateTime": { unsafeMake: "makeUnsafe" },
  "effect/Deferred": { unsafeMake: "makeUnsafe" },
  "effect/Duration": {
    DurationInput: "Input",
    decode: "fromInputUnsafe",
    decodeUnknown: "fromInput"
  },
  "effect/Effect": {
    "Effect.Success": "Success",
    "fn.Return": "fn.Return",
    Latch: "effect/Latch#Latch",
    catchAll: "catch",
    catchAllCause: "catchCause",
    catchAllDefect: "catchDefect",
    clock: "effect/Clock#Clock",
    either: "result",
    fork: "forkChild",
    forkDaemon: "forkDetach",
    async: "callback",
    makeLatch: "effect/Latch#make",
    orElse: "catch",
    random: "effect/Random#Random",
    runtime: "context",
    tapErrorCause: "tapCause",
    unsafeMakeSemaphore: "effect/Semaphore#makeUnsafe",
    unsafeMakeLatch: "effect/Latch#makeUnsafe",
    whenEffect: "when",
    withFiberRuntime: "withFiber",
    zipRight: "andThen"
  },
  "effect/Either": {
    Either: "Result",
    left: "fail",
    right: "succeed",
    isEither: "isResult",
    isLeft: "isFailure",
    isRight: "isSuccess",
    getLeft: "getFailure",
    getRight: "getSuccess",
    mapLeft: "mapError"
  },
  "effect/Encoding": {
    decodeBase64: "effect/encoding/Base64#decode",
    encodeBase64: "effect/encoding/Base64#encode"
  },
  "effect/Equivalence": { string: "String" },
  "effect/Exit": { isInterrupted: "hasInterrupts", causeOption: "getCause" },
  "effect/Fiber": { RuntimeFiber: "Fiber" },
  "effect/TestClock": { currentTimeMillis: "effect/Clock#currentTimeMillis" },
  "@effect/platform-node/NodeHttpClient": { layer: "layerNodeHttp" },
  "effect/Predicate": { isRecord: "isObject" },
  "effect/Queue": { unsafeOffer: "offerUnsafe" },
  "effect/Scope": { extend: "provide" },
  "effect/Layer": {
    scoped: "effect",
    scopedContext: "effectContext",
    scopedDiscard: "effectDiscard",
    unwrapEffect: "unwrap",
    unwrapScoped: "unwrap"
  },
  "effect/Metric": { "Metric.Counter": "Counter", "Metric.Histogram": "Histogram" },
  "effect/Option": { fromNullable: "fromNullishOr", getRight: "getSuccess" },
  "effect/Order": { number: "Number", string: "String" },
  "effect/ParseResult": {
    ParseError: "effect/Schema#SchemaError",
    decodeUnknownEither: "effect/Schema#decodeUnknownResult"
  },
  "effect/Request": {
    "Request.Error": "Error",
    "Request.Result": "Result",
    "Request.Success": "Success"
  },
  "effect/Schema": {
    BigIntFromSelf: "BigInt",
    Date: "DateFromString",
    DateFromSelf: "Date",
    Duration: "DurationFromString",
    Object: "ObjectKeyword",
    "Schema.Type": "Schema.Type",
    "Schema.Encoded": "Codec.Encoded",
    decode: "decodeEffect",
    decodeUnknown: "decodeUnknownEffect",
    encode: "encodeEffect"
  },
  "effect/Stream": {
    catchAll: "catch",
    execute: "fromEffectDrain",
    repeatEffect: "fromEffectRepeat",
    repeatEffectWithSchedule: "fromEffectSchedule",
    unwrapScoped: "unwrap"
  }
}

/** What stands for a member that has a rule as a call, where it is no call. */
export const values: Readonly<Record<string, string>> = {
  "effect/Cause#pretty": "effect/Cause#pretty",
  "effect/Effect#disconnect": "~/model/Lacking#disconnect",
  "effect/Exit#fromEither": "~/model/Lacking#exitOf",
  "effect/Fiber#interruptFork": "~/model/Lacking#interruptFork",
  "effect/Schema#Schema": "effect/Schema#Schema"
}

/** Members that are values in Effect 3 and calls in Effect 4, or of another name where they stand alone. */
export const expressions: Names = {
  "effect/Schema#NonNegative": "effect/Schema#Number.check(Schema.isGreaterThanOrEqualTo(0))",
  "effect/Schema#Positive": "effect/Schema#Number.check(Schema.isGreaterThan(0))",
  "effect/TestContext#TestContext": "effect/testing/TestClock#layer()",
  "effect/Schema#Defect": "effect/Schema#Defect()",
  "effect/Schedule#stop": "effect/Schedule#recurs(0)",
  "effect/Stream#void": "effect/Stream#succeed(undefined)"
}

/** Arguments that Effect 4 does not take. */
export const dropped: ReadonlySet<string> = new Set(["effect/FiberId#none"])

/** Members of values, by their names alone. */
export const properties: Names = {
  unsafeClose: "closeUnsafe",
  unsafeCurrentTimeMillis: "currentTimeMillisUnsafe",
  unsafeCurrentTimeNanos: "monotonicTimeNanosUnsafe",
  unsafePoll: "pollUnsafe",
  unsafeUpdate: "updateUnsafe"
}

/** Members of values by the names of both: a level is a text in Effect 4. */
export const paths: Names = { "logLevel.label": "logLevel.toUpperCase()" }

/** Options that Effect 4 has not. */
export const options: ReadonlySet<string> = new Set(["captureStackTrace"])

/** Options of another name and value: the requests of one moment are a batch. */
export const assignments: Names = { "batching: true": 'concurrency: "unbounded"' }

/** Methods that are functions of a module. */
export const methods: Names = {
  unsafeInterruptAsFork: "~/model/Lacking#interruptLater",
  unsafeOffer: "effect/Queue#offerUnsafe",
  unsafeOpen: "~/model/Lacking#openLater"
}

/** Texts that name errors and other tags. */
export const texts: Names = { ParseError: "SchemaError" }

/** Tags of an Either, in files that import the module. */
export const resultTags: Names = { Left: "Failure", Right: "Success" }

/** Members of an Either, in files that import the module. */
export const results: Names = { left: "failure", right: "success" }

/** Options of its functions, likewise. */
export const resultOptions: Names = { onLeft: "onFailure", onRight: "onSuccess" }

/** Comments in the words of Effect 4. */
export const words = (comment: string): string =>
  comment
    .replaceAll("@effect/platform`", "effect`")
    .replaceAll("@effect/experimental", "effect/persistence")
    .replaceAll("ParseError", "SchemaError")
    .replaceAll("Effect.async", "Effect.callback")
