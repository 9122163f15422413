/**
 * The nodes file: one node address a line. The parser, and the file and the URL as sources that are watched.
 *
 * An address is an IPv4 address, a host name or an IPv6 address in brackets, each with an optional `:port`. It is kept
 * exactly as written, because the ring hashes it: `10.0.0.1` and `10.0.0.1:7991` are two nodes to the ring.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Equivalence from "effect/Equivalence"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { NodesFileError } from "../model/GhostDBError.js"

/** Where to connect to. `host` has no brackets. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** A line that was left out of the list, and why. */
export interface Warning {
  /** The line's number, from 1. */
  readonly line: number
  readonly text: string
  readonly reason: string
}

/** What a nodes file holds: at least one address, in the order of the file, no address twice. */
export interface Parsed {
  readonly nodes: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<Warning>
}

/** The nodes of a source as they are, and as they change. */
export interface Watched {
  /** The addresses at the time of the call, in the order of the file. */
  readonly nodes: ReadonlyArray<string>
  /**
   * Each new list of addresses, complete, whenever it differs from the one before, the first time from `nodes`. Nothing
   * that happens between the call and the start of the stream is lost. The source is watched while the stream runs. It
   * does not fail: what cannot be read or parsed is logged as a warning, once until it changes, and left out.
   */
  readonly changes: Stream.Stream<ReadonlyArray<string>>
}

// -----------------------------------------------------------------------------
// Addresses
// -----------------------------------------------------------------------------

const octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`)
const label = /^(?!-)[\w-]{1,63}(?<!-)$/

/** As URL parsers and resolvers see it: a name that ends in a number is an IPv4 address. */
const endsInNumber = /(?:^|\.)(?:\d+|0[xX][\da-fA-F]*)\.?$/

const isIPv6 = (text: string): boolean => {
  const halves = text.split("::")
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")))
  const last = groups.at(-1)
  // the last two groups may be written as an IPv4 address, at the very end only
  const mapped = last !== undefined && ipv4.test(last) && text.endsWith(last)
  const size = groups.length + (mapped ? 1 : 0)
  return (
    (halves.length === 1 ? size === 8 : halves.length === 2 && size <= 7) &&
    (mapped ? groups.slice(0, -1) : groups).every((group) => /^[\da-f]{1,4}$/i.test(group))
  )
}

/** What is wrong with a host that is not in brackets. */
const hostProblem = (host: string): string | undefined => {
  if (host === "") return "the host is missing"
  if (endsInNumber.test(host)) return ipv4.test(host) ? undefined : "not an IPv4 address, although it ends in a number"
  if (host.includes("\0") || host.includes("\ufffd")) return "not UTF-8 text"
  const name = host.endsWith(".") ? host.slice(0, -1) : host
  if (name.length > 253) return "a host name has at most 253 characters"
  return name.split(".").every((part) => label.test(part))
    ? undefined
    : "not a host name: it is made of letters, digits, hyphens and underscores in labels of 1 to 63, separated by dots"
}

const portProblem = (port: string | undefined): string | undefined =>
  port === undefined || (/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535)
    ? undefined
    : "a port is a whole number from 1 to 65535"

/** What is wrong with an address, in plain words. */
const addressProblem = (address: string): string | undefined => {
  if (/[\s,;]/.test(address)) return "one address a line"
  if (/[/@?]/.test(address)) return "an address is a host or host:port, without a scheme, a user or a path"
  const inBrackets = /^\[([^[\]]*)\](?::(.*))?$/.exec(address)
  if (inBrackets !== null) {
    const [, host = "", port] = inBrackets
    return isIPv6(host) ? portProblem(port) : "not an IPv6 address"
  }
  if (/[[\]]/.test(address)) return "an IPv6 address is written [address] or [address]:port"
  const [host = "", port, more] = address.split(":")
  return more === undefined
    ? (hostProblem(host) ?? portProblem(port))
    : "an IPv6 address goes in brackets, as in [::1] or [::1]:7991"
}

/**
 * The host and the port of an address, `defaultPort` where the address has none. The address must be one that
 * {@link parse} or {@link validate} let pass.
 */
export const parseAddress = (address: string, defaultPort: number): Endpoint => {
  const colon = address.lastIndexOf(":")
  const hasPort = colon > address.lastIndexOf("]")
  const host = hasPort ? address.slice(0, colon) : address
  return {
    host: host.startsWith("[") ? host.slice(1, -1) : host,
    port: hasPort ? Number(address.slice(colon + 1)) : defaultPort
  }
}

// -----------------------------------------------------------------------------
// The parser
// -----------------------------------------------------------------------------

interface Entry {
  readonly line: number
  readonly text: string
  readonly address: string
}

const maximumText = 200

/** A file that is something else altogether, a web page on one line, should not fill the log. */
const shorten = (text: string): string => (text.length > maximumText ? `${text.slice(0, maximumText)}…` : text)

const collect = (file: string, entries: ReadonlyArray<Entry>): Either.Either<Parsed, NodesFileError> => {
  const lines = new Map<string, number>()
  const warnings: Array<Warning> = []
  for (const { address, line, text } of entries) {
    const reason = addressProblem(address)
    if (reason !== undefined) return Either.left(new NodesFileError({ file, line, text: shorten(text), reason }))
    const first = lines.get(address)
    if (first === undefined) lines.set(address, line)
    else warnings.push({ line, text, reason: `line ${first} has this address: dropped` })
  }
  return lines.size === 0
    ? Either.left(new NodesFileError({ file, reason: "no node in it" }))
    : Either.right({ nodes: Array.from(lines.keys()), warnings })
}

/**
 * Reads the content of a nodes file. Blanks around an address, empty lines, any of the three line ends, a byte-order
 * mark and `#` comments, alone or behind an address, are accepted; an address that was there before is dropped with a
 * warning. Any other line is an error, and so is a content without an address.
 *
 * `file` names the file in errors. They hold at most the first 200 characters of a line.
 */
