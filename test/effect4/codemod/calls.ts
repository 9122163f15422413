/** Calls that have another shape in Effect 4, and types with other parameters, by the member that they name. */
import ts from "typescript"
import type { Context } from "./Rewrite.js"

type Call = ts.CallExpression | ts.NewExpression | ts.TypeReferenceNode | ts.ExpressionWithTypeArguments

type Rule = (node: Call, cx: Context) => string

const argumentsOf = (node: Call): ReadonlyArray<ts.Expression> =>
  ts.isCallExpression(node) || ts.isNewExpression(node) ? (node.arguments ?? []) : []

const typesOf = (node: Call): ReadonlyArray<ts.TypeNode> => node.typeArguments ?? []

/** A member by its module and name, `effect/Effect#die`, as the file says it. */
const member = (path: string, cx: Context, isType = false): string => {
  const [module = "", name = ""] = path.split("#")
  return `${cx.namespace(module, isType)}.${name}`
}

const generics = (node: Call, cx: Context): string =>
  typesOf(node).length === 0 ? "" : `<${typesOf(node).map(cx.text).join(", ")}>`

/** The same call under another name and with other arguments. */
const call =
  (path: string, change: (args: ReadonlyArray<string>, cx: Context) => ReadonlyArray<string> = (args) => args): Rule =>
  (node, cx) => {
    const operator = ts.isNewExpression(node) ? "new " : ""
    const args = change(argumentsOf(node).map(cx.text), cx)
    return `${operator}${member(path, cx)}${generics(node, cx)}(${args.join(", ")})`
  }

/** Members in one array where they were arguments. */
const inArray = (path: string): Rule => call(path, (args) => [`[${args.join(", ")}]`])

/** An option of the object that is a call's last argument. */
const optionOf = (node: Call, name: string): ts.Expression | undefined => {
  const options = argumentsOf(node).at(-1)
  if (options === undefined || !ts.isObjectLiteralExpression(options)) return undefined
  for (const property of options.properties) {
    if (property.name === undefined || !ts.isIdentifier(property.name) || property.name.text !== name) continue
    if (ts.isPropertyAssignment(property)) return property.initializer
    if (ts.isShorthandPropertyAssignment(property)) return property.name
  }
  return undefined
}

/** What a thunk gives: its expression, or a call of it. */
const given = (thunk: ts.Expression, cx: Context): string =>
  ts.isArrowFunction(thunk) && !ts.isBlock(thunk.body) && thunk.type === undefined
    ? cx.text(thunk.body)
    : `(${cx.text(thunk)})()`

/** `timeoutFail` and its like: the options `duration` and `onTimeout`. */
const timeout =
  (orElse: (onTimeout: ts.Expression, cx: Context) => string): Rule =>
  (node, cx) => {
    const duration = optionOf(node, "duration")
    const onTimeout = optionOf(node, "onTimeout")
    if (duration === undefined || onTimeout === undefined) return cx.fail(node, "options that cannot be read")
    const before = argumentsOf(node).slice(0, -1).map(cx.text)
    const options = `{ duration: ${cx.text(duration)}, orElse: () => ${orElse(onTimeout, cx)} }`
    return `${member("effect/Effect#timeoutOrElse", cx)}(${[...before, options].join(", ")})`
  }

/** Data-first, or data-last within a pipe: with one argument less. */
const dual =
  (size: number, rewritten: (self: string, args: ReadonlyArray<string>, cx: Context) => string): Rule =>
  (node, cx) => {
    const args = argumentsOf(node).map(cx.text)
    if (args.length === size) return rewritten(args[0] ?? "", args.slice(1), cx)
    return `(self) => ${rewritten("self", args, cx)}`
  }

/** `Effect.withClock` and its like: a service of their own. */
const provided = (tag: string): Rule =>
  call("effect/Effect#provideService", (args, cx) => [...args.slice(0, -1), member(tag, cx), args.at(-1) ?? ""])

const optionalWith: Rule = (node, cx) => {
  const schema = argumentsOf(node)[0]
  const defaultOf = optionOf(node, "default")
  if (schema === undefined) return cx.fail(node, "no schema")
  if (defaultOf === undefined) {
    return optionOf(node, "exact") === undefined
      ? cx.fail(node, "no rule for these options")
      : `${member("effect/Schema#optionalKey", cx)}(${cx.text(schema)})`
  }
  // The options `default` and `nullable`: absent, undefined and null are the default.
  const [S, O, G] = ["effect/Schema", "effect/Option", "effect/SchemaGetter"].map((module) => cx.namespace(module))
  const own = cx.text(schema)
  const decode = `${G}.transformOptional((value) => ${O}.some(${O}.getOrUndefined(value) ?? ${given(defaultOf, cx)}))`
  const decoded = `${S}.decodeTo(${own}, { decode: ${decode}, encode: ${G}.passthroughSubtype() })`
  const constructed = `${S}.withConstructorDefault(${member("effect/Effect#sync", cx)}(${cx.text(defaultOf)}))`
  return `${S}.optional(${S}.NullOr(${own})).pipe(${decoded}, ${constructed})`
}

