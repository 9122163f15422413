import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Ref from "effect/Ref"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { fromEither } from "../model/fromEither.js"
import { NodesFileError } from "../model/GhostDBError.js"
import * as HttpError from "../model/HttpError.js"
import { DurationLike } from "../model/Ttl.js"
import { defaultPoll, isUrl, type RemovalOptions, type Watched, watched } from "./Watched.js"

/**
 * Options of {@link watchUrl}.
 *
 * @category options
 * @since 0.1.0
 */
export interface WatchUrlOptions extends RemovalOptions {
  /** When the URL is asked again. Default every 30 s. */
  readonly poll?: Schedule.Schedule<unknown> | undefined
  /** How long one request may take, reply included. Default 10 s. */
  readonly timeout?: DurationLike | undefined
}

const maximumBytes = 1024 * 1024

/** What is shown of a URL that does not parse: any part of it may be secret. */
const hiddenUrl = "nodes URL"

const withoutSecrets = (url: URL): string => url.origin + url.pathname

/**
 * The source of a nodes file as it may be shown: a URL without credentials and query, which may be secret; a path as it is.
 *
 * @category functions
 * @since 0.1.0
 */
export const redact = (source: string): string => {
  if (!isUrl(source)) return source
  return URL.canParse(source) ? withoutSecrets(new URL(source)) : hiddenUrl
}

/** A URL in two parts: what may be shown, and the request with the secrets. */
interface Source {
  readonly shown: string
  readonly request: HttpClientRequest.HttpClientRequest
}

const decodeUserInfo = (text: string): string =>
  Either.getOrElse(
    Either.try(() => decodeURIComponent(text)),
    () => text
  )

const parseUrl = (source: string): Either.Either<Source, NodesFileError> => {
  if (!isUrl(source) || !URL.canParse(source)) {
    return Either.left(new NodesFileError({ file: hiddenUrl, reason: "not a valid http or https URL" }))
  }
  const url = new URL(source)
  const shown = withoutSecrets(url)
  const credentials =
    url.username === "" && url.password === ""
      ? undefined
      : Encoding.encodeBase64(`${decodeUserInfo(url.username)}:${decodeUserInfo(url.password)}`)
  url.username = ""
  url.password = ""
  url.hash = ""
  // A string: the query of a URL object would be parsed and encoded again.
  const request = HttpClientRequest.get(url.href)
  return Either.right({
    shown,
    request:
      credentials === undefined
        ? request
        : HttpClientRequest.setHeader(request, "authorization", `Basic ${credentials}`)
  })
}

/** The last content that the URL gave, with its ETag. */
interface Cached {
  readonly content: string
  readonly etag: string | undefined
}

/** Asks the URL. A server that says that nothing changed gives what is cached. */
const fetchUrl = (
  client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>,
  { request, shown }: Source,
  timeout: number,
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
      Effect.mapError((error) =>
        error._tag === "NodesFileError"
          ? error
          : fail(`cannot be fetched: ${HttpError.codeOf(error) ?? HttpError.reasonOf(error)}`)
      ),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => fail(`no reply within ${Duration.format(Duration.decode(timeout))}`)
      })
    )
}

/**
 * The nodes file at an `http://` or `https://` URL, polled. An error if it cannot be fetched or does not parse at first;
 * later such a state is logged and the nodes stay as they are.
 *
 * The reply is HTTP 200 with at most 1 MiB of text; its ETag is sent back with the next request, and 304 means no
 * change. Credentials in the URL are sent as HTTP basic authentication. They and the query are not in errors, logs or spans.
 *
 * @category reading
 * @since 0.1.0
 */
export const watchUrl = Effect.fnUntraced(function* (
  url: string,
  options?: WatchUrlOptions
): Effect.fn.Return<Watched, NodesFileError, HttpClient.HttpClient> {
  const source = yield* fromEither(parseUrl(url))
  const client = HttpClient.withScope(
    // the spans would hold the whole URL
    HttpClient.withTracerDisabledWhen(yield* HttpClient.HttpClient, () => true)
  )
  const timeout = DurationLike.toMillis("timeout", options?.timeout ?? "10 seconds")
  const fetch = (cached?: Cached) => fetchUrl(client, source, timeout, cached)
  const first = yield* fetch()
  const reader = Effect.map(Ref.make(first), (last) =>
    Ref.get(last).pipe(
      Effect.flatMap(fetch),
      Effect.tap((cached) => Ref.set(last, cached)),
      Effect.map(({ content }) => content),
      Effect.either
    )
  )
  const triggers = Stream.fromSchedule(options?.poll ?? defaultPoll)
  return yield* watched({ file: source.shown, content: first.content, triggers, reader }, options)
})