export const parse = (file: string, content: string): Either.Either<Parsed, NodesFileError> =>
  collect(
    file,
    content
      .replace(/^\ufeff/, "")
      .split(/\r\n|\n|\r/)
      .map((text, i) => ({ line: i + 1, text, address: text.replace(/#.*$/s, "").trim() }))
      .filter(({ address }) => address !== "")
  )

/**
 * Checks a list of addresses as {@link parse} does the lines of a file, but without comments and empty entries. In the
 * errors, `line` is the place in the list, from 1.
 */
export const validate = (addresses: Iterable<string>, name = "nodes"): Either.Either<Parsed, NodesFileError> =>
  collect(
    name,
    Array.from(addresses, (text, i) => ({ line: i + 1, text, address: text.trim() }))
  )

// -----------------------------------------------------------------------------
// Sources
// -----------------------------------------------------------------------------

/** Parses what was read and logs the parser's warnings. */
const load = (file: string, content: string): Effect.Effect<Parsed, NodesFileError> =>
  Effect.tap(parse(file, content), ({ warnings }) =>
    Effect.forEach(
      warnings,
      ({ line, reason, text }) => Effect.logWarning(`${file}:${line}: ${reason}: ${JSON.stringify(shorten(text))}`),
      { discard: true }
    )
  )

/** One reading of a source: its content, or why there is none. */
type Reading = Either.Either<string, NodesFileError>

const sameReading = Either.getEquivalence({
  left: Equivalence.mapInput(Equivalence.string, (error: NodesFileError) => error.message),
  right: Equivalence.string
})

const sameNodes = Arr.getEquivalence(Equivalence.string)

/** The source as `content` has it, and the changes that its later readings bring. */
const watched = Effect.fnUntraced(function* (file: string, content: string, readings: Stream.Stream<Reading>) {
  const { nodes } = yield* load(file, content)
  const initial: { readonly reading: Reading; readonly nodes: ReadonlyArray<string> } = {
    reading: Either.right(content),
    nodes
  }
  const changes = readings.pipe(
    Stream.mapAccumEffect(initial, (last, reading) =>
      sameReading(last.reading, reading)
        ? Effect.succeed([last, Option.none<ReadonlyArray<string>>()] as const)
        : reading.pipe(
            Effect.flatMap((content) => load(file, content)),
            Effect.map(({ nodes }) => nodes),
            Effect.catchAll((error) =>
              Effect.as(Effect.logWarning(`${error.message}; the nodes stay as they are`), last.nodes)
            ),
            Effect.map((nodes) => {
              const changed = sameNodes(nodes, last.nodes) ? Option.none() : Option.some(nodes)
              return [{ reading, nodes }, changed] as const
            })
          )
    ),
    Stream.filterMap(identity)
  )
  return { nodes, changes } satisfies Watched
})

const readContent = (fs: FileSystem.FileSystem, file: string): Effect.Effect<string, NodesFileError> =>
  Effect.mapError(
    fs.readFileString(file),
    (error) => new NodesFileError({ file, reason: `cannot be read: ${error.description ?? error.message}` })
  )

/** Reads the nodes file at a path once. What the parser warns of is logged. */
export const readFile = (file: string): Effect.Effect<Parsed, NodesFileError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => readContent(fs, file)),
    Effect.flatMap((content) => load(file, content))
  )

/** Options of {@link watchFile}. */
export interface WatchFileOptions {
  /** How long after an event the file is read. However many events come, it is not read more often. Default 100 ms. */
  readonly debounce?: Duration.DurationInput | undefined
  /**
   * When the file is read although no event came, and the watch is set up anew: some file systems send no events, and a
   * watch dies with its directory. Default every 30 s.
   */
  readonly poll?: Schedule.Schedule<unknown> | undefined
}

/** How long after it failed a watch is set up again. */
const rewatch = Schedule.spaced("1 second")

const defaultPoll: Schedule.Schedule<unknown> = Schedule.spaced("30 seconds")

/** Something at each event in the directory, and at each time that the watch begins. */
const eventsIn = (
  fs: FileSystem.FileSystem,
  directory: string,
  warn: (cause: Cause.Cause<unknown>) => Effect.Effect<void>
): Stream.Stream<void> =>
  Stream.concat(
    Stream.void,
    Stream.map(fs.watch(directory), () => undefined)
  ).pipe(
    // fs.watch throws where the system has no watch left: a defect in the stream
    Stream.catchAllCause((cause) => Stream.execute(warn(cause))),
    Stream.repeat(rewatch)
  )

/**
 * The nodes file at a path, watched. An error if it is not there or does not parse at first; later such a state is
 * logged and the nodes stay as they are.
 *
 * It is the directory that is watched, and that of the file behind a symbolic link, so that editors that replace the
 * file, `mv`, and Kubernetes' ConfigMaps are seen. A file that is replaced by `rename` is never seen half written.
 */
export const watchFile = Effect.fnUntraced(function* (
  file: string,
  options?: WatchFileOptions
): Effect.fn.Return<Watched, NodesFileError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const read = readContent(fs, file)
  const directories = fs.realPath(file).pipe(
    Effect.map((target) => Arr.dedupe([path.dirname(path.resolve(file)), path.dirname(target)])),
    Effect.orElseSucceed(() => [path.dirname(path.resolve(file))])
  )
  const events = Effect.map(Ref.make(""), (lastWarning) => {
    const warn = (cause: Cause.Cause<unknown>) => {
      const reasons = Cause.prettyErrors(cause).map(({ message }) => message)
      const message = `${file}: watching failed, trying again: ${reasons.join("; ")}`
      return Effect.whenEffect(
        Effect.logWarning(message),
        Ref.modify(lastWarning, (last) => [last !== message, message])
      )
    }
    const watch = directories.pipe(
      Effect.map((all) =>
        Stream.mergeAll(
          all.map((directory) => eventsIn(fs, directory, warn)),
          { concurrency: "unbounded" }
        )
      ),
      Stream.unwrap
    )
    return Stream.flatMap(
      Stream.concat(Stream.succeed(undefined), Stream.fromSchedule(options?.poll ?? defaultPoll)),
      () => watch,
      { switch: true }
    )
  })
  const readings = Stream.unwrap(events).pipe(
    // an event during a read waits here and causes another read
    Stream.buffer({ capacity: 1, strategy: "sliding" }),
    Stream.mapEffect(() => Effect.delay(Effect.either(read), options?.debounce ?? "100 millis"))
  )
  return yield* watched(file, yield* read, readings)
})

/** Options of {@link watchUrl}. */
export interface WatchUrlOptions {
  /** When the URL is asked again. Default every 30 s. */
  readonly poll?: Schedule.Schedule<unknown> | undefined
  /** How long one request may take, reply included. Default 10 s. */
  readonly timeout?: Duration.DurationInput | undefined
}

const maximumBytes = 1024 * 1024

/** Whether the source of a nodes file is a URL for {@link watchUrl}, and not a path for {@link watchFile}. */
export const isUrl = (source: string): boolean => /^https?:\/\//i.test(source)

/** A URL in two parts: what may be shown, and the request with the secrets. */
interface Source {
  readonly shown: string
  readonly request: HttpClientRequest.HttpClientRequest
}

const decodeUserInfo = (text: string): string => Either.getOrElse(Encoding.decodeUriComponent(text), () => text)

const parseUrl = (source: string): Either.Either<Source, NodesFileError> => {
  if (!isUrl(source) || !URL.canParse(source)) {
    // it cannot be told what in it is secret
    return Either.left(new NodesFileError({ file: "nodes URL", reason: "not a valid http or https URL" }))
  }
  const url = new URL(source)
  const shown = url.origin + url.pathname
  const credentials =
    url.username === "" && url.password === ""
      ? undefined
      : Encoding.encodeBase64(`${decodeUserInfo(url.username)}:${decodeUserInfo(url.password)}`)
  url.username = ""
  url.password = ""
  url.hash = ""
  // a string: of a URL object the query would be taken apart and encoded anew
  const request = HttpClientRequest.get(url.href)
  return Either.right({
    shown,
    request:
      credentials === undefined
        ? request
        : HttpClientRequest.setHeader(request, "authorization", `Basic ${credentials}`)
  })
}

/** A system's error code such as ECONNREFUSED, the only part of an HTTP client's error that surely holds no secret. */
const codeOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "code") && Predicate.isString(error.code)
    ? error.code
    : Predicate.hasProperty(error, "cause")
      ? codeOf(error.cause)
      : undefined