/** `Schema.Record({ key, value })` */
const record: Rule = (node, cx) => {
  const key = optionOf(node, "key")
  const value = optionOf(node, "value")
  if (key === undefined || value === undefined) return cx.fail(node, "options that cannot be read")
  return `${member("effect/Schema#Record", cx)}(${cx.text(key)}, ${cx.text(value)})`
}

/** A filter gives a result where a function gave an option. */
const filterMap = (path: string): Rule =>
  call(path, (args, cx) => [
    ...args.slice(0, -1),
    `(input) => ${member("effect/Result#fromOption", cx)}((${args.at(-1)})(input), () => undefined)`
  ])

export const calls: Readonly<Record<string, Rule>> = {
  "effect/Array#filterMap": filterMap("effect/Array#filterMap"),
  "effect/Cause#pretty": call("effect/Cause#pretty", ([cause]) => [cause ?? ""]),
  "effect/Cause#failureOrCause": (node, cx) =>
    `${member("effect/Result#flip", cx)}(${call("effect/Cause#findError")(node, cx)})`,
  "effect/Context#Tag()": (node, cx) => {
    if (!ts.isCallExpression(node) || !ts.isCallExpression(node.expression)) return cx.fail(node, "no class")
    const id = node.expression.arguments.map(cx.text).join(", ")
    return `${member("effect/Context#Service", cx)}${generics(node, cx)}()(${id})`
  },
  "effect/Context#Tag.Service": (node, cx) => {
    const [tag] = typesOf(node)
    if (tag === undefined) return cx.fail(node, "no tag")
    return `${member("effect/Context#Service.Shape", cx, true)}<${ts.isTypeReferenceNode(tag) ? "typeof " : ""}${cx.text(tag)}>`
  },
  "effect/Cause#dieOption": (node, cx) =>
    `${member("effect/Result#getSuccess", cx)}(${call("effect/Cause#findDefect")(node, cx)})`,
  "effect/ConfigProvider#fromMap": call("effect/ConfigProvider#fromUnknown", ([map]) => [`Object.fromEntries(${map})`]),
  "effect/Deferred#unsafeDone": call("~/model/Lacking#doneLater"),
  "effect/Effect#filterOrDieMessage": call("effect/Effect#filterOrElse", (args, cx) => [
    ...args.slice(0, -1),
    `() => ${member("effect/Effect#die", cx)}(new Error(${args.at(-1)}))`
  ]),
  "effect/Effect#withRequestCaching": () => "(self) => self",
  "effect/Effect#withClock": provided("effect/Clock#Clock"),
  "effect/Effect#withConfigProvider": provided("effect/ConfigProvider#ConfigProvider"),
  "effect/Effect#withRandom": provided("effect/Random#Random"),
  "effect/Effect#zipLeft": call("effect/Effect#tap", (args) => [...args.slice(0, -1), `() => ${args.at(-1)}`]),
  "effect/Fiber#poll": (node, cx) => {
    const exit = `${argumentsOf(node).map(cx.text).join(", ")}.pollUnsafe()`
    return `${member("effect/Effect#sync", cx)}(() => ${member("effect/Option#fromNullishOr", cx)}(${exit}))`
  },
  "effect/Layer#setClock": call("effect/Layer#succeed", (args, cx) => [member("effect/Clock#Clock", cx), ...args]),
  "effect/Layer#setTracer": call("effect/Layer#succeed", (args, cx) => [member("effect/Tracer#Tracer", cx), ...args]),
  "effect/Logger#remove": (_, cx) => `${member("effect/Logger#layer", cx)}([])`,
  "effect/Logger#replace": call("effect/Logger#layer", ([, logger]) => [`[${logger}]`]),
  "effect/Logger#withMinimumLogLevel": (node, cx) => {
    const args = argumentsOf(node)
    const level = args.at(-1)
    // A level is its name.
    if (level === undefined || !ts.isPropertyAccessExpression(level))
      return cx.fail(node, "a level that cannot be read")
    const reference = member("effect/References#MinimumLogLevel", cx)
    const before = args.slice(0, -1).map(cx.text)
    return `${member("effect/Effect#provideService", cx)}(${[...before, reference, `"${level.name.text}"`].join(", ")})`
  },
  // The upper bound is one of the numbers in Effect 4, unless it is told.
  "effect/Random#nextIntBetween": call("effect/Random#nextIntBetween", (args) => [...args, "{ halfOpen: true }"]),
  "effect/Request#complete": call("~/../test/support/Requests#complete"),
  "effect/Request#fail": call("~/../test/support/Requests#fail"),
  "effect/Request#TaggedClass()": (node, cx) => {
    if (!ts.isExpressionWithTypeArguments(node) || !ts.isCallExpression(node.expression))
      return cx.fail(node, "no class")
    const [success, error, fields] = typesOf(node).map(cx.text)
    const tag = node.expression.arguments.map(cx.text).join(", ")
    return `${member("effect/Request#TaggedClass", cx)}(${tag})<${fields}, ${success}, ${error}>`
  },
  "effect/Request#succeed": call("~/../test/support/Requests#succeed"),
  "effect/RequestResolver#fromFunction": call("~/../test/support/Requests#fromFunction"),
  "effect/RequestResolver#makeBatched": call("~/../test/support/Requests#makeBatched"),
  "effect/Schema#parseJson": (node, cx) =>
    argumentsOf(node).length === 0
      ? member("effect/Schema#UnknownFromJsonString", cx)
      : call("effect/Schema#fromJsonString")(node, cx),
  "effect/Effect#dieMessage": call("effect/Effect#die", ([message]) => [`new Error(${message})`]),
  "effect/Effect#disconnect": call("~/model/Lacking#disconnect"),
  "effect/Effect#gen": (node, cx) => {
    const [self, body] = argumentsOf(node)
    if (self === undefined || body === undefined) return call("effect/Effect#gen")(node, cx)
    return `${member("effect/Effect#gen", cx)}({ self: ${cx.text(self)} }, ${cx.text(body)})`
  },
  "effect/Effect#ignoreLogged": call("effect/Effect#ignore", (args) => [...args, "{ log: true }"]),
  "effect/Effect#orDieWith": dual(
    2,
    (self, [f], cx) => `${member("effect/Effect#orDie", cx)}(${member("effect/Effect#mapError", cx)}(${self}, ${f}))`
  ),
  "effect/Effect#repeatN": call("effect/Effect#repeat", (args) => [...args.slice(0, -1), `{ times: ${args.at(-1)} }`]),
  "effect/Effect#timeoutFail": timeout(
    (onTimeout, cx) => `${member("effect/Effect#fail", cx)}(${given(onTimeout, cx)})`
  ),
  "effect/Effect#timeoutFailCause": timeout(
    (onTimeout, cx) => `${member("effect/Effect#failCause", cx)}(${given(onTimeout, cx)})`
  ),
  "effect/Effect#yieldNow": (_, cx) => member("effect/Effect#yieldNow", cx),
  "effect/ConfigError#InvalidData": (node, cx) => {
    const message = argumentsOf(node).slice(1).map(cx.text).join(", ")
    const error = `new ${member("effect/ConfigProvider#SourceError", cx)}({ message: ${message} })`
    return `new ${member("effect/Config#ConfigError", cx)}(${error})`
  },
  "effect/Either#Left": (node, cx) => {
    const [left, right] = typesOf(node).map(cx.text)
    return `${member("effect/Result#Failure", cx, true)}<${right}, ${left}>`
  },
  "effect/Either#getEquivalence": (node, cx) => {
    const [left, right] = [optionOf(node, "left"), optionOf(node, "right")]
    if (left === undefined || right === undefined) return cx.fail(node, "options that cannot be read")
    return `${member("effect/Result#makeEquivalence", cx)}(${cx.text(right)}, ${cx.text(left)})`
  },
  "effect/Exit#fromEither": call("~/model/Lacking#exitOf"),
  "effect/Fiber#interrupt": (node, cx) => {
    const interrupt = call("effect/Fiber#interrupt")(node, cx)
    if (ts.isYieldExpression(node.parent) && ts.isExpressionStatement(node.parent.parent)) return interrupt
    // Where it may be used, its value is the exit of the fiber.
    const exit = call("effect/Fiber#await")(node, cx)
    return `${member("effect/Effect#andThen", cx)}(${interrupt}, ${exit})`
  },
  "effect/Fiber#interruptFork": call("~/model/Lacking#interruptFork"),
  "@effect/platform/HttpClient#withTracerDisabledWhen": dual(2, (self, [predicate], cx) => {
    const tracing = `${member("effect/http/HttpClient#TracerDisabledWhen", cx)}, ${predicate}`
    const disabled = `${member("effect/Effect#provideService", cx)}(${tracing})`
    return `${member("effect/http/HttpClient#transformResponse", cx)}(${self}, ${disabled})`
  }),
  "effect/Metric#incrementBy": call("effect/Metric#update"),
  "effect/Metric#increment": call("effect/Metric#update", (args) => [...args, "1"]),
  "effect/ParseResult#parseError": (node, cx) =>
    `new ${member("effect/Schema#SchemaError", cx)}(${argumentsOf(node).map(cx.text).join(", ")})`,
  "effect/ParseResult#Type": (node, cx) => {
    const [ast, value, message] = argumentsOf(node).map(cx.text)
    return message === undefined
      ? `new ${member("effect/SchemaIssue#InvalidType", cx)}(${ast}, ${value})`
      : `new ${member("effect/SchemaIssue#InvalidValue", cx)}({ message: ${message} }, ${value})`
  },
  "effect/Pipeable#Class": (_, cx) => member("effect/Pipeable#Class", cx),
  "effect/Runtime#runFork": call("effect/Effect#runForkWith"),
  "effect/Runtime#runSync": call("effect/Effect#runSyncWith"),
  "effect/Schedule#intersect": dual(
    2,
    (self, [other], cx) => `${member("effect/Schedule#max", cx)}([${self}, ${other}])`
  ),
  "effect/Schedule#whileOutput": call("effect/Schedule#while", ([predicate]) => [
    `({ output }) => (${predicate})(output)`
  ]),
  "effect/Schema#Literal": (node, cx) =>
    argumentsOf(node).length > 1
      ? inArray("effect/Schema#Literals")(node, cx)
      : call("effect/Schema#Literal")(node, cx),
  "effect/Schema#Record": record,
  "effect/Schema#Schema": (node, cx) => {
    const [type, encoded, services] = typesOf(node).map(cx.text)
    // With one parameter it has no other type when it is encoded.
    if (encoded === undefined) return `${member("effect/Schema#Codec", cx, true)}${generics(node, cx)}`
    const both = services === undefined ? "" : `, ${services}, ${services}`
    return `${member("effect/Schema#Codec", cx, true)}<${type}, ${encoded}${both}>`
  },
  // Without an identifier of its own the name of the error is its tag, as in Effect 3.
  "effect/Schema#TaggedError": call("effect/Schema#TaggedError", () => []),
  "effect/Schema#Tuple": inArray("effect/Schema#Tuple"),
  "effect/Schema#Union": inArray("effect/Schema#Union"),
  "effect/Schema#optionalWith": optionalWith,
  "effect/Schema#decodeUnknownEither": call("effect/Schema#decodeUnknownResult", (args) =>
    // An absent member is not undefined in Effect 4, as it is with this option.
    args.filter((arg) => arg !== "{ exact: true }")
  ),
  "effect/Schema#transform": (node, cx) => {
    const [from, to] = argumentsOf(node)
    const [decode, encode] = [optionOf(node, "decode"), optionOf(node, "encode")]
    if (from === undefined || to === undefined || decode === undefined || encode === undefined) {
      return cx.fail(node, "options that cannot be read")
    }
    const G = cx.namespace("effect/SchemaGetter")
    const both = `{ decode: ${G}.transform(${cx.text(decode)}), encode: ${G}.transform(${cx.text(encode)}) }`
    return `${cx.text(from)}.pipe(${member("effect/Schema#decodeTo", cx)}(${cx.text(to)}, ${both}))`
  },
  "effect/TestClock#sleeps": (_, cx) =>
    `${member("effect/Effect#sync", cx)}(() => ${member("effect/Chunk#empty", cx)}())`,
  "effect/Stream#catchAllCause": call("~/model/Lacking#catchFailure"),
  "effect/Stream#fromPubSub": (node, cx) =>
    optionOf(node, "scoped") === undefined
      ? call("effect/Stream#fromPubSub")(node, cx)
      : `${member("effect/Effect#map", cx)}(${call("effect/PubSub#subscribe", ([hub]) => [hub ?? ""])(node, cx)}, ${member("effect/Stream#fromSubscription", cx)})`,
  "effect/Stream#flatMap": (node, cx) =>
    optionOf(node, "switch") === undefined
      ? call("effect/Stream#flatMap")(node, cx)
      : call("effect/Stream#switchMap", (args) => args.slice(0, -1))(node, cx),
  "effect/Stream#filterMap": filterMap("effect/Stream#filterMap"),
  "effect/Stream#mapAccumEffect": call("~/model/Lacking#mapAccumEffect")
}