/** The last content that the URL gave, with its ETag. */
interface Cached {
  readonly content: string
  readonly etag: string | undefined
}

/** Asks the URL. A server that says that nothing changed gives what is cached. */
const fetchUrl = (
  client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>,
  { request, shown }: Source,
  timeout: Duration.DurationInput,
  cached?: Cached
): Effect.Effect<Cached, NodesFileError> => {
  const fail = (reason: string) => new NodesFileError({ file: shown, reason })
  const content = (response: HttpClientResponse.HttpClientResponse) =>
    response.stream.pipe(
      Stream.mapAccumEffect(0, (before, bytes) => {
        const size = before + bytes.length
        return size > maximumBytes
          ? Effect.fail(fail(`the reply is over ${maximumBytes} bytes`))
          : Effect.succeed([size, bytes] as const)
      }),
      Stream.decodeText(),
      Stream.mkString
    )
  return client
    .execute(cached?.etag === undefined ? request : HttpClientRequest.setHeader(request, "if-none-match", cached.etag))
    .pipe(
      Effect.flatMap((response) =>
        response.status === 304 && cached?.etag !== undefined
          ? Effect.succeed(cached)
          : response.status === 200
            ? Effect.map(content(response), (content) => ({ content, etag: response.headers.etag }))
            : Effect.fail(fail(`the server answers HTTP ${response.status}`))
      ),
      Effect.scoped,
      Effect.catchTags({
        RequestError: (error) => Effect.fail(fail(`cannot be fetched: ${codeOf(error) ?? error.reason}`)),
        ResponseError: (error) => Effect.fail(fail(`cannot be fetched: ${codeOf(error) ?? error.reason}`))
      }),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => fail(`no reply within ${Duration.format(timeout)}`)
      })
    )
}

/**
 * The nodes file at an `http://` or `https://` URL, polled. An error if it cannot be fetched or does not parse at first;
 * later such a state is logged and the nodes stay as they are.
 *
 * The reply is HTTP 200 with at most 1 MiB of text; its ETag is sent back with the next request, and 304 means no
 * change. Credentials in the URL are sent as HTTP basic authentication. They and the query are not in errors, logs or spans.
 */
export const watchUrl = Effect.fnUntraced(function* (
  url: string,
  options?: WatchUrlOptions
): Effect.fn.Return<Watched, NodesFileError, HttpClient.HttpClient> {
  const source = yield* parseUrl(url)
  const client = HttpClient.withScope(
    // the spans would hold the whole URL
    HttpClient.withTracerDisabledWhen(yield* HttpClient.HttpClient, () => true)
  )
  const fetch = (cached?: Cached) => fetchUrl(client, source, options?.timeout ?? "10 seconds", cached)
  const first = yield* fetch()
  const readings = Stream.fromSchedule(options?.poll ?? defaultPoll).pipe(
    Stream.mapAccumEffect(first, (cached) =>
      Effect.map(Effect.either(fetch(cached)), (result) => [
        Either.getOrElse(result, () => cached),
        Either.map(result, ({ content }) => content)
      ])
    )
  )
  return yield* watched(source.shown, first.content, readings)
})
